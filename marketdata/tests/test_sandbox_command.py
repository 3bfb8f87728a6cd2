"""`manage.py sandbox`, in this process and as one of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from marketdata.sandbox import serving

ROOT = Path(__file__).resolve().parents[2]


class Signalling(io.StringIO):
    """An output that stops the command as soon as it has said that it is ready."""

    def __init__(self, number=signal.SIGTERM):
        super().__init__()
        self.number = number

    def flush(self):
        if self.getvalue():
            os.kill(os.getpid(), self.number)


def refused(*arguments, **options):
    with pytest.raises(CommandError) as caught:
        call_command("sandbox", *arguments, **options)
    return caught.value.returncode, str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_environment_and_ends_at_a_signal(number):
    output = Signalling(number)
    call_command("sandbox", "--port", "0", stdout=output)
    text = output.getvalue()
    assert "EVENTSAVER_ENVIRONMENT=sandbox BYBIT_REST_URL=http://127.0.0.1:" in text
    assert "BYBIT_WS_PRIVATE_URL=ws://127.0.0.1:" in text


def test_json_is_one_line_that_says_where(tmp_path):
    output, ledger = Signalling(), tmp_path / "ledger.jsonl"
    call_command("sandbox", "--json", "--port", "0", "--ledger", str(ledger), stdout=output)
    ready = json.loads(output.getvalue())
    assert ready["ready"] is True
    assert ready["ws_public"].endswith("/v5/public/linear")
    assert ready["ledger"] == str(ledger)
    assert ledger.exists()


def test_without_a_ledger_the_line_says_so():
    output = Signalling()
    call_command("sandbox", "--json", "--port", "0", "--no-ledger", stdout=output)
    assert json.loads(output.getvalue())["ledger"] is None


def test_a_port_that_is_taken_is_one_sentence(sandbox):
    port = sandbox.rest_url.rpartition(":")[2]
    sentence = f"Port {port} of 127.0.0.1 cannot be opened: Address already in use."
    assert refused("--port", port) == (1, sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--market", "replay"],
        ["--market", "random", "file"],
        ["--market", "made-up"],
        ["--market", "replay", "/nowhere/recording"],
        ["--symbols", "BTC"],
        ["--speed", "0"],
        ["--funding-minutes", "0"],
        ["--ledger", "x", "--no-ledger"],
    ],
)
def test_bad_options_are_usage_errors(arguments):
    assert refused(*arguments)[0] == 2


def test_a_malformed_recording_names_its_line(tmp_path):
    file = tmp_path / "recording.jsonl"
    file.write_text('[1, "public", {}]\nnonsense\n')
    code, sentence = refused("--market", "replay", str(file))
    assert code == 2
    assert sentence.startswith(f"{file}, line 2: no JSON")


def test_a_second_signal_ends_the_process_at_once(monkeypatch):
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    stop = asyncio.Event()
    serving._on_signal(stop)
    assert (stop.is_set(), exits) == (True, [])
    serving._on_signal(stop)
    assert exits == [130]


def test_as_a_process_it_serves_until_sigterm_and_exits_with_0():
    command = [
        sys.executable,
        "manage.py",
        "sandbox",
        "--json",
        "--port",
        "0",
        "--symbols",
        "btcusdt",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        status = requests.get(f"{ready['rest']}/sandbox/status", timeout=20).json()
        process.terminate()
        assert process.wait(30) == 0
    assert status["symbols"] == ["BTCUSDT"]
    assert not Path(ready["ledger"]).exists()


# A parent that starts a sandbox, says which process that is, and stays until it is killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "manage.py", "sandbox", *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""


def test_with_its_parent_it_ends_though_that_one_was_killed():
    options = ["--json", "--port", "0", "--no-ledger", "--with-parent"]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert json.loads(parent.stdout.readline())["ready"] is True
            parent.kill()
            # The end of the output, which the sandbox has inherited, is the sandbox's end.
            assert parent.communicate(timeout=30) == (b"", None)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise


def environment():
    return os.environ | {"DJANGO_SETTINGS_MODULE": "gridbot_site.settings_test"}
