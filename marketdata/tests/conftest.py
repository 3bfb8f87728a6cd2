"""What the tests of market data share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.rate_limiter import RateLimiter
from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer


def forget_pauses() -> None:
    """Have the exchange asked again at once, as if a ban of ten minutes were over."""
    RateLimiter._recent.clear()
    RateLimiter._by_key.clear()


@pytest.fixture(autouse=True)
def _no_pauses() -> None:
    """A pause is remembered by the host, and a later test's may have the same port."""
    forget_pauses()


@pytest.fixture
def normalizer() -> BybitNormalizer:
    """A normaliser that has read nothing yet."""
    return BybitNormalizer()


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A quiet exchange on loopback with two symbols, which does what the test tells it."""
    with SandboxServer(SandboxConfig(symbols=("BTCUSDT", "ETHUSDT"), rate=0)) as server:
        yield server


@pytest.fixture
def private_sandbox() -> Iterator[SandboxServer]:
    """A quiet exchange with three quiet accounts: alice, bob and charlie."""
    accounts = tuple(
        SandboxAccount(name=name, api_key=secrets.token_hex(9), api_secret=secrets.token_hex(18))
        for name in ("alice", "bob", "charlie")
    )
    config = SandboxConfig(symbols=("BTCUSDT", "ETHUSDT"), rate=0, accounts=accounts)
    with SandboxServer(config) as server:
        yield server
