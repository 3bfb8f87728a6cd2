"""The declarations: whole, sound, and the only ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

from gridbot_site import checks
from gridbot_site.configuration.pages import env_example, markdown
from gridbot_site.configuration.registry import PREFIXES, SECTIONS, all_settings, unknown
from gridbot_site.make_env import fresh_secrets
from gridbot_site.tests.documents.pages import ROOT, files
from marketdata.prune.policy import PUBLIC

# What Django and libpq, the library of PostgreSQL, read: their settings, and none of ours.
OF_OTHERS = {"DJANGO_SETTINGS_MODULE", "PGOPTIONS"}
OF_A_SECTION = re.compile(rf"\b(?:{'|'.join(each.__name__ for each in SECTIONS)})\.([A-Z_]+)\b")
NAMED = re.compile(rf"\b(?:{'|'.join(PREFIXES)})[A-Z][A-Z_]*\b")


def product() -> list[Path]:
    """The code that users run."""
    return [
        path
        for path in files()
        if path.suffix == ".py"
        and not {"tests", "benchmarks", "docs"} & set(path.relative_to(ROOT).parts)
        and path.name != "conftest.py"
    ]


@pytest.mark.parametrize(("name", "made"), [
    ("docs/configuration.md", markdown), (".env.example", env_example),
])  # fmt: skip
def test_the_page_is_what_the_settings_say_now(name, made):
    assert (ROOT / name).read_text(encoding="utf-8") == made(), "`make pages` writes it anew"


def test_no_name_is_declared_twice():
    names = [each.name for section in SECTIONS for each in section.settings()]
    assert len(names) == len(set(names)) == len(all_settings())


@pytest.mark.parametrize("setting", all_settings().values(), ids=all_settings().keys())
def test_a_default_and_an_example_are_what_they_have_to_be(setting):
    setting.parse(setting.default)
    setting.parse(setting.example or setting.default)
    assert setting.purpose.endswith(".")
    assert not (setting.secret and (setting.default or setting.example))


def test_each_secret_that_is_made_is_left_empty_in_the_example():
    lines = env_example().splitlines()
    assert all(f"{name}=" in lines for name in fresh_secrets())


def test_every_kind_that_is_pruned_by_settings_has_one():
    section = next(each for each in SECTIONS if each.title == "Retention")
    assert [each.name for each in section.settings()] == [
        f"GRIDBOT_RETENTION_{kind.upper()}" for kind in PUBLIC
    ]


def names_read_from_the_environment(path: Path) -> set[str]:
    """The texts that are looked up in `os.environ`, or in what is called an environment."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Subscript(value=mapping, slice=ast.Constant(value=str(name))):
                pass
            case ast.Call(
                func=ast.Attribute(value=mapping, attr="get" | "setdefault" | "pop"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                pass
            case ast.Call(
                func=ast.Attribute(attr="getenv") as mapping,
                args=[ast.Constant(value=str(name)), *_],
            ):
                pass
            case _:
                continue
        if re.search(r"environment|os\.environ|getenv", ast.unparse(mapping)):
            found.add(name)
    return found


def test_the_product_reads_no_variable_that_is_not_declared():
    read = {name for path in product() for name in names_read_from_the_environment(path)}
    assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "DATABASE_URL"} <= read
    assert sorted(read - all_settings().keys() - OF_OTHERS) == []


def test_every_setting_is_read_by_something():
    read = {name for path in product() for name in names_read_from_the_environment(path)}
    for path in product():
        read |= set(OF_A_SECTION.findall(path.read_text(encoding="utf-8")))
    assert sorted(all_settings().keys() - read) == []


def test_nothing_names_a_setting_that_there_is_not():
    known = all_settings().keys() | set(dir(settings))
    assert {"GRIDBOT_REQUIRE_OTP", "BYBIT_ENDPOINTS"} <= known
    told = [path for path in files() if path.suffix == ".md" or path.parent.name == "deploy"]
    strangers = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in [*product(), *told, ROOT / "Makefile"]
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
        if name not in known and not (name.endswith("_") and _begins_one(name, known))
    }
    assert sorted(strangers) == []


def _begins_one(name, known):
    return any(each.startswith(name) for each in known)


def test_a_name_that_means_nothing_is_told_with_the_one_that_may_be_meant():
    names = ["GRIDBOT_NOTIFY_URL", "BYBIT_API_KEY", "GRIDBOT_DEBUG", "PATH", "EVENTSAVER_SYMBOL"]
    assert unknown(names) == {
        "BYBIT_API_KEY": "",
        "EVENTSAVER_SYMBOL": "EVENTSAVER_SYMBOLS",
        "GRIDBOT_NOTIFY_URL": "GRIDBOT_NOTIFY_URLS",
    }


def test_a_misspelt_setting_is_warned_of_without_its_value(monkeypatch):
    assert checks.misspelt_settings(None) == []
    monkeypatch.setenv("GRIDBOT_METRIC_TOKEN", "canary")
    monkeypatch.setenv("BYBIT_API_KEY", "canary")
    api_key, token = checks.misspelt_settings(None)
    assert (api_key.id, token.id) == ("gridbot.W002", "gridbot.W002")
    assert token.hint == "Is GRIDBOT_METRICS_TOKEN meant?"
    assert "canary" not in f"{api_key} {token}"
