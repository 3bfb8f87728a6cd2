"""Somebody who takes messages."""

from __future__ import annotations

import socket

import pytest

from gridbot_site.tests.notifications.receiver import receiving


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@pytest.fixture
def unused_port():
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
