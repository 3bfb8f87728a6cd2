"""Lines of the log: one for each event, the same for people and programs, and without secrets."""

from __future__ import annotations

import ast
import json
import logging
import math
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gridbot_site
from accounts.secret import Secret
from gridbot_site.log_lines import JsonFormatter, LineFormatter
from marketdata import log_events
from marketdata.log_events import (
    CONNECTION_LOST,
    EVENTS,
    SUMMARY,
    LogEvent,
    as_markdown,
    log_context,
)

ROOT = Path(gridbot_site.__file__).parent.parent
CANARY = "c4nary/of=a secret"
PAIR = re.compile(r"""(\w+)=("(?:\\.|[^"\\])*"|\S*)""")


class Kept(logging.Handler):
    """Keeps lines as text and as JSON."""

    def __init__(self):
        super().__init__()
        self.text, self.json = [], []

    def emit(self, record):
        self.text.append(LineFormatter().format(record))
        self.json.append(JsonFormatter().format(record))


@pytest.fixture
def kept():
    """What is logged by the logger of the tests."""
    handler, logger = Kept(), logging.getLogger("a.test")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    handler.logger = logger
    yield handler
    logger.removeHandler(handler)


def pairs(line):
    """The fields of a line of text, as a program reads them."""
    return {
        key: json.loads(value) if value.startswith('"') else value
        for key, value in PAIR.findall(line)
    }


def test_an_event_is_a_line_with_its_fields(kept):
    CONNECTION_LOST.log(
        kept.logger, "%s: %s", "alice/main", "no pong", connection="alice/main", reason="no pong",
        feeds=4,
    )  # fmt: skip
    [line], [told] = kept.text, map(json.loads, kept.json)
    time, rest = line.split(" ", 1)
    assert rest == (
        'WARNING connection_lost connection=alice/main feeds=4 reason="no pong" '
        'msg="alice/main: no pong"'
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert told == {
        "ts": time, "level": "WARNING", "event": "connection_lost", "connection": "alice/main",
        "reason": "no pong", "feeds": 4, "msg": "alice/main: no pong",
    }  # fmt: skip


def test_what_has_no_name_says_who_logged_it(kept):
    kept.logger.info("hello")
    assert kept.text[0].endswith("INFO log msg=hello logger=a.test")


def test_values_are_plain(kept):
    at = datetime(2026, 1, 31, 14, 3, tzinfo=UTC)
    SUMMARY.log(kept.logger, "x", a=0.12345, b=True, c=at, d=("x", "y"), e=None, f="", g=0)
    assert " summary a=0.123 b=true c=2026-01-31T14:03:00.000Z d=x,y g=0 msg=x" in kept.text[0]


def test_a_traceback_is_part_of_its_line(kept):
    try:
        raise ValueError("odd")
    except ValueError as error:
        log_events.REPAIR_FAILED.log_error(kept.logger, error, "a repair failed")
        kept.logger.exception("again")
    assert len(kept.text) == 2
    for line, text in zip(kept.text, kept.json, strict=True):
        assert "\n" not in line + text
        assert pairs(line)["exc"].endswith("\nValueError: odd")
        assert json.loads(text)["exc"] == pairs(line)["exc"]


def test_a_line_whose_format_is_wrong_is_written_all_the_same():
    record = logging.LogRecord("a", logging.INFO, "", 0, "%d rows", ("many",), None)
    assert "could not be written: TypeError" in LineFormatter().format(record)


class Unspeakable:
    """Cannot be written."""

    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (Decimal("1.10"), "1.10"),
        (b"\xff\n", "b'\\xff\\n'"),
        ({"api_secret": "hush"}, "{'api_secret': (redacted)}"),
        (Unspeakable(), "(RuntimeError)"),
        ([Unspeakable()], "(RuntimeError)"),
    ],
)
def test_a_value_of_any_kind_is_a_word(kept, value, word):
    SUMMARY.log(kept.logger, "x", reason=value)
    [line], [told] = kept.text, kept.json
    assert pairs(line)["reason"] == word
    assert json.loads(told, parse_constant=pytest.fail)["reason"] == word


def test_a_line_is_never_so_long_that_journald_breaks_it(kept):
    try:
        raise ValueError("\x1b" * 100_000 + "the end")
    except ValueError as error:
        SUMMARY.log_error(kept.logger, error, "%s", "ä" * 100_000, reason=["\u2028" * 100_000])
    for line in kept.text + kept.json:
        assert len(line.encode()) < 48 * 1024
        assert "characters left out" in line
    assert pairs(kept.text[0])["exc"].startswith("Traceback")
    assert pairs(kept.text[0])["exc"].endswith("the end")


def test_what_libraries_call_an_event_is_none(kept):
    kept.logger.info("hello", extra={"event": "odd\nline", "fields": ["x"]})
    assert kept.text[0].endswith("INFO log msg=hello logger=a.test")


def test_a_thread_has_its_own_context(kept):
    def elsewhere():
        with log_context(account="bob/main"):
            kept.logger.info("there")

    with log_context(account="alice/main", run="7"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        kept.logger.info("here")
    kept.logger.info("after")
    assert [pairs(line).get("account") for line in kept.text] == ["bob/main", "alice/main", None]
    assert pairs(kept.text[1])["run"] == "7"


@settings(max_examples=100, deadline=None)
@example("\x85 \u2028 \x9b31m", "\ud800 \U000e0041 \x7f")
@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_a_line_or_adds_to_it(message, value):
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s", (message,), None)
    record.event, record.fields = "connected", {"reason": value}
    line = LineFormatter().format(record)
    _head, rest = line.split(" connected ", 1)
    as_json = JsonFormatter().format(record)
    told = json.loads(as_json)
    assert line.isprintable()
    assert as_json.isprintable()
    assert pairs(rest) == {"reason": told["reason"], "msg": told["msg"]}


@pytest.mark.parametrize(
    "log",
    [
        lambda logger, secret: logger.info("got %s", secret),
        lambda logger, secret: logger.info("X-BAPI-SIGN: %s", "hush"),
        lambda logger, secret: logger.info('{"api_secret": "%s"}', "hush"),
        lambda logger, secret: logger.info("to https://me:%s@host/", "hush"),
        lambda logger, secret: SUMMARY.log(logger, "x", reason=secret),
        lambda logger, secret: SUMMARY.log(logger, "x", api_key="hush"),
        lambda logger, secret: SUMMARY.log(logger, "x", reason=["a", secret]),
        lambda logger, secret: logger.error("x", exc_info=ValueError(f"sent {secret}")),
    ],
)
def test_no_secret_is_in_a_line(kept, log):
    secret = Secret(CANARY)
    log(kept.logger, secret.reveal())
    assert not any(word in line for line in kept.text + kept.json for word in (CANARY, "hush"))
    assert all("(redacted)" in line for line in kept.text + kept.json)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_settings_choose_the_kind_and_hold_their_secrets(kind, tmp_path):
    program = (
        "import django, logging; django.setup(); from django.conf import settings; "
        "logging.getLogger('a').error('key %s', settings.SECRET_KEY); "
        "logging.getLogger('a').error('key %s', settings.GRIDBOT_METRICS_TOKEN)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={
            "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": "",
            "GRIDBOT_DEBUG": "true", "GRIDBOT_LOG_FORMAT": kind, "PYTHONPATH": str(ROOT),
            "GRIDBOT_METRICS_TOKEN": "canary+" * 8,
            "SECRET_KEY": "canary-" * 8, "GRIDBOT_CREDENTIAL_KEYS": "A7" * 21 + "A=",
        },
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert [line.startswith("{") for line in lines] == [kind == "json"] * 2
    assert all("key (redacted)" in line and "canary" not in line for line in lines)


UNCAUGHT = """
import django, sys, threading, warnings
django.setup()
from django.conf import settings
from django.test import Client
from gridbot_site import urls
from django.urls import path

class Careless:
    def __del__(self):
        fail()

def fail(*_):
    raise ValueError(settings.SECRET_KEY)

warnings.warn(settings.SECRET_KEY)
thread = threading.Thread(target=fail, name="one")
thread.start()
thread.join()
Careless()
urls.urlpatterns.insert(0, path("fail", fail))
Client(raise_request_exception=False).get("/fail", HTTP_HOST="127.0.0.1")
fail()
"""


def test_what_nobody_catches_is_a_line_without_secrets():
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False,
        env={
            "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": "",
            "GRIDBOT_DEBUG": "true", "GRIDBOT_LOG_FORMAT": "json", "PYTHONPATH": str(ROOT),
            "SECRET_KEY": "canary-" * 8, "GRIDBOT_CREDENTIAL_KEYS": "A7" * 21 + "A=",
        },
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [(line["event"], line.get("thread", line.get("logger"))) for line in lines] == [
        ("log", "py.warnings"), ("uncaught", "one"), ("uncaught", None),
        ("log", "django.request"), ("uncaught", None),
    ]  # fmt: skip
    assert "canary" not in done.stderr
    assert all("(redacted)" in line.get("exc", line["msg"]) for line in lines)


def test_the_table_in_the_documents_is_that_of_the_code():
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert as_markdown() in page


def _uses():
    """Each use of an event in the sources: its name in the table, and its fields."""
    for path in ROOT.glob("*/**/*.py"):
        source = path.read_text(encoding="utf-8")
        if "log_events import" not in source or "tests" in path.parts:
            continue
        for function in ast.walk(ast.parse(source)):
            if isinstance(function, ast.FunctionDef):
                names = dict(_dictionaries(function))
                yield from (
                    (call.func.value.id, set(_keys(call, names)))
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and isinstance(call.func.value, ast.Name)
                    and isinstance(vars(log_events).get(call.func.value.id), LogEvent)
                )


def _keys(node, names):
    """What a call passes on: its keywords, and the keys of dictionaries that were given a name."""
    for word in node.keywords:
        if word.arg:
            yield word.arg
        elif isinstance(word.value, ast.Name):
            yield from names.get(word.value.id, ())


def _dictionaries(function):
    """Each name that a function gives to a dictionary, and its keys."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
            for target, value in pairs:
                if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
                    yield (
                        target.id,
                        [key.value for key in value.keys if isinstance(key, ast.Constant)],
                    )


def test_every_event_is_used_with_the_fields_that_it_is_said_to_have():
    used = list(_uses())
    for name, fields in used:
        assert fields <= set(vars(log_events)[name].fields), name
    assert {vars(log_events)[name].name for name, _ in used} == set(EVENTS)
