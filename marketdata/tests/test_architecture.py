"""What the parts of marketdata may know of each other and of the world."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import marketdata

FOLDER = Path(marketdata.__file__).parent
MODULES = sorted(
    path for path in FOLDER.rglob("*.py") if "tests" not in path.relative_to(FOLDER).parts
)


@cache
def imported(path):
    """Every module that a file imports when it runs, wherever in it the import stands."""
    return frozenset(_imported(path))


def _imported(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(names, *packages):
    """Those of `names` that are one of `packages` or lie in one."""
    return {name for name in names for package in packages if f"{name}.".startswith(f"{package}.")}


def within(folder):
    return [path for path in MODULES if path.relative_to(FOLDER).parts[0] == folder]


every_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(FOLDER))
)


@every_module
def test_pybit_is_known_to_the_adapter_alone(path):
    if path not in within("bybit"):
        assert not under(imported(path), "pybit")


@pytest.mark.parametrize("path", [*within("bybit"), *within("sandbox")], ids=lambda path: path.stem)
def test_the_adapter_and_the_sandbox_know_no_django(path):
    assert not under(imported(path), "django", "marketdata.models", "accounts", "strategies")


@pytest.mark.parametrize("path", within("sandbox"), ids=lambda path: path.stem)
def test_the_sandbox_is_written_from_the_documentation_alone(path):
    known = under(imported(path), "marketdata", "gridcore")
    assert not under(known, "marketdata.bybit", "marketdata.capture")
    assert under(known, "gridcore") <= {"gridcore"} | under(known, "gridcore.matching")


@pytest.mark.parametrize("path", within("bybit"), ids=lambda path: path.stem)
def test_the_adapter_does_not_know_the_sandbox(path):
    assert not under(imported(path), "marketdata.sandbox")


@every_module
def test_marketdata_knows_the_models_of_strategies_and_nothing_above(path):
    above = under(imported(path), "strategies") - under(imported(path), "strategies.models")
    assert above <= {"strategies"}
    assert not under(imported(path), "gridbot_site")


SPOOL = [path for path in within("capture") if path.stem.split("_")[0] in ("spool", "disk")]


@pytest.mark.parametrize("path", SPOOL, ids=lambda path: path.stem)
def test_the_spool_knows_no_django(path):
    assert not under(imported(path), "django", "marketdata.models", "accounts", "strategies")
