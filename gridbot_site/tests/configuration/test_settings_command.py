"""`manage.py settings`: what is in effect, who says so, and nothing that is a secret."""

from __future__ import annotations

import json
import secrets

import pytest
from django.core.management import call_command

from gridbot_site.configuration.effective import in_effect
from gridbot_site.databases import without_password
from gridbot_site.tests.test_settings import SOUND, manage

CANARY = "canary" + secrets.token_hex(16)


def shown(environment):
    return {each.setting.name: each for each in in_effect(environment)}


def test_each_setting_is_shown_with_its_value_and_who_set_it(tmp_path):
    file = tmp_path / "settings.env"
    file.write_text("EVENTSAVER_BATCH_SIZE=7\nGRIDBOT_PROXIES=1\n", encoding="utf-8")
    done = manage("settings", "--json", GRIDBOT_ENV_FILE=str(file), GRIDBOT_PROXIES="2")
    assert (done.returncode, done.stderr) == (0, "")
    found = {each["name"]: each for each in json.loads(done.stdout)["settings"]}
    picked = {name: (found[name]["value"], found[name]["source"], found[name]["changed"])
              for name in ("EVENTSAVER_BATCH_SIZE", "GRIDBOT_PROXIES", "GRIDBOT_LOG_FORMAT")}  # fmt: skip
    assert picked == {
        "EVENTSAVER_BATCH_SIZE": ("7", str(file), True),
        "GRIDBOT_PROXIES": ("2", "environment", True),
        "GRIDBOT_LOG_FORMAT": ("text", "default", False),
    }


def given(tmp_path):
    """An environment with a secret wherever there can be one."""
    notify = tmp_path / "notify"
    notify.write_text(f"json://user:{CANARY}@127.0.0.1\n", encoding="utf-8")
    notify.chmod(0o600)
    return {
        "SECRET_KEY": CANARY + SOUND["SECRET_KEY"],
        "GRIDBOT_METRICS_TOKEN": CANARY,
        "GRIDBOT_NOTIFY_URLS_FILE": str(notify),
        "GRIDBOT_DB_PASSWORD": CANARY,
        "DATABASE_URL": f"postgresql://u:{CANARY}@127.0.0.1:1/n?password={CANARY}",
        "EVENTSAVER_DATABASE_URL": f"postgresql://u:{CANARY}@127.0.0.1:1/n",
        "GRIDBOT_CANARY": CANARY,
    }


@pytest.mark.parametrize("options", [[], ["--json"], ["--changed"], ["--markdown"], ["--example"]])
def test_no_secret_is_ever_printed(tmp_path, options):
    done = manage("settings", *options, **given(tmp_path))
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "SECRET_KEY" in said
    assert "GRIDBOT_CANARY is no setting" in said
    assert CANARY not in said
    assert SOUND["GRIDBOT_CREDENTIAL_KEYS"] not in said


def test_of_a_secret_it_is_shown_whether_it_is_set(tmp_path):
    found = shown(given(tmp_path))
    assert found["SECRET_KEY"].value == found["GRIDBOT_METRICS_TOKEN"].value == "set"
    notify = found["GRIDBOT_NOTIFY_URLS"]
    assert (notify.value, notify.source) == ("set", "GRIDBOT_NOTIFY_URLS_FILE")
    keys = found["GRIDBOT_CREDENTIAL_KEYS"]
    assert (keys.value, keys.source, keys.changed) == ("not set", "default", False)
    assert shown({"GRIDBOT_METRICS_TOKEN": ""})["GRIDBOT_METRICS_TOKEN"].value == "not set"


def test_a_file_without_an_address_sets_none(tmp_path):
    file = tmp_path / "urls"
    file.write_text("# none yet\n", encoding="utf-8")
    file.chmod(0o600)
    found = shown({"GRIDBOT_NOTIFY_URLS_FILE": str(file)})["GRIDBOT_NOTIFY_URLS"]
    assert (found.value, found.source, found.changed) == ("not set", "default", False)


def test_parts_of_a_database_do_not_count_beside_a_url(tmp_path):
    found = shown(given(tmp_path))
    for name in ("EVENTSAVER_DATABASE_URL", "GRIDBOT_DB_TYPE", "GRIDBOT_DB_PASSWORD"):
        assert found[name].source == "not read: DATABASE_URL is set"
        assert not found[name].changed
    parts = shown({"GRIDBOT_DB_NAME": "facts", "DATABASE_URL": ""})["GRIDBOT_DB_NAME"]
    assert (parts.value, parts.source, parts.changed) == ("facts", "environment", True)


def test_of_a_database_s_url_the_user_is_shown_and_no_password():
    url = f"postgresql://u:{CANARY}@h:5/dbname=n%20password={CANARY}"
    found = shown({"DATABASE_URL": url})["DATABASE_URL"]
    assert found.value == "postgresql://u@h:5/dbname=n password=(redacted)"


def test_a_url_that_is_not_read_may_be_wrong():
    urls = {"DATABASE_URL": "sqlite:///a", "EVENTSAVER_DATABASE_URL": "mysql://u:hush@h/n"}
    assert shown(urls)["EVENTSAVER_DATABASE_URL"].value == "set, and cannot be read"


def test_a_password_in_the_place_of_something_else_is_not_shown():
    done = manage(
        *("settings", "--json"),
        DATABASE_URL="",
        GRIDBOT_DB_TYPE="postgresql",
        GRIDBOT_DB_NAME=f"dbname=n password={CANARY}",
    )
    assert done.returncode == 0, done.stderr
    assert "dbname=n" in done.stdout
    assert CANARY not in done.stdout


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:hush@h:5/n?sslpassword=hush", "postgresql://u@h:5/n"),
        ("postgres://u:hu%40sh@h/n", "postgres://u@h/n"),
        ("postgresql:///n?host=/tmp&password=hush", "postgresql:///n"),
        ("sqlite:///gridbot.db?cache=shared", "sqlite:///gridbot.db"),
        ("sqlite://:memory:", "sqlite://:memory:"),
    ],
)
def test_a_url_is_shown_without_its_password(url, expected):
    assert without_password(url) == expected


def test_a_default_that_is_computed_is_shown_as_it_came_out(settings):
    found = shown({})
    assert found["GRIDBOT_SPOOL_DIR"].value == str(settings.GRIDBOT_SPOOL_DIR)
    assert found["EVENTSAVER_ENVIRONMENT"].value == "sandbox"
    assert found["GRIDBOT_RETENTION_TRADES"].value == "for ever"
    assert found["GRIDBOT_ENV_FILE"].value == ".env"
    assert shown({"GRIDBOT_ENV_FILE": ""})["GRIDBOT_ENV_FILE"].value == ""


def test_the_table_ends_with_the_database(capsys, monkeypatch):
    monkeypatch.setenv("GRIDBOT_PROXIES", "3")
    call_command("settings", "--changed")
    said = capsys.readouterr().out
    assert "GRIDBOT_PROXIES" in said
    assert "GRIDBOT_LOG_FORMAT" not in said
    assert said.splitlines()[-1].startswith("Database in effect: ")
