"""gridcore is pure: what its modules may import, and what it shows."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import gridcore

FOLDER = Path(gridcore.__file__).parent
ALLOWED = {
    *(
        "__future__",
        "bisect",
        "collections",
        "collections.abc",
        "dataclasses",
        "datetime",
        "decimal",
    ),
    *("enum", "fractions", "functools", "hashlib", "itertools", "logging", "math", "operator"),
    *("typing", "uuid"),
}
# The one module that touches a disk.
ALLOWED_IN = {"persistence": {"contextlib", "fcntl", "json", "os", "pathlib"}}
MODULES = sorted(
    path for path in FOLDER.rglob("*.py") if "tests" not in path.relative_to(FOLDER).parts
)


def imported(source):
    """Every module that `source` imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def refused(source, *, module):
    allowed = ALLOWED | ALLOWED_IN.get(module, set())
    return [
        name
        for name in imported(source)
        if name not in allowed and name.split(".")[0] != "gridcore"
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_is_allowed(path):
    assert refused(path.read_text(encoding="utf-8"), module=path.stem) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import choice",
        "from . import events",
        "def f():\n    import threading",
        "if TYPE_CHECKING:\n    from django.db import models",
        "import logging.handlers",
    ],
)
def test_the_rule_finds_an_import_wherever_it_hides(source):
    assert refused(source, module="events")


def test_only_persistence_may_touch_a_disk():
    assert refused("import json", module="grid")
    assert not refused("import json", module="persistence")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_imported_behind_the_rules_back(path):
    names = {
        node.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name)
    }
    assert not names & {"__import__", "eval", "exec", "open", "input", "print"}


def test_what_is_allowed_is_the_standard_library():
    names = ALLOWED.union(*ALLOWED_IN.values())
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_the_root_shows_a_sorted_list_of_names_that_exist():
    assert sorted(gridcore.__all__) == gridcore.__all__
    assert all(hasattr(gridcore, name) for name in gridcore.__all__)
    assert gridcore.__version__ == "0.1.0"
