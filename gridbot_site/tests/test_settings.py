"""Settings as manage.py meets them: a mistake is one sentence and exit code 4."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

import gridbot_site
from gridbot_site.settings_file import read_settings_file
from manage import asks_for_help

ROOT = Path(gridbot_site.__file__).parent.parent
SOUND = {
    "PATH": os.environ["PATH"],
    "GRIDBOT_ENV_FILE": "",
    "DATABASE_URL": "sqlite://:memory:",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "GRIDBOT_CREDENTIAL_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


def manage(*arguments, **environment):
    return run("manage.py", *arguments, **environment)


def run(*arguments, **environment):
    given = {name: value for name, value in (SOUND | environment).items() if value is not None}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_sound_settings_pass():
    done = manage("check", BYBIT_REST_URL="http://127.0.0.1:8765")
    assert (done.returncode, done.stderr) == (0, "")


MISTAKES = {
    "a short secret key": ({"SECRET_KEY": "hush"}, "gridbot.E001"),
    "no credential key": ({"GRIDBOT_CREDENTIAL_KEYS": None}, "accounts.E001"),
    "no secret key": ({"SECRET_KEY": None}, "SECRET_KEY"),
    "an empty secret key": ({"SECRET_KEY": ""}, "SECRET_KEY"),
    "a batch of words": ({"EVENTSAVER_BATCH_SIZE": "many"}, "EVENTSAVER_BATCH_SIZE"),
    "a batch of nothing": ({"EVENTSAVER_BATCH_SIZE": "0"}, "EVENTSAVER_BATCH_SIZE"),
    "an endless interval": ({"EVENTSAVER_FLUSH_INTERVAL": "inf"}, "EVENTSAVER_FLUSH_INTERVAL"),
    "a flag of neither kind": ({"EVENTSAVER_TESTNET": "flase"}, "EVENTSAVER_TESTNET"),
    "an unknown environment": ({"EVENTSAVER_ENVIRONMENT": "moon"}, "EVENTSAVER_ENVIRONMENT"),
    "plain http to elsewhere": ({"BYBIT_REST_URL": "http://example.com"}, "BYBIT_REST_URL"),
    "plain ws to elsewhere": ({"BYBIT_WS_PUBLIC_URL": "ws://10.0.0.1"}, "BYBIT_WS_PUBLIC_URL"),
    "an age to keep that is none": (
        {"GRIDBOT_RETENTION_TRADES": "soon"},
        "GRIDBOT_RETENTION_TRADES",
    ),
    "an unknown log level": ({"GRIDBOT_LOG_LEVEL": "loud"}, "GRIDBOT_LOG_LEVEL"),
    "an unknown database": ({"DATABASE_URL": "oracle://u:hush@h/n"}, "DATABASE_URL"),
    "a settings file that is none": ({"GRIDBOT_ENV_FILE": "/nowhere/.env"}, "GRIDBOT_ENV_FILE"),
}


@pytest.mark.parametrize(("environment", "name"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence_and_exit_code_4(environment, name):
    done = manage("check", **environment)
    assert done.returncode == 4, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("Configuration error: ")
    assert name in line
    assert "hush" not in line


@pytest.mark.parametrize("arguments", [["help"], ["coverage", "--help"]])
def test_help_needs_no_configuration(arguments):
    done = manage(*arguments, SECRET_KEY=None, GRIDBOT_CREDENTIAL_KEYS=None, DATABASE_URL=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert "coverage" in done.stdout


@pytest.mark.parametrize("given", ["a file", "systemd"])
def test_help_reads_no_keys_that_are_given_otherwise(given, tmp_path):
    keys = tmp_path / "gridbot-credential-keys"
    keys.write_text("no key")
    keys.chmod(0o600)
    of = {
        "a file": {"GRIDBOT_CREDENTIAL_KEYS_FILE": f"{keys}"},
        "systemd": {"CREDENTIALS_DIRECTORY": f"{tmp_path}"},
    }
    done = manage("coverage", "--help", GRIDBOT_CREDENTIAL_KEYS=None, **of[given])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_with_an_argument_that_looks_like_help_does_not_run_without_a_key():
    done = manage("dbshell", "--", "--help", SECRET_KEY=None)
    assert done.returncode == 4, done.stdout
    assert "SECRET_KEY is not set" in done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", True), ("help", True), ("help capture", True), ("-h", True), ("--help", True),
        ("capture -h", True), ("capture --journal x --help", True),
        ("check", False), ("capture --json", False), ("capture help", False),
        ("dbshell -- -h", False), ("dbshell -- --help", False), ("capture --journal=--help", False),
    ],
)  # fmt: skip
def test_help_is_what_cannot_run(line, expected):
    assert asks_for_help(line.split()) is expected


def test_a_web_server_does_not_start_with_a_mistake_either():
    start = "from gridbot_site.wsgi import application"
    done = run("-c", start, GRIDBOT_ALLOWED_HOSTS="*")
    assert done.returncode == 1
    assert "ImproperlyConfigured" in done.stderr
    assert "gridbot.E003" in done.stderr
    assert run("-c", start).returncode == 0


def test_what_the_settings_file_says_is_read_and_the_environment_wins(tmp_path):
    file = tmp_path / "settings.env"
    key = SOUND["SECRET_KEY"]
    file.write_text(f"SECRET_KEY={key}\nGRIDBOT_LOG_LEVEL=loud\n", encoding="utf-8")
    environment = {"GRIDBOT_ENV_FILE": str(file), "SECRET_KEY": None}
    assert "GRIDBOT_LOG_LEVEL" in manage("check", **environment).stderr
    assert manage("check", **environment, GRIDBOT_LOG_LEVEL="INFO").returncode == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\nDATABASE_URL = postgresql://u:hush@h/n\n", "line 2: a setting is written NAME=value"),
        (b" SECRET_KEY=hush\n", "line 1: a setting is written NAME=value"),
        (b"hush\n", "line 1: a setting is written NAME=value"),
        (b"SECRET_KEY=hush\xff\n", "is no text of UTF-8"),
        (b"GRIDBOT_PROXIES=0\n\nGRIDBOT_PROXIES=hush\n", "line 3: GRIDBOT_PROXIES is set twice"),
        (b"NOTIFY_SOCKET=hush\n", "line 1: NOTIFY_SOCKET is of the process environment alone"),
    ],
)
def test_a_settings_file_that_cannot_be_meant_is_refused_without_repeating_it(text, said, tmp_path):
    file = tmp_path / "settings.env"
    file.write_bytes(text)
    done = manage("check", GRIDBOT_ENV_FILE=str(file))
    assert done.returncode == 4
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Configuration error: {file}")
    assert said in line
    assert "hush" not in line


def test_blank_lines_and_comments_of_a_settings_file_are_not_read(tmp_path):
    file = tmp_path / "settings.env"
    file.write_text("# a\n\n  \n  # SECRET_KEY = hush\nexport X=1\n", encoding="utf-8")
    done = manage("check", GRIDBOT_ENV_FILE=str(file))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_settings_file_that_may_not_be_read_is_not_passed_over(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="cannot be read: Is a directory"):
        read_settings_file(tmp_path)
