"""A Bybit V5 server of our own on loopback, written from the exchange's documentation.

It shares no code with the adapter that reads from it: two readings of one document that agree
are evidence, one reading used twice is not. `SandboxServer` runs it inside a test,
`serve` as a process of its own; every row that it sends is written to a ledger, the truth that
a capture is held against.
"""

from __future__ import annotations

from marketdata.sandbox.audience import DrainTimeout
from marketdata.sandbox.config import SandboxConfig
from marketdata.sandbox.private.accounts import SandboxAccount, read_accounts
from marketdata.sandbox.runner import SandboxServer, environment
from marketdata.sandbox.server import Address
from marketdata.sandbox.serving import serve

__all__ = [
    "Address",
    "DrainTimeout",
    "SandboxAccount",
    "SandboxConfig",
    "SandboxServer",
    "environment",
    "read_accounts",
    "serve",
]
