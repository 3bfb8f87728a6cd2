"""The scripted activity of an account: what becomes of its orders, drawn from a seed.

A load generator that trades as a client would: its orders are placed, filled and cancelled in the
account's one book, among those of clients. But it brings its own fills: a quiet market will do.
An account has a stream of random numbers of its own, so the same seed gives the same story,
whatever the others do and however fast it is told, until the market or a client fills, cancels
or closes something, too; only the times and the market's price come from outside.

An order's life is a generator: each step is one event, and an event is the frames that the
exchange would push for it. What is odd but documented happens now and then: an order that is
refused for taking liquidity, several fills in one message, a state that arrives after a later
one, `Filled` twice, an execution sent twice, funding, an execType nobody has heard of.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from gridcore.matching import NothingToReduce
from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.private.book import LOOK_BACK_MS, Account, Outcome
from marketdata.sandbox.private.drafts import Drafts, Quote
from marketdata.sandbox.private.orders import FILLED, Order
from marketdata.sandbox.private.pushes import Identifiers, Pushes
from marketdata.sandbox.private.rows import execution_row, order_row
from marketdata.sandbox.private.wire import EXECUTION, ORDER, POSITION, Frame

Life = Iterator[list[Frame]]

FUNDING_RATE = Decimal("0.0001")
MAX_OPEN = 6
# How lives go, and how often (of a hundred).
KINDS = {"resting": 50, "taker": 18, "cancelled": 14, "partly": 12, "refused": 6}
NEW_SHARE = 0.4
SWEEP_SHARE, LATE_SHARE, RACE_SHARE, RESENT_SHARE = 0.25, 0.15, 0.08, 0.06
FUNDING_SHARE, UNKNOWN_SHARE, SWAPPED_SHARE, APART_SHARE = 0.05, 0.03, 0.2, 0.3
# After how many events an order whose state is told late comes next, and so does that state: not by
# time, for the same seed tells the same story however fast.
MOST_EVENTS_LATE = 6
UNKNOWN_TYPES = ("SandboxRebate", "LeapSettle")


class Story:
    """What happens on one account of itself."""

    def __init__(
        self,
        name: str,
        book: Account,
        pushes: Pushes,
        instruments: Iterable[Instrument],
        quote: Quote,
        ids: Identifiers,
        *,
        uid: int,
        seed: int,
    ) -> None:
        self._book = book
        self._pushes = pushes
        self._quote = quote
        self._ids = ids
        self._draw = random.Random(f"{seed}/account/{name}")  # noqa: S311
        self._drafts = Drafts(book, instruments, quote, ids.new, self._draw, uid=uid)
        self._lives: list[Life] = []
        # Whose state is still to be told, and since which event.
        self._late: dict[Life, int] = {}
        self._current: Life = iter(())
        self._events = 0
        self._now = 0

    def event(self, now_ms: int) -> list[Frame]:
        """The next thing that happens, to a new order or to one of those under way."""
        self._events += 1
        while True:
            life = self._overdue() or self._drawn()
            if frames := self.advance(life, now_ms):
                return frames
            self._lives.remove(life)

    def begin(self) -> Life:
        """A new order, to which nothing has happened yet."""
        return self._life()

    def advance(self, life: Life, now_ms: int) -> list[Frame]:
        """What happens next to an order; nothing when its life is over."""
        self._now, self._current = now_ms, life
        return next(life, [])

    def _overdue(self) -> Life | None:
        """The life whose state has been untold for long enough."""
        due = self._events - MOST_EVENTS_LATE
        return next((one for one in self._lives if self._late.get(one, due + 1) <= due), None)

    def _drawn(self) -> Life:
        """A new life, or one of those under way."""
        few = len(self._lives) < MAX_OPEN
        if not self._lives or (few and self._draw.random() < NEW_SHARE):
            self._lives.append(self.begin())
            return self._lives[-1]
        return self._draw.choice(self._lives)

    # --- lives -------------------------------------------------------------------------------

    def _life(self) -> Life:
        (kind,) = self._draw.choices(list(KINDS), weights=list(KINDS.values()))
        order = self._drafts.order(kind, self._now - LOOK_BACK_MS)
        try:
            # The story's own market is at one price, to which no order that is to rest reaches.
            outcome = self._book.place(order, (order.last_price, order.last_price), self._now)
        except NothingToReduce:
            return  # a client has closed what this order was to close
        if kind == "refused" and self._draw.random() < 0.5:
            order.status = "Rejected"
        yield self._told(outcome)
        if order.is_open:
            yield from self._resting(order, self._drafts.parts(order), kind)
        if order.status == FILLED:
            yield from self._afterwards(order)

    def _resting(self, order: Order, parts: list[Decimal], kind: str) -> Life:
        """The life of an order that was accepted and waits in the book."""
        if kind in ("cancelled", "partly"):
            for part in parts[:-1] if kind == "partly" else ():
                yield from self._fills(order, [part])
            if order.is_open:
                yield self._cancelled(order)
            return
        if self._draw.random() < SWEEP_SHARE:
            yield from self._fills(order, parts)
            return
        late = len(parts) > 1 and self._draw.random() < LATE_SHARE
        held: list[Frame] = []
        for index, part in enumerate(parts):
            for frames in self._fills(order, [part]):
                if late and index == len(parts) - 2:
                    held = [frame for frame in frames if frame.topic == ORDER]
                    frames = [frame for frame in frames if frame.topic != ORDER]
                    self._late[self._current] = self._events
                yield frames
        if held:
            self._late.pop(self._current, None)
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

    def _fills(self, order: Order, parts: Sequence[Decimal]) -> Life:
        """Fills in one message, of what nobody else has filled meanwhile."""
        left, mine = order.leaves, []
        for part in parts:
            mine.append(min(part, left))
            left -= mine[-1]
        if mine := [part for part in mine if part]:
            yield self._told(self._book.fill(order, mine, self._now))

    def _cancelled(self, order: Order) -> list[Frame]:
        outcome = self._book.cancel(order.symbol, [order], self._now)
        order.cancel_type = self._draw.choice(("CancelByUser", "CancelByUser", "CancelByAdmin"))
        return self._told(outcome)

    def _race(self, order: Order) -> list[Frame]:
        """It was to be cancelled and is filled already: the exchange says Filled once more."""
        if self._draw.random() < 0.5:
            same = Outcome(order.symbol, self._book.leg(order).seq, order.updated_ms - 1)
            return [self._pushes.frame(ORDER, same, [order_row(order)]).again()]
        order.cancel_type = "CancelByUser"
        order.reject_reason = "EC_OrigClOrdIDDoesNotExist"
        return self._told(self._book.state(order, self._now))

    def _funding(self, symbol: str) -> list[Frame]:
        rate = FUNDING_RATE * self._draw.choice((1, 1, -1))
        outcome = self._book.fund(symbol, rate, self._quote(symbol), self._now)
        return self._told(outcome) if outcome else []

    def _unheard_of(self, order: Order) -> list[Frame]:
        """A kind of execution that came after the documentation; no money moves."""
        none, outcome = Decimal(), self._book.event(order.symbol, self._now)
        row = execution_row(
            symbol=order.symbol,
            side=order.side,
            order_id=self._ids.new(),
            exec_id=self._ids.new(),
            price=order.price,
            qty=order.qty,
            fee=none,
            fee_rate=none,
            mark=self._quote(order.symbol),
            time_ms=outcome.executed_ms,
            seq=outcome.seq,
            execType=self._draw.choice(UNKNOWN_TYPES),
        )
        return [self._pushes.frame(EXECUTION, outcome, [row])]

    def _told(self, outcome: Outcome) -> list[Frame]:
        """The frames of an event, at times in another order, apart, or twice."""
        frames = []
        for frame in self._pushes.frames(outcome):
            apart = frame.topic == POSITION and self._draw.random() < APART_SHARE
            pieces = [[row] for row in frame.rows] if apart else [frame.rows]
            frames += [replace(frame, rows=piece) for piece in pieces]
        if not outcome.executions:
            return frames
        if self._draw.random() < SWAPPED_SHARE:
            frames[:2] = frames[1::-1]
        executions = next(frame for frame in frames if frame.topic == EXECUTION)
        return [*frames, executions.again()] if self._draw.random() < RESENT_SHARE else frames
