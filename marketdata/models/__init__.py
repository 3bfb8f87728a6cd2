"""What happened: the tables of public and private facts, and of coverage."""

from __future__ import annotations

from marketdata.models.coverage import (
    CaptureGap,
    CaptureLease,
    CoverageInterval,
    QuarantinedMessage,
    Span,
    Stream,
)
from marketdata.models.fields import Side
from marketdata.models.private import (
    Order,
    PositionSnapshot,
    PrivateExecution,
    PrivateFact,
    WalletSnapshot,
)
from marketdata.models.public import EnvironmentStamp, Instrument, PublicTrade, TickerSnapshot

__all__ = [
    "CaptureGap",
    "CaptureLease",
    "CoverageInterval",
    "EnvironmentStamp",
    "Instrument",
    "Order",
    "PositionSnapshot",
    "PrivateExecution",
    "PrivateFact",
    "PublicTrade",
    "QuarantinedMessage",
    "Side",
    "Span",
    "Stream",
    "TickerSnapshot",
    "WalletSnapshot",
]
