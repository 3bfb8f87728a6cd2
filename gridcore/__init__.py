"""The grid strategy: events in, intents out; no I/O, no clock, no framework."""

from __future__ import annotations

from gridcore.config import GridConfig
from gridcore.events import (
    Event,
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)

__all__ = [
    "Event",
    "EventType",
    "ExecutionEvent",
    "GridConfig",
    "OrderUpdateEvent",
    "PublicTradeEvent",
    "TickerEvent",
]
__version__ = "0.1.0"
