"""Positions: what fills make of them, exactly.

A leg knows its cost, the quote coin that its position was bought for (negative: sold for), as
an exact sum. Its average entry is a quotient, and is rounded once, whenever the position grows:
to 28 significant digits, halves to even. A fill that reduces realises (exit - entry) * qty with
that entry, and the fill that closes the rest settles what the rounding left. So always, exactly,

    sold - bought = realised profit - cost

and a closed leg leaves nothing behind. Profits are gross: fees are counted beside them.

The contexts are our own: what precision the caller works with changes nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext

from gridcore.instrument import EXACT, ZERO
from gridcore.intents import DIRECTIONS

LEGS = (*DIRECTIONS, "net")
ENTRY = Context(prec=28)


@dataclass(frozen=True, slots=True)
class Leg:
    """A position: `long` or `short` of hedge mode, or `net` of one-way mode.

    `position` and `cost` are positive for a long and negative for a short, in coins and in
    quote coin; `entry_price` is 0 while flat. `realised_pnl` is gross; `fees` are what was paid,
    negative when rebates prevail.
    """

    direction: str
    position: Decimal = ZERO
    entry_price: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def size(self) -> Decimal:
        """The position without its sign, in coins."""
        return self.position.copy_abs()

    @property
    def side(self) -> str:
        """`Buy` when long, `Sell` when short, empty when flat."""
        if not self.position:
            return ""
        return "Buy" if self.position > ZERO else "Sell"

    def reducible(self, side: str) -> Decimal:
        """Return how many coins an order of this side could close."""
        return self.size if self.side and self.side != side else ZERO


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a fill came to: the leg after it, the size that it closed, its gross profit, its fee."""

    leg: Leg
    closed_size: Decimal
    closed_pnl: Decimal
    fee: Decimal


def settle(leg: Leg, side: str, qty: Decimal, *, price: Decimal, fee_rate: Decimal) -> Settlement:
    """Fill `qty` coins at `price`: first what closes, then, at the same price, what opens."""
    with localcontext(EXACT):
        sign = 1 if side == "Buy" else -1
        closed = min(qty, leg.reducible(side))
        opened = sign * (qty - closed)
        left = leg.position + sign * closed
        # The last part takes the whole cost, and with it what the rounding of the entry left.
        released = -sign * closed * leg.entry_price if left else leg.cost
        pnl = -sign * closed * price - released if closed else ZERO
        fee = qty * price * fee_rate
        position, cost = left + opened, leg.cost - released + opened * price
        after = replace(
            leg,
            position=position,
            entry_price=leg.entry_price if position else ZERO,
            cost=cost,
            realised_pnl=leg.realised_pnl + pnl,
            fees=leg.fees + fee,
        )
    if opened:
        after = replace(after, entry_price=ENTRY.divide(cost, position))
    return Settlement(after, closed, pnl, fee)
