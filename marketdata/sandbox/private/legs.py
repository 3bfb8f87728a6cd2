"""A leg of a position: what the matching book says of it, and the figures that hang on it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gridcore.matching import Fill
from gridcore.matching import Leg as Held
from marketdata.sandbox.instruments import MAINTENANCE_MARGIN
from marketdata.sandbox.private.orders import BUY, NOTHING, money

DEFAULT_LEVERAGE = Decimal(10)
ONE_WAY, LONG, SHORT = 0, 1, 2
# What the book calls them, and which side opens.
DIRECTIONS = {ONE_WAY: "net", LONG: "long", SHORT: "short"}
OPENS = {LONG: "Buy", SHORT: "Sell"}


@dataclass(slots=True)
class Leg:
    """One leg; sizes in coins and never below nothing, prices and money in USDT."""

    symbol: str
    index: int
    created_ms: int
    updated_ms: int
    opened_ms: int = 0
    seq: int = 0
    leverage: Decimal = DEFAULT_LEVERAGE
    size: Decimal = NOTHING
    side: str = ""
    entry: Decimal = NOTHING
    # The fees of opening what is open now.
    opening_fees: Decimal = NOTHING
    cur_realised: Decimal = NOTHING
    cum_realised: Decimal = NOTHING

    @property
    def value(self) -> Decimal:
        """In USDT, at the entry price."""
        return money(self.size * self.entry)

    @property
    def initial_margin(self) -> Decimal:
        """What the leg ties up."""
        return money(self.value / self.leverage)

    @property
    def maintenance_margin(self) -> Decimal:
        """What it needs not to be liquidated."""
        return money(self.value * MAINTENANCE_MARGIN)

    @property
    def liquidation(self) -> Decimal:
        """Where it would be liquidated, were it alone; nothing for a leg that never would be."""
        distance = self.entry * (1 / self.leverage - MAINTENANCE_MARGIN)
        return max(NOTHING, money(self.entry - distance * self.sign))

    @property
    def break_even(self) -> Decimal:
        """Where closing would bring back the fees of opening."""
        return money(self.entry + self.sign * self.opening_fees / self.size)

    @property
    def sign(self) -> int:
        """1 for a long, -1 for a short."""
        return 1 if self.side == BUY else -1

    def unrealised(self, mark: Decimal) -> Decimal:
        """What closing at the mark price would bring."""
        return money((mark - self.entry) * self.size * self.sign)

    def count(self, fill: Fill, fee: Decimal, pnl: Decimal) -> Decimal:
        """Count a fill in; the fees of opening what it has closed.

        A fill of a one-way leg may close it and open the other way.
        """
        closed, opened = fill.closed_size, fill.qty - fill.closed_size
        share = money(self.opening_fees * closed / self.size) if closed else NOTHING
        self.opening_fees += fee - money(fee * closed / fill.qty) - share
        if opened and closed == self.size:
            self.cur_realised = NOTHING
        self.size += opened - closed
        self.realise(pnl - fee)
        return share

    def hold(self, held: Held) -> None:
        """Take over size, side and entry from the book."""
        self.size, self.side, self.entry = held.size, held.side, money(held.entry_price)

    def realise(self, amount: Decimal) -> None:
        """Count money that came or went for this leg."""
        self.cur_realised += amount
        self.cum_realised += amount
