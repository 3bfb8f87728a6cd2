"""What holds of the engine after any story of tickers, gaps, fills, restarts and strays.

The machine tells one story to two engines. The first gets what a driver might carelessly share:
whatever is passed to it or returned by it is spoilt afterwards. Its twin gets copies of its own.
After a restart the twin stays as it was and the first goes on from the twin's snapshot, so that
every later comparison says that a restored engine equals the one that never stopped.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gridcore.config import GridConfig
from gridcore.engine import GridEngine
from gridcore.intents import DIRECTIONS, SIDES, CancelIntent
from gridcore.tests.exchange import SYMBOL, Exchange
from gridcore.tests.test_refusals import BAD_EVENTS, BAD_ORDERS, refuses, update

D = Decimal
CONFIGS = [
    (GridConfig(4, 2.5), D("0.01")),
    (GridConfig(7, 0.7, 0.6), D("0.05")),
    (GridConfig(12, 0.35, 0.1), D("0.5")),
    (GridConfig(20, 1.0), D("0.1")),
]
MOVES = st.fractions(-3, 3, max_denominator=12)  # in grid steps
STATUSES = ["New", "PartiallyFilled", "Filled", "Cancelled", "Rejected", "Untriggered", ""]
DIRECTION, SIDE = st.sampled_from(DIRECTIONS), st.sampled_from(SIDES)


def ladder_price(centre, number, step, tick):
    """The price of a level by its definition: rounded steps from the centre, one by one."""
    factor = 1 + (1 if number > 0 else -1) * Fraction(str(step)) / 100
    ticks = Fraction(centre) / Fraction(tick)
    for _ in range(abs(number)):
        ticks = Fraction(round(ticks * factor))
    return ticks * Fraction(tick)


def link_id(intent):
    return getattr(intent, "client_order_id", None)


def reason(intent):
    return getattr(intent, "reason", None)


def spoil(value):
    """Change everything in a structure, from the leaves up."""
    for key in value.keys() if isinstance(value, dict) else range(len(value)):
        if isinstance(value[key], dict | list):
            spoil(value[key])
        value[key] = "spoilt"


class Story(RuleBasedStateMachine):
    """An engine, its twin, and the exchange on which the intents are carried out."""

    @initialize(which=st.sampled_from(CONFIGS), first=st.integers(900, 3000))
    def begin(self, which, first):
        self.config, self.tick = which
        self.engine, self.twin = self.make(), self.make()
        self.exchange = Exchange()
        self.price = D(first)
        self.seen = []
        self.pending = {}
        self.version = 0
        self.settled = True
        self.ticker(self.price)

    def make(self, **values):
        return GridEngine(SYMBOL, self.tick, self.config, "s1", **values)

    # --- Telling both ---------------------------------------------------------------------

    def tell(self, event):
        """Tell both engines; spoil what the first one shared, and return what they said."""
        shared = copy.deepcopy(self.exchange.orders)
        answer = self.engine.on_event(event, shared)
        assert shared == self.exchange.orders
        said = self.twin.on_event(event, copy.deepcopy(self.exchange.orders))
        assert answer == said
        assert self.engine.quiet_band(shared) == self.twin.quiet_band(self.exchange.orders)
        spoil(shared)
        spoil(self.engine.snapshot())
        answer.clear()
        return said

    def ticker(self, price):
        self.price = price
        return self.tell(self.exchange.ticker(price))

    def to_tick(self, price):
        return max(round(price / self.tick), 200) * self.tick

    def moved(self, steps):
        part = Fraction(str(self.config.grid_step)) * steps / 100
        return self.to_tick(self.price * (1 + D(part.numerator) / D(part.denominator)))

    # --- The market -----------------------------------------------------------------------

    @rule(steps=MOVES, partly=st.booleans(), fills_first=st.booleans())
    def move(self, steps, partly, fills_first):
        price = self.moved(steps)
        if fills_first:
            self.trade(price, partly)
        self.speak(price)
        if not fills_first:
            self.trade(price, partly)

    @rule(steps=st.sampled_from([-60, -9, -5, 5, 9, 60]))
    def gap(self, steps):
        self.move(steps, partly=False, fills_first=False)

    @rule(steps=st.sampled_from([-1, 1]), times=st.integers(2, 9))
    def trend(self, steps, times):
        for _ in range(times):
            self.move(steps, partly=False, fills_first=False)

    @rule(offset=st.decimals("0.001", "0.009", places=3))
    def move_between_ticks(self, offset):
        self.speak(self.price + offset)
        self.price = self.to_tick(self.price)

    @rule(level=st.integers(0, 20), steps=MOVES)
    def late_fill(self, level, steps):
        levels = self.twin.snapshot()["grid"]
        price = levels[level]["price"] if level < len(levels) else self.moved(steps)
        assert self.tell(self.exchange.execution(price)) == []

    def trade(self, price, partly):
        for execution in self.exchange.cross(price, partly=partly):
            assert self.tell(execution) == []
        self.settled = False

    def speak(self, price):
        """A ticker whose intents are carried out, twice, and then asked for again."""
        intents = self.ticker(price)
        self.check_side(intents)
        self.exchange.carry_out(intents)
        once = copy.deepcopy(self.exchange.state())
        declined = {x for x in map(link_id, intents) if x and not self.exchange.rests(x)}
        self.exchange.carry_out(x for x in intents if link_id(x) not in declined)
        assert self.exchange.state() == once
        if any(reason(x) == "rebuild" for x in intents):
            self.speak(price)
            return
        again = self.ticker(price)
        assert {link_id(x) for x in again} <= declined
        # A cancel may have made room for what had been declined before it.
        refused = self.exchange.carry_out(again)
        assert {link_id(x) for x in self.ticker(price)} <= refused
        self.check_one_order_for_a_level()
        self.settled = True

    @rule(steps=MOVES, kept=st.integers(0, 6))
    def lose_intents(self, steps, kept):
        self.exchange.carry_out(self.ticker(self.moved(steps))[:kept])
        self.settled = False

    # --- What others do -------------------------------------------------------------------

    @rule(status=st.sampled_from(STATUSES), link=st.sampled_from("abc"), order_id=st.text())
    def order_update(self, status, link, order_id):
        if status in ("New", "PartiallyFilled"):
            self.pending[link] = order_id
        elif status in ("Filled", "Cancelled", "Rejected"):
            self.pending.pop(link, None)
        assert self.tell(update(status=status, order_link_id=link, order_id=order_id)) == []

    @rule(direction=DIRECTION, side=SIDE, level=st.integers(0, 30), steps=MOVES)
    def order_by_hand(self, direction, side, level, steps):
        levels = self.twin.snapshot()["grid"]
        price = levels[level]["price"] if level < len(levels) else self.moved(steps)
        self.exchange.put(direction, side, price)
        self.settled = False

    @rule(direction=DIRECTION, more=st.integers(9, 12))
    def flood(self, direction, more):
        room = len(self.twin.snapshot()["grid"]) - len(self.exchange.orders[direction])
        for count in range(room + more):
            self.exchange.put(direction, "Buy", self.tick * (1 + count))
        excess = len(self.exchange.orders[direction])
        intents = self.ticker(self.price)
        rebuilds = [link for link in map(reason, intents) if link == "rebuild"]
        assert len(rebuilds) == (excess if more > 10 else 0)
        self.exchange.carry_out(intents)
        self.speak(self.price)

    @precondition(lambda self: self.settled)
    @rule()
    def restart(self):
        saved = self.twin.snapshot()
        self.engine = self.make(anchor_price=saved["anchor_price"], restored_grid=saved["grid"])
        spoil(saved)
        before = self.twin.snapshot()
        for name in ("grid", "anchor_price", "grid_step", "grid_count"):
            assert self.engine.snapshot()[name] == before[name]
        for link, order_id in self.pending.items():
            self.engine.on_event(update(status="New", order_link_id=link, order_id=order_id))
        self.version = 0
        self.speak(self.price)

    @rule(event=st.integers(0, len(BAD_EVENTS) - 1), orders=st.integers(0, len(BAD_ORDERS) - 1))
    def bad_input(self, event, orders):
        good = self.exchange.orders
        make, words = BAD_EVENTS[event]
        refuses(self.engine, lambda: self.engine.on_event(make(), good), words, good)
        limits, words = BAD_ORDERS[orders]
        ticker = self.exchange.ticker(self.price * 2)
        refuses(self.engine, lambda: self.engine.on_event(ticker, limits), words, good)
        refuses(self.engine, lambda: self.engine.quiet_band(limits), words, good)

    # --- What always holds ----------------------------------------------------------------

    def check_side(self, intents):
        step = Fraction(str(self.config.grid_step))
        last = Fraction(self.price)
        for intent in intents:
            if not isinstance(intent, CancelIntent):
                price = Fraction(intent.price)
                assert (price < last) if intent.side == "Buy" else (price > last)
                assert 200 * abs(last - price) > step * last

    def check_one_order_for_a_level(self):
        levels = {level["price"]: level for level in self.twin.snapshot()["grid"]}
        for orders in self.exchange.orders.values():
            prices = [D(order["price"]) for order in orders]
            assert len(set(prices)) == len(prices)
            for price, order in zip(prices, orders, strict=True):
                assert levels[price]["side"] in (order["side"], "Wait")

    @invariant()
    def the_grid_is_a_window_on_the_ladder(self):
        taken = self.twin.snapshot()
        levels, anchor = taken["grid"], taken["anchor_price"]
        prices = [level["price"] for level in levels]
        numbers = [level["level"] for level in levels]
        assert prices == sorted(set(prices))
        assert prices[0] > 0
        assert numbers == list(
            range(numbers[0], numbers[0] + 2 * (self.config.grid_count // 2) + 1)
        )
        wanted = [ladder_price(anchor, n, self.config.grid_step, self.tick) for n in numbers]
        assert list(map(Fraction, prices)) == wanted

    @invariant()
    def a_level_keeps_its_number(self):
        taken = self.twin.snapshot()
        now = (taken["anchor_price"], {x["price"]: x["level"] for x in taken["grid"]})
        if self.seen and self.seen[0] == now[0]:
            old, new = self.seen[1], now[1]
            assert all(old[price] == new[price] for price in old.keys() & new.keys())
        self.seen = now

    @invariant()
    def both_engines_are_the_same(self):
        mine, other = self.engine.snapshot(), self.twin.snapshot()
        # A restarted engine has not been told of the fills before.
        for taken in (mine, other):
            del taken["last_filled_price"]
        assert mine == other
        assert mine["pending_orders"] == self.pending
        orders = self.exchange.orders
        assert self.engine.quiet_band(orders) == self.twin.quiet_band(orders)

    @invariant()
    def a_change_of_the_grid_shows_in_its_version(self):
        taken = self.engine.snapshot()
        state = (taken["grid"], taken["anchor_price"])
        if self.version and self.engine.grid_version == self.version:
            assert state == self.versioned
        assert self.engine.grid_version >= self.version
        self.version, self.versioned = self.engine.grid_version, state


TestStory = Story.TestCase
TestStory.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
