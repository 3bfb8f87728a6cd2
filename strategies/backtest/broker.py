"""Between the engine's wishes and the book: how much, and whether at all.

An order is declined when the exchange, or a careful sender, would decline it:

- `reduce_only`: the position is not larger than this order and all resting orders that reduce
  it already. (From a flat start this is half of the wishes.)
- `margin`: equity less initial margin does not carry it.
- `quantity`: the amount comes to less than the exchange's minimum quantity, or to nothing.

The engine repeats what was declined on every ticker. A decision holds until the account, the
resting orders or the multipliers change, or until the price makes the margin suffice; up to then
the id is in `refused`, and the wish is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from gridcore import CancelIntent, PlaceLimitIntent
from gridcore.engine import Intent
from gridcore.instrument import EXACT, ZERO, Scale
from gridcore.matching import Cancelled, Fill, MatchingBook, Order
from gridcore.qty import apply_notional_floor, create_qty_calculator
from strategies.backtest.account import Account, State
from strategies.backtest.lines import HIGHEST
from strategies.backtest.risk import Risk, Sizing
from strategies.backtest.terms import Contract

REDUCE_ONLY = "reduce_only"
MARGIN = "margin"
QUANTITY = "quantity"

EVERYWHERE = (1, HIGHEST)
UNKNOWN = Sizing({}, 1, 0)
# So many quantities are remembered.
MEMORY = 4096


class Verdict(NamedTuple):
    """Why an order was declined ("": it was not), and its quantity in coins."""

    reason: str
    qty: Decimal


class Declined(NamedTuple):
    """A wish that was declined; `value` in quote coin."""

    intent: PlaceLimitIntent
    reason: str
    value: Decimal


class Broker:
    """Sends orders to the book, and keeps count of what rests and what was declined."""

    def __init__(
        self,
        book: MatchingBook,
        account: Account,
        risk: Risk,
        *,
        contract: Contract,
        amount: str,
        scale: Scale,
    ) -> None:
        self._book = book
        self._account = account
        self._risk = risk
        self._contract = contract
        self._scale = scale
        self._calculate = create_qty_calculator(amount)
        self._is_share = amount.startswith("x")
        self._qtys: dict[tuple[Decimal, Decimal, Decimal], Decimal] = {}
        self.refused: dict[str, Declined] = {}
        self.ever_refused: dict[str, set[str]] = {}
        self.placed = 0
        self._intents: dict[str, PlaceLimitIntent] = {}
        # By direction: coins that resting orders would close, quote coin of those that open.
        self._closing = dict.fromkeys(("long", "short"), ZERO)
        self._opening = dict.fromkeys(("long", "short"), ZERO)
        self._wallet = ZERO
        self._sizing = UNKNOWN
        # Where, if nothing but the price changes, multipliers leave declined what is declined,
        # and where margin does not suffice for it.
        self._settled = UNKNOWN
        self._lacking = EVERYWHERE

    # --- What has changed -----------------------------------------------------------------

    def on_account(self) -> None:
        """Drop what was decided before the account changed."""
        self.refused.clear()
        self._sizing = UNKNOWN

    def on_happening(self, happening: Fill | Cancelled) -> None:
        """Count what a resting order no longer wants."""
        gone = happening.qty if isinstance(happening, Fill) else happening.leaves_qty
        self._count(happening, gone.copy_negate())

    def on_price(self, state: State, ticks: int) -> None:
        """Know the multipliers at this price, and drop decisions that it may change."""
        low, high = self._lacking
        if not low <= ticks <= high:
            self.refused.clear()
        if self._sizing.holds(ticks):
            return
        before, self._sizing = self._sizing.multipliers, self._risk.evaluate(state, ticks)
        self._wallet = self._account.wallet_balance() if self._is_share else ZERO
        now = self._sizing.multipliers
        stale = [
            name
            for name, (intent, *_) in self.refused.items()
            if before[intent.direction, intent.side] != now[intent.direction, intent.side]
        ]
        for name in stale:
            del self.refused[name]
        if stale or not self.refused:
            self._settled = self._sizing
        else:
            self._settled = self._settled.joined(self._sizing)

    # --- Carrying out ---------------------------------------------------------------------

    def carry_out(self, wishes: Iterable[Intent], ticks: int) -> None:
        """Place and cancel what is wanted at this price, or decline it."""
        cancelled = False
        for wish in wishes:
            if isinstance(wish, CancelIntent):
                for happening in self._book.cancel(wish.order_id):
                    self.on_happening(happening)
                cancelled = True
            elif wish.client_order_id not in self.refused:
                self._place(wish, ticks)
        if cancelled:
            # What the cancelled orders wanted is there for others, on the next ticker.
            self.refused = {
                name: declined
                for name, declined in self.refused.items()
                if self._judge(declined.intent, ticks).reason
            }
        self._lacking = self._lacking_ticks(ticks)

    def quiet_ticks(self) -> tuple[int, int]:
        """Return the ticks between which everything in `refused` remains declined."""
        if not self.refused:
            return EVERYWHERE
        (low, high), settled = self._lacking, self._settled
        return max(low, settled.low), min(high, settled.high)

    def level_of(self, order_id: str) -> int | None:
        """Return the grid level of an order that was placed, if it was for one."""
        intent = self._intents.get(order_id)
        return None if intent is None else intent.grid_level

    def close_all(self) -> list[Fill]:
        """Cancel all orders and close both legs at the last trade's price, as taker."""
        self._book.cancel_all()
        happened = [
            happening
            for leg, side in ((self._account.long, "Sell"), (self._account.short, "Buy"))
            if leg.size
            for happening in self._book.place(
                f"liquidation-{leg.direction}",
                side=side,
                price=None,
                qty=leg.size,
                direction=leg.direction,
                time_in_force="IOC",
            )
        ]
        return [happening for happening in happened if isinstance(happening, Fill)]

    def _place(self, wish: PlaceLimitIntent, ticks: int) -> None:
        reason, qty = self._judge(wish, ticks)
        name = wish.client_order_id
        if reason:
            self.refused[name] = Declined(wish, reason, EXACT.multiply(qty, wish.price))
            self.ever_refused.setdefault(reason, set()).add(name)
            # Of this one it is not known what the multipliers elsewhere would do to it.
            self._settled = self._sizing
            return
        happened = self._book.place(
            name,
            side=wish.side,
            price=wish.price,
            qty=qty,
            direction=wish.direction,
            reduce_only=wish.reduce_only,
        )
        # The engine asks for nothing that the last price would fill at once.
        assert not happened, happened  # noqa: S101
        self.placed += 1
        self._intents[name] = wish
        self._count(self._book.order(name), qty)

    # --- Judging --------------------------------------------------------------------------

    def _judge(self, wish: PlaceLimitIntent, ticks: int) -> Verdict:
        if wish.reduce_only:
            leg = self._account.long if wish.direction == "long" else self._account.short
            room = EXACT.subtract(leg.size, self._closing[wish.direction])
            if room <= ZERO:
                return Verdict(REDUCE_ONLY, ZERO)
            qty = self._qty(wish)
            reason = "" if qty < room else REDUCE_ONLY
        else:
            qty = self._qty(wish)
            reason = "" if self._carries(wish, qty, ticks) else MARGIN
        return Verdict(reason if qty else QUANTITY, qty)

    def _qty(self, wish: PlaceLimitIntent) -> Decimal:
        factor = self._sizing.multipliers[wish.direction, wish.side]
        key = (wish.price, factor, self._wallet)
        qty = self._qtys.get(key)
        if qty is None:
            if len(self._qtys) >= MEMORY:
                self._qtys.clear()
            qty = self._qtys[key] = self._sized(wish, factor)
        return qty

    def _sized(self, wish: PlaceLimitIntent, factor: Decimal) -> Decimal:
        qty = apply_notional_floor(self._calculate(wish, self._wallet) * factor, wish.price)
        if qty and EXACT.multiply(qty, wish.price) < self._contract.min_notional:
            qty = self._contract.min_notional / wish.price
        return self._contract.info.round_qty(qty)

    def _carries(self, wish: PlaceLimitIntent, qty: Decimal, ticks: int) -> bool:
        price = self._scale.value(ticks)
        opening = self._opening
        free = self._account.free_margin(
            price, long_orders=opening["long"], short_orders=opening["short"]
        )
        rate = self._account.initial_rate(wish.direction, price)
        return EXACT.multiply(EXACT.multiply(qty, wish.price), rate) <= free

    def _lacking_ticks(self, ticks: int) -> tuple[int, int]:
        least: dict[str, Decimal] = {}
        for intent, reason, value in self.refused.values():
            if reason == MARGIN:
                least[intent.direction] = min(least.get(intent.direction, value), value)
        return self._account.quiet_ticks(ticks, least, self._opening) if least else EVERYWHERE

    def _count(self, order: Order | Fill | Cancelled, qty: Decimal) -> None:
        if order.reduce_only:
            self._closing[order.direction] = EXACT.add(self._closing[order.direction], qty)
        else:
            self._opening[order.direction] = EXACT.fma(
                qty, order.price, self._opening[order.direction]
            )
