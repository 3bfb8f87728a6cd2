"""`manage.py web` as systemd runs it: gunicorn, whitenoise, signals and exit codes."""

from __future__ import annotations

import http.client
import logging
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import pytest
from django.db import OperationalError, connection
from gunicorn.sock import create_sockets
from gunicorn.workers.gthread import TConn

from gridbot_site import web_server
from gridbot_site.error_pages import server_error
from gridbot_site.log_lines import LineFormatter
from gridbot_site.tests.test_settings import ROOT, SOUND, run

PROXIED = {"X-Forwarded-Proto": "https", "Host": "localhost"}
SECONDS = 60


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "static"
    done = manage("collectstatic", "--no-input", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder, **given):
    return {
        "DJANGO_SETTINGS_MODULE": "gridbot_site.tests.settings_web",
        "COLLECTED": str(folder),
        **given,
    }


def manage(*arguments, folder, **given):
    return run("manage.py", *arguments, **environment(folder, **given))


@contextmanager
def serving(folder, tmp_path, **given):
    """The server once it says READY=1, and how to ask it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SECONDS)
        server = subprocess.Popen(
            [sys.executable, "manage.py", "web", "--bind", f"127.0.0.1:{port}", "--workers", "1"],
            cwd=ROOT,
            env=SOUND | environment(folder, NOTIFY_SOCKET=str(tmp_path / "notify"), **given),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert systemd.recv(4096).startswith(b"READY=1")
            yield server, lambda path, **headers: ask(port, path, headers)
        finally:
            server.kill()
            server.communicate()


def ask(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    body = answer.read().decode()
    connection.close()
    return answer.status, told, body


def test_it_serves_pages_and_their_files_behind_a_proxy_until_it_is_told_to_stop(
    collected, tmp_path
):
    with serving(collected, tmp_path, GRIDBOT_PROXIES="1") as (server, get):
        status, told, page = get("/admin/login/", **PROXIED)
        assert (status, told["cache-control"]) == (200, "private, no-store")
        files = re.findall(r"/static/[^\"]+", page)
        assert any(name.endswith(".js") for name in files)
        for name in files:
            status, told, _ = get(name, **PROXIED)
            # The name has a hash of the file in it: who has the file need never ask again.
            assert (status, "immutable" in told["cache-control"]) == (200, True), name
            assert told["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in told
        assert get("/healthz", Host="localhost")[0] == 200
        assert get("/admin/login/", Host="localhost")[0] == 301
        # What strangers and probes ask for, as often as they like.
        assert get("/admin/login/", **PROXIED | {"Host": "elsewhere"})[0] == 400
        assert get("/wp-login.php", **PROXIED)[0] == 404
        assert get("/readyz", Host="localhost")[0] == 503
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=SECONDS)
    assert server.returncode == 0
    assert all(re.match(r"\S+Z INFO \w+ ", line) for line in log.splitlines()), log


@pytest.fixture
def locked_sessions(transactional_db):
    """The URL of a database whose sessions somebody has locked, as a long migration does."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no limit")
    import psycopg

    known = connection.get_connection_params()
    names = ("dbname", "host", "port", "user", "password")
    where = {name: known[name] for name in names if known.get(name)}
    with psycopg.connect(**where) as other:
        other.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        yield f"postgresql:///{quote(where.pop('dbname'))}?{urlencode(where)}"
        other.rollback()


@pytest.mark.django_db(transaction=True)
def test_a_page_over_which_the_database_takes_too_long_is_cut_off_and_says_so(
    locked_sessions, collected, tmp_path
):
    given = {"GRIDBOT_WEB_STATEMENT_SECONDS": "0.2", "DATABASE_URL": locked_sessions}
    with serving(collected, tmp_path, GRIDBOT_PROXIES="1", **given) as (server, get):
        status, told, page = get("/admin/", **PROXIED, Cookie=f"__Host-sessionid={'s' * 32}")
        assert (status, told["cache-control"]) == (503, "private, no-store")
        assert "The database took longer over this page" in page
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=SECONDS)
    [line] = [line for line in log.splitlines() if " INFO " not in line]
    assert re.search(r" WARNING page_cut_off .*path=/admin/", line), line


def test_any_other_error_of_a_page_is_one_of_the_program(rf):
    try:
        raise OperationalError("the server closed the connection")
    except OperationalError:
        assert server_error(rf.get("/")).status_code == 500


def test_a_client_that_says_it_is_a_proxy_is_not_believed(collected, tmp_path):
    with serving(collected, tmp_path) as (_, get):
        assert get("/admin/login/", **PROXIED)[0] == 301


@pytest.mark.parametrize("change", ["never", "older"])
def test_files_that_are_not_those_of_this_version_are_refused(change, collected, tmp_path):
    folder = tmp_path / "static"
    if change == "older":
        shutil.copytree(collected, folder)
        (folder / "admin" / "css" / "base.css").write_text("body {}", encoding="utf-8")
    done = manage("web", folder=folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert "run `manage.py collectstatic --no-input` first" in done.stderr


def test_debug_is_for_runserver(collected):
    done = manage("web", folder=collected, GRIDBOT_DEBUG="true")
    assert done.returncode == 4
    assert "GRIDBOT_DEBUG is on" in done.stderr


@pytest.mark.parametrize("bind", ["8000", "localhost:", "::1:8000", "unix:relative"])
def test_an_address_that_is_none_is_a_usage_error(bind, collected):
    done = manage("web", "--bind", bind, folder=collected)
    assert done.returncode == 2
    assert "neither HOST:PORT nor unix:/path" in done.stderr


def test_a_socket_is_for_its_owner_and_group_alone(tmp_path):
    path = tmp_path / "socket"
    server = web_server.WebServer(bind=f"unix:{path}", workers=1, threads=1)
    [listener] = create_sockets(server.cfg, logging.getLogger(__name__))
    listener.close()
    assert stat.filemode(path.stat().st_mode) == "srw-rw----"


def test_a_client_that_falls_silent_is_not_waited_for_for_ever(monkeypatch, caplog):
    monkeypatch.setattr(web_server, "CLIENT_SECONDS", 1)
    cfg = web_server.WebServer(bind="127.0.0.1:0", workers=1, threads=1).cfg
    caplog.set_level("INFO")
    worker = object.__new__(cfg.worker_class)
    worker.cfg, worker.log = cfg, cfg.logger_class(cfg)
    # As nginx comes by a socket with a name, whose options accepted ones do not have.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        assert worker.handle(TConn(cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))) is False
    [record] = caplog.records
    assert "a client fell silent" in record.message
    assert (record.levelname, record.exc_info) == ("INFO", None)


def test_why_a_process_of_the_site_cannot_start_is_said_by_the_log_alone(
    monkeypatch, capsys, caplog
):
    def fails():
        raise RuntimeError("password=hush")

    monkeypatch.delitem(sys.modules, "gridbot_site.wsgi", raising=False)
    monkeypatch.setattr("django.core.wsgi.get_wsgi_application", fails)
    server = web_server.WebServer(bind="127.0.0.1:0", workers=1, threads=1)
    with pytest.raises(SystemExit) as ended:
        server.load()
    assert ended.value.code == 3
    [record] = caplog.records
    line = LineFormatter().format(record)
    assert "cannot start: RuntimeError" in line
    assert "hush" not in line + capsys.readouterr().err
