"""What the tests of market data share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketdata.sandbox import SandboxConfig, SandboxServer


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A quiet exchange on loopback with two symbols, which does what the test tells it."""
    with SandboxServer(SandboxConfig(symbols=("BTCUSDT", "ETHUSDT"), rate=0)) as server:
        yield server
