"""A command with a PostgreSQL server of its own."""

from __future__ import annotations

import os
import signal
import sys
import tempfile

import pytest

from gridbot_site import testing

CONNECT = """
import os, pathlib, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    version = connection.execute("SHOW server_version").fetchone()[0]
pathlib.Path({path!r}).write_text(os.environ["DATABASE_URL"])
raise SystemExit(int(version.split(".")[0]))
"""


@pytest.fixture
def untouched(monkeypatch):
    """Give back what `main` changes for the life of its process."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def test_a_command_finds_a_server_which_goes_with_it(untouched, tmp_path):
    path = tmp_path / "url"
    code = testing.main([sys.executable, "-c", CONNECT.format(path=str(path))])
    assert code >= 12, "the command's exit code is the server's version"
    folder = path.read_text(encoding="utf-8").partition("host=")[2]
    assert folder
    assert not os.path.exists(folder)


def test_without_a_command_there_is_a_usage_line(capsys):
    assert testing.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
