"""Fill models: how much of a resting order a public trade may have filled.

Public trades do not say whether we, had we been there, would have been filled: that depends on
the queue ahead of us. Each model is one answer, a function of the order, the trade and the price
of the trade before. It answers in coins, from 0 to the order's `leaves_qty`; the book takes care
of what the trade's size and the position allow.

- `strict_cross`: the trade went through the limit, so everything that stood at the limit was
  filled, we included, wherever we stood in the queue. Pessimistic: what a real queue would
  have filled at the limit itself is missed.
- `trade_through_at_limit`: the trade was at the limit or through it, as if we stood first.
  Optimistic: most touches of a level fill nobody but those in front.
- `last_cross`: the trade before was short of the limit, this one is at it or through it.
  Optimistic on the first touch like the former; but an order that joins while the price is at
  its limit is not filled, not even by a trade through it, until the price has been away.

A model is asked about an order only when the trade has reached it: a Buy's limit is at or above
the trade's price, a Sell's at or below. No model can therefore fill an order further away, and
whoever drives the book may skip trades that reach none. Any callable may be a model; one that
keeps a queue position for each order has that memory in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from gridcore.instrument import ZERO


class Order(NamedTuple):
    """An order as the book has it; `price` in quote coin (0: a market order), `qty` in coins."""

    order_id: str
    side: str
    price: Decimal
    ticks: int
    qty: Decimal
    leaves_qty: Decimal
    direction: str
    reduce_only: bool
    time_in_force: str


class MarketTrade(NamedTuple):
    """A public trade; `size` in coins, None when it may fill any quantity."""

    price: Decimal
    size: Decimal | None = None
    trade_id: str = ""


FillModel: TypeAlias = Callable[[Order, MarketTrade, Decimal | None], Decimal]


def strict_cross(order: Order, trade: MarketTrade, previous: Decimal | None) -> Decimal:
    """Fill when the trade went through the limit."""
    through = trade.price < order.price if order.side == "Buy" else trade.price > order.price
    return order.leaves_qty if through else ZERO


def trade_through_at_limit(order: Order, trade: MarketTrade, previous: Decimal | None) -> Decimal:
    """Fill when the trade was at the limit or went through it."""
    return order.leaves_qty if is_reached(order.side, order.price, trade.price) else ZERO


def last_cross(order: Order, trade: MarketTrade, previous: Decimal | None) -> Decimal:
    """Fill when the price came from beyond the limit and has reached it or gone through it."""
    if previous is None or is_reached(order.side, order.price, previous):
        return ZERO
    return trade_through_at_limit(order, trade, previous)


FILL_MODELS: Mapping[str, FillModel] = {
    model.__name__: model for model in (strict_cross, trade_through_at_limit, last_cross)
}


def is_reached(side: str, limit: Decimal, price: Decimal) -> bool:
    """Whether a market at `price` is at the limit or through it."""
    return price <= limit if side == "Buy" else price >= limit
