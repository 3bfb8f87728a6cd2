"""What the engine wants done: orders to place and to cancel, and how an order is named.

An order is the same order as long as its symbol, side, price, level and direction are the same.
Its `client_order_id` is a hash of these, so that an intent repeated on every tick, or after a
restart, is recognised by whoever sends it. Quantity and flags are not part of the identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import ClassVar

from gridcore.errors import GridcoreError
from gridcore.instrument import to_amount, to_decimal, to_price

SIDES = ("Buy", "Sell")
DIRECTIONS = ("long", "short")
# A sell of a long and a buy of a short make it smaller.
REDUCES = {("long", "Sell"), ("short", "Buy")}
ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class PlaceLimitIntent:
    """A limit order to place; `price` in quote coin, `qty` in coins (0: the executor sizes it)."""

    _IDENTITY_PARAMS: ClassVar[list[str]] = ["symbol", "side", "price", "grid_level", "direction"]

    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    reduce_only: bool
    client_order_id: str
    grid_level: int
    direction: str
    order_link_id: str | None = field(default=None, compare=False)
    post_only: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        _check_member("side", self.side, SIDES)
        _check_member("direction", self.direction, DIRECTIONS)
        to_price(self.price)
        to_amount(self.qty, "qty")

    @classmethod
    def create(
        cls,
        symbol: str,
        side: str,
        price: Decimal,
        qty: Decimal,
        grid_level: int,
        direction: str,
        reduce_only: bool = False,
        post_only: bool = False,
        strat_id: str | None = None,
    ) -> PlaceLimitIntent:
        """Build an intent and name it; `strat_id` keeps two strategies' orders apart.

        The price enters the name with the decimals it is given with, so give it in the tick's.
        """
        if strat_id is not None and not isinstance(strat_id, str):
            raise GridcoreError(f"strat_id must be a text, not {strat_id!r}")
        side, direction = _text(side), _text(direction)
        number = to_decimal(price, "price")
        values = {
            "symbol": symbol,
            "side": side,
            "price": number,
            "grid_level": grid_level,
            "direction": direction,
        }
        parts = [_text(values[name]) for name in cls._IDENTITY_PARAMS]
        if strat_id is not None:
            parts.insert(0, strat_id)
        return cls(
            symbol=symbol,
            side=side,
            price=number,
            qty=to_decimal(qty, "qty"),
            reduce_only=reduce_only,
            client_order_id=sha256("_".join(parts).encode()).hexdigest()[:ID_LENGTH],
            grid_level=grid_level,
            direction=direction,
            post_only=post_only,
        )


@dataclass(frozen=True, slots=True)
class CancelIntent:
    """A resting order to cancel, and why; price and side are for the log."""

    symbol: str
    order_id: str
    reason: str
    price: Decimal | None = None
    side: str | None = None

    def __post_init__(self) -> None:
        if self.side is not None:
            _check_member("side", self.side, SIDES)


def extract_client_order_prefix(order_link_id: str | None) -> str | None:
    """Return the client_order_id in an order link id, the text before the first dash.

    Bybit remembers link ids for ever, so one that is sent again carries a suffix.
    """
    if not order_link_id:
        return None
    return order_link_id.partition("-")[0] or None


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    # Plain notation: 0.0000005 and 5E-7 are one price.
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _check_member(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise GridcoreError(f"{name} must be {' or '.join(known)}, not {value!r}")
