"""What gridcore refuses, by whose fault it is.

    ValueError
    └── GridcoreError
        ├── InvalidNumber   a text or number that is no finite amount, or no price
        ├── InvalidGrid     figures or prices that make no grid: ours to configure
        ├── InvalidEvent    an event that is not this engine's, or says what cannot be
        └── InvalidOrder    a resting order that cannot be read

All are ValueErrors, raised before anything has changed.
"""

from __future__ import annotations


class GridcoreError(ValueError):
    """The common parent of what is refused here."""


class InvalidNumber(GridcoreError):
    """A value is no finite number, or no price."""


class InvalidGrid(GridcoreError):
    """No grid can be made of these figures."""


class InvalidEvent(GridcoreError):
    """The engine cannot be told this event."""


class InvalidOrder(GridcoreError):
    """A resting order cannot be read."""
