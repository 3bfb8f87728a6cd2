"""Every command, option, target, module and file that a page or a help text names is there."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import pytest
from django.core.management import get_commands, load_command_class

from gridbot_site.tests.documents.pages import ROOT, Page, pages
from gridbot_site.tests.isolation.commands import commands
from marketdata.exits import ExitCode

INDEX = Page(ROOT / "docs" / "commands.md")
REMARK = re.compile(r"(?:^|\s)#.*")
# The words behind a command, up to where another begins.
BEHIND = r"(?P<words>(?:(?!\s--\s|[|;&]).)*)"
# deploy/gridbot stands before the commands of an installation.
NAMED = re.compile(rf"(?:manage\.py|(?:^|&&|;)\s*gridbot)\s+(?P<command>[a-z_]+){BEHIND}")
# Within a sentence a command often stands without the program: `coverage --verify`.
ALONE = re.compile(rf"(?P<command>[a-z_]+)(?=\s){BEHIND}")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
SET = r"(?:[A-Z_]+=\S+\s+)*"
TARGET = re.compile(rf"(?:^|&&|;)\s*{SET}make\s+{SET}(?P<target>[a-z.][\w.-]*)")
MODULE = re.compile(r"python3?\s+-m\s+(?P<module>[a-z_][\w.]*)")
FILE = re.compile(r"(?<![\w./-])(?:deploy|docs|benchmarks)/[\w./-]*\w(?![\w./*-])")
# | [`capture`](capture.md) | what for | exit codes |
ROW = re.compile(r"^\| \[`(\w+)`\]\(([^)]+)\) \|", re.MULTILINE)
CODE_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


@cache
def parser(command: str) -> ArgumentParser:
    """What takes a command's options apart."""
    return load_command_class(get_commands()[command], command).create_parser("manage.py", command)


@cache
def targets() -> frozenset[str]:
    """What `make` makes."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.][\w. -]*):(?!=)", makefile, re.MULTILINE)
    return frozenset(name for line in lines for name in line.split())


def wrongs(code: str) -> Iterator[str]:
    """What a line of code names and is not there."""
    code = REMARK.sub("", code)
    found = list(NAMED.finditer(code))
    if (alone := ALONE.match(code)) and alone["command"] in commands():
        found.append(alone)
    for each in found:
        if each["command"] == "help":
            continue
        if each["command"] not in get_commands():
            yield f"no command {each['command']}"
            continue
        known = parser(each["command"])._option_string_actions
        yield from (
            f"{each['command']} knows no {option}"
            for option in OPTION.findall(each["words"])
            if option not in known
        )
    yield from (f"no target {name}" for name in TARGET.findall(code) if name not in targets())
    yield from (f"no file {name}" for name in FILE.findall(code) if not (ROOT / name).exists())
    yield from (f"no module {name}" for name in MODULE.findall(code) if not is_module(name))


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    found = [(line, wrong) for line, code in page.code for wrong in wrongs(code)]
    assert found == []


@pytest.mark.parametrize("command", sorted(commands()))
def test_a_help_text_teaches_with_what_is_there_and_leads_to_the_index(command):
    help_text = parser(command).format_help()
    examples = [line for line in help_text.splitlines() if "manage.py" in line]
    assert [wrong for line in examples for wrong in wrongs(line)] == []
    assert re.search(rf"^ +(\S+ )?manage\.py {command}\b", help_text, re.MULTILINE)
    assert "Exit codes:" in help_text
    assert "docs/commands.md" in help_text.splitlines()[-1]


def test_the_index_leads_from_every_command_to_a_page_that_explains_it():
    rows = ROW.findall(INDEX.text)
    assert sorted(name for name, _ in rows) == sorted(commands())
    for name, target in rows:
        [link] = [each for each in INDEX.links if each.target == target][:1]
        assert f"manage.py {name}" in Page(INDEX.file_of(link)).text, target


def test_the_exit_codes_are_those_there_are():
    told = [int(code) for code in CODE_ROW.findall(INDEX.text)]
    assert told == sorted(set(ExitCode) - {ExitCode.TIMEOUT, ExitCode.TOLERANCE_EXCEEDED})


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("manage.py coverage --since 1d --verify", []),
        (".venv/bin/python manage.py capture --wiat   # --nothing", ["capture knows no --wiat"]),
        ("manage.py watch [--once [--jsonl]]", ["watch knows no --jsonl"]),
        ("manage.py check --deploy --fail-level WARNING", []),
        ("manage.py dbshell -- --csv && manage.py migrat", ["no command migrat"]),
        ("capture --metrics-adress 127.0.0.1:1", ["capture knows no --metrics-adress"]),
        ("coverage is all; --of it", []),
        ("DEMO_SECONDS=9 make PYTHON=python3.12 tests  # make sure", ["no target tests"]),
        ("make .env && make demos", ["no target demos"]),
        ("gridbot doctr --offline", ["no command doctr"]),
        ("gridbot help; gridbot doctor --ofline", ["doctor knows no --ofline"]),
        ("createdb --owner gridbot gridbot", []),
        ("cp deploy/gridbot-*.service deploy/nginx.cnf x", ["no file deploy/nginx.cnf"]),
        ("what parts make of it", []),
        ("python -m gridbot_site.make_env; python -m gridbot_site.gone", [
            "no module gridbot_site.gone"]),
        ("python -m nowhere.at.all", ["no module nowhere.at.all"]),
    ],
)  # fmt: skip
def test_what_is_not_there_is_noticed(code, expected):
    assert list(wrongs(code)) == expected
