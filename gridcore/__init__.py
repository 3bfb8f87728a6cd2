"""The grid strategy: events in, intents out; no I/O, no clock, no framework."""

from __future__ import annotations

from gridcore.config import GridConfig

__all__ = ["GridConfig"]
__version__ = "0.1.0"
