"""systemd is told when capture is ready and when it stops."""

from __future__ import annotations

import os
import socket

from marketdata.capture.notify import notify


def test_a_state_is_sent_to_the_socket_of_systemd(listener):
    notify("READY=1")
    assert listener.recv(100) == b"READY=1"


def test_without_systemd_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_a_socket_that_is_not_there_is_no_reason_to_stop(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    notify("READY=1")


def test_an_abstract_socket_is_reached_too(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        name = f"gridbot-{os.getpid()}"
        datagrams.bind("\0" + name)
        datagrams.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify("STOPPING=1")
        assert datagrams.recv(100) == b"STOPPING=1"
