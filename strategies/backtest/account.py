"""The wallet and the two legs of hedge mode: equity, margins, liquidation.

Theory
------
*Equity is a line.* Of each fill the cash is kept, and what is bought less what is sold: equity at
a price is cash + net position * price, exactly, whatever was rounded in an average entry. The
wallet balance, equity without unrealised profit, is worked out from the legs.

*One collateral.* Both legs share the wallet (cross margin), so that the gain of one carries the
loss of the other. Each leg has the risk tier of its own position value, as Bybit sets risk limits
by side. The mark price is taken to be the last trade's. With V = size * price:

    maintenance margin = sum over legs of (V * rate - deduction)
    initial margin     = sum over legs of (V + value of resting opening orders) * initial rate

A liquidation is due when equity is at or below the maintenance margin. The prices at which that
happens, one below the market and one above it, follow from the legs alone; a hedged pair may
have both. Fees of closing are not reserved.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from gridcore.instrument import EXACT, ZERO, Scale
from gridcore.matching import Fill, Leg, MatchingBook
from strategies.backtest.lines import HIGHEST, Piece, first_not_positive
from strategies.backtest.margins import Margins, MarginTerms, tier_of


class State(NamedTuple):
    """The account between two changes; `cash` in quote coin, positions in coins.

    `liquidated_below` and `liquidated_above`: the nearest ticks at which equity no longer
    exceeds the maintenance margin, None where there is none.
    """

    cash: Decimal
    net: Decimal
    long_size: Decimal
    short_size: Decimal
    liquidated_below: int | None = None
    liquidated_above: int | None = None

    def equity(self, price: Decimal) -> Decimal:
        """Return the equity at this price, in quote coin."""
        return EXACT.fma(self.net, price, self.cash) if self.net else self.cash


class Account:
    """The account of one symbol; its legs are the book's."""

    def __init__(
        self, book: MatchingBook, scale: Scale, starting_balance: Decimal, terms: MarginTerms
    ) -> None:
        self._book = book
        self._scale = scale
        self._tiers = terms.table()
        self._margins = Margins(self._tiers, scale)
        self._start = starting_balance
        self._funding = self._forgiven = ZERO
        self.cash = starting_balance
        self.long: Leg = book.leg("long")
        self.short: Leg = book.leg("short")
        self.net = ZERO

    # --- Changes --------------------------------------------------------------------------

    def on_fill(self, fill: Fill) -> None:
        """Account for a fill, in the order of the fills; the book has settled it already."""
        value = EXACT.multiply(fill.qty, fill.price)
        buys = fill.side == "Buy"
        self.cash = (EXACT.subtract if buys else EXACT.add)(self.cash, value)
        self.cash = EXACT.subtract(self.cash, fill.fee)
        self.net = (EXACT.add if buys else EXACT.subtract)(self.net, fill.qty)

    def refresh(self) -> None:
        """Look at the legs again, after fills."""
        self.long, self.short = self._book.leg("long"), self._book.leg("short")

    def settle_funding(self, rate: Decimal, mark_price: Decimal) -> Decimal:
        """Pay funding (negative: paid), and return it: a long pays where the rate is positive."""
        value = EXACT.multiply(self.net, mark_price)
        amount = EXACT.multiply(value, rate).copy_negate() if value else ZERO
        self._funding = EXACT.add(self._funding, amount)
        self.cash = EXACT.add(self.cash, amount)
        return amount

    def forgive_debt(self) -> Decimal:
        """Bring cash below zero up to zero, and return what was forgiven."""
        debt = max(self.cash.copy_negate(), ZERO)
        self._forgiven = debt
        self.cash = EXACT.add(self.cash, debt)
        return debt

    # --- Figures --------------------------------------------------------------------------

    @property
    def is_flat(self) -> bool:
        """Whether neither leg has a position."""
        return not (self.long.position or self.short.position)

    def wallet_balance(self) -> Decimal:
        """Return the balance without unrealised profit, in quote coin."""
        total = EXACT.add(EXACT.add(self._start, self._funding), self._forgiven)
        for leg in (self.long, self.short):
            total = EXACT.add(total, EXACT.subtract(leg.realised_pnl, leg.fees))
        return total

    def equity(self, price: Decimal) -> Decimal:
        """Return the wallet balance with unrealised profit, in quote coin."""
        return EXACT.fma(self.net, price, self.cash)

    def is_liquidated(self, price: Decimal) -> bool:
        """Whether there are positions, and equity no longer exceeds their maintenance margin."""
        return not self.is_flat and self.equity(price) <= self.maintenance_margin(price)

    def maintenance_margin(self, price: Decimal) -> Decimal:
        """Return what both legs must not fall to, in quote coin."""
        total = ZERO
        for leg in (self.long, self.short):
            value = EXACT.multiply(leg.size, price)
            tier = tier_of(self._tiers, value)
            margin = EXACT.subtract(EXACT.multiply(value, tier.maintenance), tier.deduction)
            total = EXACT.add(total, margin)
        return total

    def free_margin(
        self, price: Decimal, *, long_orders: Decimal, short_orders: Decimal
    ) -> Decimal:
        """Return equity less initial margin, given the values of the resting opening orders."""
        free = self.equity(price)
        for leg, orders in ((self.long, long_orders), (self.short, short_orders)):
            value = EXACT.multiply(leg.size, price)
            taken = EXACT.multiply(EXACT.add(value, orders), tier_of(self._tiers, value).initial)
            free = EXACT.subtract(free, taken)
        return free

    def initial_rate(self, direction: str, price: Decimal) -> Decimal:
        """Return the initial margin rate of a leg, as a fraction."""
        leg = self.long if direction == "long" else self.short
        return tier_of(self._tiers, EXACT.multiply(leg.size, price)).initial

    # --- Where lines meet -----------------------------------------------------------------

    def state(self, ticks: int) -> State:
        """Return the account as it is, at a price from which liquidation is looked for."""
        below = above = None
        if not self.is_flat:
            spare, step = self._spare(), self._scale.step
            below = first_not_positive(spare, step, ticks, down=True)
            above = first_not_positive(spare, step, ticks, down=False)
        return State(self.cash, self.net, self.long.size, self.short.size, below, above)

    def quiet_ticks(
        self, ticks: int, wanted: dict[str, Decimal], orders: dict[str, Decimal]
    ) -> tuple[int, int]:
        """Return the ticks around these at which orders remain more than the account can carry.

        By direction, `wanted` is the value of the least order declined, `orders` that of the
        opening orders that rest.
        """
        low, high = 1, HIGHEST
        for direction, value in wanted.items():
            added = {**orders, direction: EXACT.add(orders[direction], value)}
            lacking, step = self._lacking(added["long"], added["short"]), self._scale.step
            below = first_not_positive(lacking, step, ticks, down=True)
            above = first_not_positive(lacking, step, ticks, down=False)
            low = low if below is None else max(low, below + 1)
            high = high if above is None else min(high, above - 1)
        return low, high

    def _spare(self) -> Callable[[int], Piece]:
        """Equity less maintenance margin."""
        pieces = self._margins.pieces(self.long.size, self.short.size)

        def spare(ticks: int) -> Piece:
            low, high, long, short = pieces(ticks)
            deduction = EXACT.add(long.tier.deduction, short.tier.deduction)
            rate = EXACT.add(long.maintenance, short.maintenance)
            return Piece(low, high, EXACT.add(self.cash, deduction), EXACT.subtract(self.net, rate))

        return spare

    def _lacking(self, long_orders: Decimal, short_orders: Decimal) -> Callable[[int], Piece]:
        """Initial margin, with orders of these values, less equity: what is missing."""
        pieces = self._margins.pieces(self.long.size, self.short.size)

        def lacking(ticks: int) -> Piece:
            low, high, long, short = pieces(ticks)
            taken = EXACT.multiply(long_orders, long.tier.initial)
            taken = EXACT.fma(short_orders, short.tier.initial, taken)
            rate = EXACT.add(long.initial, short.initial)
            return Piece(
                low, high, EXACT.subtract(taken, self.cash), EXACT.subtract(rate, self.net)
            )

        return lacking
