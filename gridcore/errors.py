"""What gridcore refuses, by whose fault it is.

    ValueError
    └── GridcoreError
        ├── InvalidNumber   a text or number that is no finite amount, or no price
        ├── InvalidGrid     figures or prices that make no grid: ours to configure
        ├── InvalidEvent    an event that is not this engine's, or says what cannot be
        └── InvalidOrder    an order that cannot be read, or that the book cannot take
            ├── DuplicateOrder    an order of this id rests already
            ├── UnknownOrder      no order of this id rests
            └── NothingToReduce   a reduce-only order without a position to reduce

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
    """An order cannot be read, or the book cannot take it."""


class DuplicateOrder(InvalidOrder):
    """An order of this id rests already (Bybit: 110072)."""


class UnknownOrder(InvalidOrder):
    """No order of this id rests: never placed, filled or cancelled (Bybit: 110001)."""


class NothingToReduce(InvalidOrder):
    """A reduce-only order finds no position that it could reduce (Bybit: 110017)."""
