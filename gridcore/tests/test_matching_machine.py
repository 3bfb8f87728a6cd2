"""The book against a naive one: a list that is scanned, fractions, and the rules as written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gridcore import Fill, GridcoreError, UnknownOrder
from gridcore.matching import FILL_MODELS
from gridcore.tests.test_matching import make

D, F = Decimal, Fraction
MAKER, TAKER = D("0.0002"), D("0.00055")
SIDES = st.sampled_from(["Buy", "Sell"])
DIRECTIONS = st.sampled_from(["long", "short", "net"])
LIMITS = st.integers(990, 1010).map(lambda ticks: D(ticks) / 10)
PRICES = st.integers(1976, 2024).map(lambda twentieths: D(twentieths) / 20)
QTYS = st.integers(1, 30).map(lambda tenths: D(tenths) / 10)
SIZES = st.one_of(st.none(), QTYS)
TIMES = st.sampled_from(["GTC", "GTC", "GTC", "PostOnly", "IOC", "FOK"])

CROSSES = {
    "strict_cross": lambda up, last, before, limit: up * last < up * limit,
    "trade_through_at_limit": lambda up, last, before, limit: up * last <= up * limit,
    "last_cross": lambda up, last, before, limit: (
        before is not None and up * before > up * limit and up * last <= up * limit
    ),
}


class Naive:
    """Told the same, it answers with the same tuples as `told` makes of happenings."""

    def __init__(self, model):
        self.crosses = CROSSES[model]
        self.orders = []
        self.size = dict.fromkeys(["long", "short", "net"], F(0))
        self.entry = dict(self.size)
        self.pnl = dict(self.size)
        self.cash = dict(self.size)
        self.fees = dict(self.size)
        self.bid = self.ask = self.last = None

    def closes(self, order):
        """How much the order could close."""
        size = self.size[order["direction"]]
        return max(size if order["side"] == "Sell" else -size, F(0))

    def most(self, order):
        left = order["qty"] - order["done"]
        return min(left, self.closes(order)) if order["reduce"] else left

    def fill(self, order, qty, price, rate):
        direction, sign = order["direction"], 1 if order["side"] == "Buy" else -1
        closed = min(qty, self.closes(order))
        profit = -sign * closed * (price - self.entry[direction])
        before = self.size[direction]
        kept, opened = before + sign * closed, sign * (qty - closed)
        self.size[direction] = after = kept + opened
        if opened:
            value = kept * self.entry[direction] + opened * price
            self.entry[direction] = value / after
        self.pnl[direction] += profit
        self.cash[direction] -= sign * qty * price
        self.fees[direction] += qty * price * rate
        order["done"] += qty
        happened = [(order["id"], "fill", qty, price, order["qty"] - order["done"], closed)]
        if order["qty"] == order["done"] and order in self.orders:
            self.orders.remove(order)
        return happened + [
            self.drop(x, "CancelByReduceOnly")
            for x in list(self.orders)
            if x["reduce"] and x["direction"] == direction and not self.closes(x)
        ]

    def drop(self, order, reason):
        if order in self.orders:
            self.orders.remove(order)
        return order["id"], reason, order["qty"] - order["done"]

    def trade(self, price, size):
        price, left = F(price), None if size is None else F(size)
        reached = [
            x
            for x in self.queue()
            if self.crosses(1 if x["side"] == "Buy" else -1, price, self.last, x["price"])
        ]
        self.last, happened = price, []
        for order in reached:
            if order in self.orders:
                qty = self.most(order) if left is None else min(self.most(order), left)
                left = None if left is None else left - qty
                happened += self.fill(order, qty, order["price"], F(MAKER)) if qty else []
        return happened

    def queue(self):
        buys = [x for x in self.orders if x["side"] == "Buy"]
        sells = [x for x in self.orders if x["side"] == "Sell"]
        return sorted(buys, key=lambda x: (-x["price"], x["since"])) + sorted(
            sells, key=lambda x: (x["price"], x["since"])
        )

    def arrive(self, order, since):
        order["since"] = since
        up = 1 if order["side"] == "Buy" else -1
        touch = self.ask if up > 0 else self.bid
        touch = self.last if touch is None else touch
        limit, time = order["price"], order["time"]
        if touch is not None and (limit is None or up * touch <= up * limit):
            if time == "PostOnly":
                return [self.drop(order, "EC_PostOnlyWillTakeLiquidity")]
            if time == "FOK" and self.most(order) < order["qty"]:
                return [self.drop(order, "EC_CancelForNoFullFill")]
            happened = self.fill(order, self.most(order), touch, F(TAKER))
            if order["done"] < order["qty"]:
                happened.append(self.drop(order, "CancelByReduceOnly"))
            return happened
        if limit is None:
            return [self.drop(order, "EC_NoEnoughQtyToFill")]
        if time == "IOC":
            return [self.drop(order, "EC_NoImmediateQtyToFill")]
        if time == "FOK":
            return [self.drop(order, "EC_CancelForNoFullFill")]
        self.orders.append(order)
        return []


def told(happened):
    return [
        (x.order_id, "fill", F(x.qty), F(x.price), F(x.leaves_qty), F(x.closed_size))
        if isinstance(x, Fill)
        else (x.order_id, x.reason, F(x.leaves_qty))
        for x in happened
    ]


class Machine(RuleBasedStateMachine):
    @initialize(model=st.sampled_from(list(FILL_MODELS)))
    def start(self, model):
        self.book = make(FILL_MODELS[model])
        self.naive = Naive(model)
        self.number = 0
        self.fills = []
        self.over = set()

    def check(self, happened, expected):
        assert told(happened) == expected
        for each in happened:
            assert each.order_id not in self.over
            if not isinstance(each, Fill) or not each.leaves_qty:
                self.over.add(each.order_id)
        self.fills += [each for each in happened if isinstance(each, Fill)]

    @rule(price=PRICES, size=SIZES)
    def trade(self, price, size):
        happened = self.book.on_trade(price, size, "t")
        self.check(happened, self.naive.trade(price, size))
        fills = [each for each in happened if isinstance(each, Fill)]
        assert size is None or sum(each.qty for each in fills) <= size
        for each in fills:
            assert price <= each.price if each.side == "Buy" else price >= each.price

    @rule(bid=st.one_of(st.none(), PRICES), ask=st.one_of(st.none(), PRICES))
    def quote(self, bid, ask):
        self.book.on_quote(bid, ask)
        self.naive.bid = None if bid is None else F(bid)
        self.naive.ask = None if ask is None else F(ask)

    @rule(
        side=SIDES,
        price=st.one_of(LIMITS, LIMITS, LIMITS, st.none()),
        qty=QTYS,
        direction=DIRECTIONS,
        reduce=st.booleans(),
        time=TIMES,
    )
    def place(self, side, price, qty, direction, reduce, time):
        time = "GTC" if price is None and time == "PostOnly" else time
        self.number += 1
        order = {"id": f"o{self.number}", "side": side, "qty": F(qty), "direction": direction}
        order |= {"price": None if price is None else F(price), "time": time, "done": F(0)}
        order["reduce"] = reduce or (direction, side) in {("long", "Sell"), ("short", "Buy")}
        keys = {"side": side, "price": price, "qty": qty, "direction": direction}
        keys |= {"reduce_only": reduce, "time_in_force": time}
        if not self.naive.most(order):
            self.refused(lambda: self.book.place(order["id"], **keys))
            return
        happened = self.book.place(order["id"], **keys)
        self.check(happened, self.naive.arrive(order, self.number))

    @precondition(lambda self: self.naive.orders)
    @rule(data=st.data(), price=st.one_of(st.none(), LIMITS), qty=st.one_of(st.none(), QTYS))
    def amend(self, data, price, qty):
        order = data.draw(st.sampled_from(self.naive.orders))
        total = order["qty"] if qty is None else F(qty)
        limit = order["price"] if price is None else F(price)
        if (price is None and qty is None) or total < order["done"]:
            self.refused(lambda: self.book.amend(order["id"], price=price, qty=qty))
            return
        happened = self.book.amend(order["id"], price=price, qty=qty)
        self.number += 1
        if total == order["done"]:
            expected = [self.naive.drop(order, "CancelByUser")]
        elif limit != order["price"]:
            self.naive.orders.remove(order)
            order |= {"price": limit, "qty": total}
            expected = self.naive.arrive(order, self.number)
        else:
            if total > order["qty"]:
                self.naive.orders.remove(order)
                self.naive.orders.append(order)
                order["since"] = self.number
            order["qty"], expected = total, []
        self.check(happened, expected)

    @precondition(lambda self: self.naive.orders)
    @rule(data=st.data())
    def cancel(self, data):
        order = data.draw(st.sampled_from(self.naive.orders))
        happened = self.book.cancel(order["id"])
        self.check(happened, [self.naive.drop(order, "CancelByUser")])

    @rule(direction=st.one_of(st.none(), DIRECTIONS), side=st.one_of(st.none(), SIDES))
    def cancel_all(self, direction, side):
        happened = self.book.cancel_all(direction=direction, side=side)
        chosen = [
            x
            for x in self.naive.orders
            if direction in (None, x["direction"]) and side in (None, x["side"])
        ]
        self.check(happened, [self.naive.drop(x, "CancelByUser") for x in chosen])

    @rule(price=st.sampled_from([D(0), D("NaN"), D(-1)]))
    def nonsense(self, price):
        self.refused(lambda: self.book.on_trade(price))
        self.refused(lambda: self.book.cancel("nobody"), UnknownOrder)

    def refused(self, call, error=GridcoreError):
        before = self.book.snapshot()
        with pytest.raises(error):
            call()
        assert self.book.snapshot() == before

    @invariant()
    def orders_are_the_same(self):
        queue = self.naive.queue()
        mine = [(x.order_id, F(x.price), F(x.qty), F(x.leaves_qty)) for x in self.book.orders()]
        assert mine == [(x["id"], x["price"], x["qty"], x["qty"] - x["done"]) for x in queue]
        buys = [x["price"] for x in queue if x["side"] == "Buy"]
        sells = [x["price"] for x in queue if x["side"] == "Sell"]
        assert self.book.nearest() == (max(buys, default=None), min(sells, default=None))
        for direction, rows in self.book.limit_orders().items():
            listed = {x["orderId"]: F(x["qty"]) - F(x["cumExecQty"]) for x in rows}
            own = [x for x in queue if x["direction"] == direction]
            assert listed == {x["id"]: x["qty"] - x["done"] for x in own}

    @invariant()
    def money_and_positions_are_the_same(self):
        for direction, size in self.naive.size.items():
            leg = self.book.leg(direction)
            fills = [x for x in self.fills if x.direction == direction]
            assert F(leg.position) == size
            assert leg.position == sum(x.qty if x.side == "Buy" else -x.qty for x in fills)
            assert F(leg.realised_pnl) - F(leg.cost) == self.naive.cash[direction]
            assert F(leg.fees) == self.naive.fees[direction] == sum(F(x.fee) for x in fills)
            assert sum(F(x.closed_pnl) for x in fills) == F(leg.realised_pnl)
            assert abs(F(leg.realised_pnl) - self.naive.pnl[direction]) < F(1, 10**20)
            if size:
                assert abs(F(leg.entry_price) - self.naive.entry[direction]) < F(1, 10**20)
        assert self.book.leg("long").position >= 0 >= self.book.leg("short").position


Machine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestBookAgainstNaive = Machine.TestCase
