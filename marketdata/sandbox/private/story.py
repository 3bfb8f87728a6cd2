"""The scripted activity of an account: what becomes of its orders, drawn from a seed.

An account has a stream of random numbers of its own, so the same seed gives the same story,
whatever the others do and however fast it is told; only the times and the market's price come
from outside. An order's life is a generator: each step is one event, and an event is the frames
that the exchange would push for it. What is odd but documented happens now and then: an order that is
refused for taking liquidity, several fills in one message, a state that arrives after a later
one, `Filled` twice, an execution sent twice, funding, an execType nobody has heard of.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.private.accounts import SandboxAccount
from marketdata.sandbox.private.book import BUY, Account, Leg, Order, money
from marketdata.sandbox.private.drafts import Drafts, Quote
from marketdata.sandbox.private.rows import (
    execution_row,
    order_fill,
    order_row,
    position_row,
    wallet_row,
)
from marketdata.sandbox.private.wire import EXECUTION, ORDER, POSITION, WALLET, Frame
from marketdata.sandbox.wire import Row

Life = Iterator[list[Frame]]

MAKER_FEE, TAKER_FEE = Decimal("0.0002"), Decimal("0.00055")
FUNDING_RATE = Decimal("0.0001")
FIRST_SEQ = 227_170_000_000
MAX_OPEN = 6
# How lives go, and how often (of a hundred).
KINDS = {"resting": 50, "taker": 18, "cancelled": 14, "partly": 12, "refused": 6}
NEW_SHARE = 0.4
SWEEP_SHARE, LATE_SHARE, RACE_SHARE, RESENT_SHARE = 0.25, 0.15, 0.08, 0.06
FUNDING_SHARE, UNKNOWN_SHARE, SWAPPED_SHARE, APART_SHARE = 0.05, 0.03, 0.2, 0.3
UNKNOWN_TYPES = ("SandboxRebate", "LeapSettle")
# Both sides of a match may be accounts of ours: then they share the id of the execution.
SHARED_EVERY = 20
LOOK_BACK_MS = 3


class Story:
    """One account's book and what happens to it."""

    def __init__(
        self,
        account: SandboxAccount,
        instruments: Iterable[Instrument],
        quote: Quote,
        *,
        uid: int,
        seed: int,
        now_ms: int,
    ) -> None:
        listed = list(instruments)
        self.book = Account(hedge_mode=account.hedge_mode)
        self._uid = uid
        self._seed = seed
        self._draw = random.Random(f"{seed}/account/{account.name}")  # noqa: S311
        self._drafts = Drafts(self.book, listed, quote, self._draw, uid=uid)
        self._filled = {one.symbol: 0 for one in listed}
        self._seq = FIRST_SEQ
        self._lives: list[Life] = []
        self._now = 0
        for one in listed:
            self.book.add_symbol(one.symbol, now_ms)

    def event(self, now_ms: int) -> list[Frame]:
        """The next thing that happens, to a new order or to one of those under way."""
        while True:
            few = len(self._lives) < MAX_OPEN
            if not self._lives or (few and self._draw.random() < NEW_SHARE):
                self._lives.append(self.begin())
                life = self._lives[-1]
            else:
                life = self._draw.choice(self._lives)
            if frames := self.advance(life, now_ms):
                return frames
            self._lives.remove(life)

    def begin(self) -> Life:
        """A new order, to which nothing has happened yet."""
        return self._life()

    def advance(self, life: Life, now_ms: int) -> list[Frame]:
        """What happens next to an order; nothing when its life is over."""
        self._now = now_ms
        return next(life, [])

    def mark(self, symbol: str) -> Decimal:
        """The price at which a symbol's positions are valued."""
        return self._drafts.mark(symbol)

    def marks(self) -> dict[str, Decimal]:
        """The prices of what is held."""
        held = {leg.symbol for leg in self.book.legs.values() if leg.size}
        return {symbol: self.mark(symbol) for symbol in held}

    # --- lives -------------------------------------------------------------------------------

    def _life(self) -> Life:
        (kind,) = self._draw.choices(list(KINDS), weights=list(KINDS.values()))
        order = self._drafts.order(kind, self._now - LOOK_BACK_MS)
        if kind == "refused":
            yield self._refused(order)
            return
        self.book.accept(order)
        parts = self._drafts.parts(order)
        if kind == "taker":
            yield self._fills(order, parts, TAKER_FEE)
        else:
            yield self._state(order)
            yield from self._resting(order, parts, kind)
        if order.status == "Filled":
            yield from self._afterwards(order)

    def _resting(self, order: Order, parts: list[Decimal], kind: str) -> Life:
        """The life of an order that was accepted and waits in the book."""
        if kind in ("cancelled", "partly"):
            for part in parts[:-1] if kind == "partly" else ():
                yield self._fills(order, [part], MAKER_FEE)
            yield self._cancelled(order)
            return
        if self._draw.random() < SWEEP_SHARE:
            yield self._fills(order, parts, MAKER_FEE)
            return
        late = len(parts) > 1 and self._draw.random() < LATE_SHARE
        held: list[Frame] = []
        for index, part in enumerate(parts):
            frames = self._fills(order, [part], MAKER_FEE)
            if late and index == len(parts) - 2:
                held = [frame for frame in frames if frame.topic == ORDER]
                frames = [frame for frame in frames if frame.topic != ORDER]
            yield frames
        if held:
            yield held

    def _afterwards(self, order: Order) -> Life:
        """What may follow when an order was filled."""
        draw = self._draw.random
        if draw() < RACE_SHARE:
            yield self._race(order)
        if draw() < FUNDING_SHARE and (frames := self._funding(order.symbol)):
            yield frames
        if draw() < UNKNOWN_SHARE:
            yield self._unheard_of(order)

    # --- events ------------------------------------------------------------------------------

    def _state(self, order: Order) -> list[Frame]:
        """An order's state changed without a fill."""
        seq, (_, updated) = self._next_seq(), self._times(order)
        order.updated_ms = updated
        frame = self._frame(ORDER, order.symbol, seq, updated + 1, [order_row(order)])
        return [frame, *self._positions(order.symbol, updated + 2), self._wallet(updated + 2)]

    def _refused(self, order: Order) -> list[Frame]:
        """It would have taken liquidity: the account has what it had."""
        order.status = self._draw.choice(("Cancelled", "Rejected"))
        order.reject_reason = "EC_PostOnlyWillTakeLiquidity"
        return self._state(order)[:-1]

    def _cancelled(self, order: Order) -> list[Frame]:
        order.cancel_type = self._draw.choice(("CancelByUser", "CancelByUser", "CancelByAdmin"))
        self.book.cancel(order)
        return self._state(order)

    def _race(self, order: Order) -> list[Frame]:
        """It was to be cancelled and is filled already: the exchange says Filled once more."""
        if self._draw.random() < 0.5:
            frame = self._frame(ORDER, order.symbol, self._seq, self._now, [order_row(order)])
            return [frame.again()]
        order.cancel_type = "CancelByUser"
        order.reject_reason = "EC_OrigClOrdIDDoesNotExist"
        return self._state(order)

    def _fills(self, order: Order, parts: Sequence[Decimal], rate: Decimal) -> list[Frame]:
        """Fills in one message: they share their `seq`, and less and less is left."""
        seq, (executed, updated) = self._next_seq(), self._times(order)
        rows = [
            self._fill(order, part, index, rate, time_ms=executed, seq=seq)
            for index, part in enumerate(parts)
        ]
        order.updated_ms = updated
        executions = self._frame(EXECUTION, order.symbol, seq, updated + 1, rows)
        frames = [
            executions,
            self._frame(ORDER, order.symbol, seq, updated + 1, [order_row(order)]),
        ]
        if self._draw.random() < SWAPPED_SHARE:
            frames.reverse()
        frames += [*self._positions(order.symbol, updated + 2), self._wallet(updated + 2)]
        if self._draw.random() < RESENT_SHARE:
            frames.append(executions.again())
        return frames

    def _fill(
        self, order: Order, qty: Decimal, index: int, rate: Decimal, *, time_ms: int, seq: int
    ) -> Row:
        maker, price = rate == MAKER_FEE, order.price
        if not maker:
            # A taker gets the market's price, and a worse one the further it goes.
            worse = self._drafts.tick(order.symbol) * index
            price = order.last_price + (worse if order.side == BUY else -worse)
        fee = money(price * qty * rate)
        profit = self.book.fill(order, price, qty, fee, time_ms=time_ms, seq=seq)
        closed = qty if order.reduce_only else Decimal()
        return execution_row(
            symbol=order.symbol,
            side=order.side,
            order_id=order.order_id,
            exec_id=self._execution_id(order.symbol),
            price=price,
            qty=qty,
            fee=fee,
            fee_rate=rate,
            mark=self.mark(order.symbol),
            time_ms=time_ms,
            seq=seq,
            **order_fill(order, pnl=profit, closed=closed, maker=maker),
        )

    def _funding(self, symbol: str) -> list[Frame]:
        """Long legs pay a rate above zero to short ones; what is paid is a positive fee."""
        rate = FUNDING_RATE * self._draw.choice((1, 1, -1))
        legs = [leg for leg in self.book.legs_of(symbol) if leg.size]
        if not legs:
            return []
        seq, mark, rows = self._next_seq(), self.mark(symbol), []
        for leg in legs:
            leg_rate = rate if leg.side == BUY else -rate
            fee = money(leg.size * mark * leg_rate)
            self.book.fund(leg, fee)
            rows.append(
                self._without_order(leg, leg.size, fee, leg_rate, "Funding", price=mark, seq=seq)
            )
        frame = self._frame(EXECUTION, symbol, seq, self._now, rows)
        return [frame, *self._positions(symbol, self._now + 1), self._wallet(self._now + 1)]

    def _unheard_of(self, order: Order) -> list[Frame]:
        """A kind of execution that came after the documentation; no money moves."""
        kind, leg = self._draw.choice(UNKNOWN_TYPES), self.book.leg(order)
        none, seq = Decimal(), self._next_seq()
        row = self._without_order(leg, order.qty, none, none, kind, price=order.price, seq=seq)
        return [self._frame(EXECUTION, order.symbol, seq, self._now, [row])]

    def _without_order(
        self,
        leg: Leg,
        qty: Decimal,
        fee: Decimal,
        rate: Decimal,
        kind: str,
        *,
        price: Decimal,
        seq: int,
    ) -> Row:
        return execution_row(
            symbol=leg.symbol,
            side=leg.direction,
            order_id=self._drafts.identifier(),
            exec_id=self._drafts.identifier(),
            price=price,
            qty=qty,
            fee=fee,
            fee_rate=rate,
            mark=self.mark(leg.symbol),
            time_ms=self._now - 1,
            seq=seq,
            execType=kind,
        )

    # --- frames ------------------------------------------------------------------------------

    def _frame(self, topic: str, symbol: str, seq: int, ms: int, rows: list[Row]) -> Frame:
        return Frame(topic=topic, id=f"{self._uid}_{symbol}_{seq}", creation_time=ms, rows=rows)

    def _positions(self, symbol: str, ms: int) -> list[Frame]:
        """Both legs, changed or not, in one frame or in one each."""
        mark = self.mark(symbol)
        rows = [position_row(leg, mark) for leg in self.book.legs_of(symbol)]
        frame_id = f"{self._uid}_position_{ms}"
        apart = self._draw.random() < APART_SHARE
        return [
            Frame(topic=POSITION, id=frame_id, creation_time=ms, rows=piece)
            for piece in ([[row] for row in rows] if apart else [rows])
        ]

    def _wallet(self, ms: int) -> Frame:
        rows = [wallet_row(self.book, self.marks())]
        return Frame(topic=WALLET, id=f"{self._uid}_wallet_{ms}", creation_time=ms, rows=rows)

    # --- draws -------------------------------------------------------------------------------

    def _execution_id(self, symbol: str) -> str:
        self._filled[symbol] += 1
        if self._filled[symbol] % SHARED_EVERY:
            return self._drafts.identifier()
        shared = f"{self._seed}/{symbol}/{self._filled[symbol]}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, shared))

    def _next_seq(self) -> int:
        self._seq += self._draw.randint(1, 40)
        return self._seq

    def _times(self, order: Order) -> tuple[int, int]:
        """When it happened and when the order knew (ms): always later than the last time."""
        executed = max(self._now - LOOK_BACK_MS, order.updated_ms)
        return executed, executed + 1
