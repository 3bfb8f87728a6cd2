"""What happens on an account: shapes as the exchange sends them, and money that adds up."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from gridcore.matching import NothingToReduce
from marketdata.capture.feeds import PRIVATE_LATENESS
from marketdata.sandbox.instruments import instrument
from marketdata.sandbox.private import book
from marketdata.sandbox.private.book import TAKER_FEE, Account
from marketdata.sandbox.private.orders import Order, money
from marketdata.sandbox.private.pushes import Identifiers, Pushes
from marketdata.sandbox.private.statements import ClosedProfits
from marketdata.sandbox.private.story import Story

NOW = 1_790_000_000_000
PRICES = {"BTCUSDT": Decimal(60000), "SOLUSDT": Decimal(150)}
START = Decimal(500_000)
FILL = "Trade"


class Told:
    """A story and the account that it is told of."""

    def __init__(self, name="alice", seed=1, *, hedge_mode=True):
        listed, ids = [instrument(symbol) for symbol in PRICES], Identifiers(name, seed)
        quote = PRICES.__getitem__
        self.book = Account(listed, hedge_mode=hedge_mode, now_ms=NOW)
        self.closed = ClosedProfits()
        pushes = Pushes(self.book, quote, ids, self.closed, uid=1001)
        self.story = Story(name, self.book, pushes, listed, quote, ids, uid=1001, seed=seed)
        self.event, self.advance = self.story.event, self.story.advance
        self.hedged = hedge_mode

    def legs(self):
        return [leg for symbol in PRICES for leg in self.book.legs_of(symbol)]


story = Told


def frames(one, count=1500):
    return [frame for n in range(count) for frame in one.event(NOW + 5 * n)]


def rows_of(told, topic):
    return [
        row for frame in told if frame.topic == topic and not frame.resent for row in frame.rows
    ]


@pytest.fixture(scope="module", params=[True, False], ids=["hedge", "one-way"])
def told(request):
    """A story in which every order has come to its end."""
    one = story(hedge_mode=request.param)
    told = frames(one)
    for life in one.story._lives:
        while event := one.advance(life, NOW + 60_000):
            told += event
    return one, told


def leg_of(row, hedge):
    if not hedge:
        return row["symbol"], 0
    opens = row["closedSize"] == "0"
    return row["symbol"], 1 if (row["side"] == "Buy") == opens else 2


# --- money ---------------------------------------------------------------------------------------


def test_the_wallet_is_what_it_was_and_all_that_came_and_went(told):
    _, frames = told
    balance = START
    for frame in frames:
        if frame.topic == "execution" and not frame.resent:
            for row in frame.rows:
                balance += Decimal(row["execPnl"]) - Decimal(row["execFee"])
        elif frame.topic == "wallet":
            assert Decimal(frame.rows[0]["totalWalletBalance"]) == balance
    assert balance != START


def test_the_totals_of_a_wallet_agree_with_each_other_and_with_its_coin(told):
    _, frames = told
    for row in rows_of(frames, "wallet"):
        (coin,) = row["coin"]
        money = {name: Decimal(v) for name, v in row.items() if name.startswith("total")}
        assert money["totalEquity"] == money["totalWalletBalance"] + money["totalPerpUPL"]
        assert money["totalAvailableBalance"] == money["totalEquity"] - money["totalInitialMargin"]
        assert coin["walletBalance"] == row["totalWalletBalance"]
        margins = Decimal(coin["totalOrderIM"]) + Decimal(coin["totalPositionIM"])
        assert margins == money["totalInitialMargin"]
        assert coin["availableToWithdraw"] == ""


def test_a_leg_is_the_sum_of_its_fills_and_never_less_than_nothing(told):
    one, frames = told
    sizes = defaultdict(Decimal)
    for frame in frames:
        if frame.topic == "execution" and not frame.resent:
            for row in frame.rows:
                if row["execType"] == FILL:
                    sign = 1 if row["closedSize"] == "0" else -1
                    sizes[leg_of(row, one.hedged)] += sign * Decimal(row["execQty"])
        elif frame.topic == "position":
            for row in frame.rows:
                size = Decimal(row["size"])
                assert size == sizes[row["symbol"], row["positionIdx"]] >= 0
                assert (row["side"] == "") == (size == 0)
    assert any(sizes.values())


def test_profit_is_measured_from_the_legs_entry_before_fees(told):
    one, frames = told
    entries, checked = {}, 0
    for frame in frames:
        if frame.topic == "position":
            entries |= {(r["symbol"], r["positionIdx"]): r for r in frame.rows}
        elif frame.topic == "execution" and not frame.resent:
            for row in frame.rows:
                if Decimal(row["closedSize"]):
                    leg = entries[leg_of(row, one.hedged)]
                    sign = 1 if leg["side"] == "Buy" else -1
                    moved = (Decimal(row["execPrice"]) - Decimal(leg["entryPrice"])) * sign
                    # The entry on the wire is rounded to eight places, the one that was used is not.
                    off = Decimal(row["execPnl"]) - moved * Decimal(row["execQty"])
                    assert abs(off) <= Decimal("0.00000001")
                    checked += 1
                else:
                    assert row["execPnl"] == "0"
    assert checked > 100


def test_what_all_orders_closed_and_what_is_open_accounts_for_every_fee(told):
    one, frames = told
    last = {row["orderId"]: row for row in sorted(rows_of(frames, "order"), key=updated)}
    closed = sum(Decimal(row["closedPnl"]) for row in last.values())
    fills = [row for row in rows_of(frames, "execution") if row["execType"] == FILL]
    gross = sum(Decimal(row["execPnl"]) - Decimal(row["execFee"]) for row in fills)
    still_open = sum(leg.opening_fees for leg in one.legs())
    assert closed == gross + still_open


def order(side, qty, price, *, reduce_only=False, order_id="id"):
    return Order(
        "BTCUSDT", order_id, "", side, 1, Decimal(qty), Decimal(price), "Limit", "GTC", reduce_only,
        Decimal(9), NOW, NOW,
    )  # fmt: skip


def test_closed_profit_of_the_documents_example(monkeypatch):
    monkeypatch.setattr(book, "TAKER_FEE", Decimal("0.0006"))
    one = Account([instrument("BTCUSDT")], hedge_mode=True, now_ms=NOW)
    bought, sold = Decimal("3584.9255"), Decimal("3541.795")
    opened = one.place(order("Buy", 1, 3600), (bought, bought), NOW)
    closing = order("Sell", 1, 3500, reduce_only=True, order_id="closing")
    outcome = one.place(closing, (sold, sold), NOW + 9)
    assert one.leg(closing).opened_ms == opened.executed_ms
    assert [fill.pnl for fill in outcome.executions] == [Decimal("-43.1305")]
    assert closing.closed_pnl == Decimal("-47.4065323")
    assert closing.closing.open_fee + closing.closing.close_fee == Decimal("4.2760323")


def test_a_one_way_fill_through_nothing_closes_and_opens():
    one = Account([instrument("BTCUSDT")], hedge_mode=False, now_ms=NOW)
    touch, orders = (Decimal(100), Decimal(100)), [order("Buy", 2, 100), order("Sell", 5, 100)]
    for number, each in enumerate(orders):
        each.position_idx, each.order_id = 0, str(number)
        outcome = one.place(each, touch, NOW + number)
    (fill,) = outcome.executions
    (leg,) = one.legs_of("BTCUSDT")
    assert (fill.closed, leg.side, leg.size, leg.entry) == (2, "Sell", 3, 100)
    assert leg.opening_fees == 300 * TAKER_FEE
    assert orders[1].closed_pnl == -400 * TAKER_FEE
    assert one.realised == -700 * TAKER_FEE
    assert leg.opened_ms == outcome.executed_ms


def test_what_cannot_be_is_refused_and_changes_nothing():
    one = story().book
    with pytest.raises(NothingToReduce):
        one.place(order("Sell", 1, 100, reduce_only=True), (Decimal(9), Decimal(9)), NOW)
    assert not one.open
    resting = order("Buy", 1, 9)
    one.place(resting, (Decimal(10), Decimal(10)), NOW)
    with pytest.raises(ValueError, match="must answer"):
        one.fill(resting, [Decimal(2)], NOW)
    assert one.trades("BTCUSDT", [(Decimal(9), Decimal(1), "t")], NOW) is None
    assert (one.balance, one.leg(resting).size, resting.cum_qty) == (START, 0, 0)


def test_no_figure_has_more_digits_than_any_database_keeps(told):
    for frame in told[1][::5]:
        for row in frame.rows:
            for name, value in (row | (row["coin"][0] if "coin" in row else {})).items():
                if isinstance(value, str) and value.replace(".", "").lstrip("-").isdigit():
                    number = Decimal(value)
                    assert -number.as_tuple().exponent <= 12, name
                    assert len(number.as_tuple().digits) <= 15, name


# --- orders --------------------------------------------------------------------------------------


def updated(row):
    return int(row["updatedTime"])


def test_less_and_less_of_an_order_is_left(told):
    left = {}
    for row in rows_of(told[1], "execution"):
        if row["execType"] == FILL:
            before = left.get(row["orderId"], Decimal(row["orderQty"]))
            left[row["orderId"]] = Decimal(row["leavesQty"])
            assert left[row["orderId"]] == before - Decimal(row["execQty"])


def test_an_order_says_what_its_executions_said(told):
    fills, fees = defaultdict(Decimal), defaultdict(Decimal)
    for row in rows_of(told[1], "execution"):
        fills[row["orderId"]] += Decimal(row["execQty"])
        fees[row["orderId"]] += Decimal(row["execFee"])
    last = {row["orderId"]: row for row in sorted(rows_of(told[1], "order"), key=updated)}
    for order_id, row in last.items():
        assert Decimal(row["cumExecQty"]) == fills[order_id]
        assert Decimal(row["cumExecFee"]) == fees[order_id]
        assert Decimal(row["cumFeeDetail"].get("USDT", 0)) == fees[order_id]
        assert (row["avgPrice"] == "") == (fills[order_id] == 0)


def test_no_two_states_of_an_order_share_a_time(told):
    times = Counter((row["orderId"], row["updatedTime"]) for row in rows_of(told[1], "order"))
    assert set(times.values()) == {1}


def test_orders_stay_below_what_may_be_open(told):
    one = story()
    counts = {len(one.book.open) for _ in frames(one, 1) for _ in range(500) if one.event(NOW)}
    assert 2 < max(counts) <= 6
    assert not told[0].book.open


# --- what is odd ---------------------------------------------------------------------------------


def test_everything_that_the_documents_know_happens(told):
    one, frames = told
    orders, executions = rows_of(frames, "order"), rows_of(frames, "execution")
    kinds = Counter(row["execType"] for row in executions)
    assert kinds["Funding"] > 5
    assert {"SandboxRebate", "LeapSettle"} <= kinds.keys()
    states = {(row["orderStatus"], row["cumExecQty"] == "0") for row in orders}
    assert {("Cancelled", True), ("Cancelled", False), ("PartiallyFilled", False)} <= states
    reasons = {(row["orderStatus"], row["rejectReason"]) for row in orders}
    assert ("Filled", "EC_OrigClOrdIDDoesNotExist") in reasons
    assert {
        ("Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ("Rejected", "EC_PostOnlyWillTakeLiquidity"),
    } <= reasons
    assert {row["isMaker"] for row in executions} == {True, False}
    assert {"Market", "Limit"} == {row["orderType"] for row in orders}
    assert {frame.topic for frame in frames if frame.resent} == {"execution", "order"}
    assert len(one.legs()) == (4 if one.hedged else 2)


def test_an_older_state_sometimes_arrives_after_a_later_one(told):
    newest, late = {}, 0
    for row in rows_of(told[1], "order"):
        late += updated(row) < newest.get(row["orderId"], 0)
        newest[row["orderId"]] = max(updated(row), newest.get(row["orderId"], 0))
    assert late > 5


def test_fills_of_one_message_share_their_seq(told):
    several = [f for f in told[1] if f.topic == "execution" and len(f.rows) > 1]
    assert several
    assert all(len({row["seq"] for row in frame.rows}) == 1 for frame in several)


def test_funding_looks_as_documented(told):
    signs = set()
    for row in rows_of(told[1], "execution"):
        if row["execType"] == "Funding":
            assert (row["orderType"], row["orderQty"], row["orderPrice"]) == ("UNKNOWN", "0", "0")
            assert (row["isMaker"], row["feeCurrency"]) == (False, "")
            assert row["execPrice"] == row["markPrice"]
            fee = Decimal(row["execFee"])
            assert fee == money(Decimal(row["execValue"]) * Decimal(row["feeRate"]))
            signs.add((row["side"], fee > 0))
    if told[0].hedged:
        assert len(signs) == 4  # each leg has paid and received


def test_legs_are_pushed_together_or_apart_and_flat_ones_too():
    told = frames(story(), 300)
    positions = [frame for frame in told if frame.topic == "position"]
    assert {len(frame.rows) for frame in positions} == {1, 2}
    assert {row["positionIdx"] for frame in positions for row in frame.rows} == {1, 2}
    assert any(row["side"] == "" for frame in positions for row in frame.rows)


def test_legs_become_flat_again_and_again(told):
    sizes = defaultdict(list)
    for row in rows_of(told[1], "position"):
        sizes[row["symbol"], row["positionIdx"]].append(row["size"])
    closed = [sum(a != "0" == b for a, b in pairwise(one)) for one in sizes.values()]
    assert min(closed) > 0


def test_positions_and_wallet_come_a_millisecond_after_the_order():
    one = story()
    for number in range(500):
        event = one.event(NOW + number)
        created = {frame.creation_time for frame in event if frame.topic in ("order", "execution")}
        after = {frame.creation_time for frame in event if frame.topic in ("position", "wallet")}
        assert len(created) == 1
        assert after <= {ms + 1 for ms in created}


# --- shapes --------------------------------------------------------------------------------------

EXECUTION_KEYS = (
    "category symbol isLeverage orderId orderLinkId side orderPrice orderQty leavesQty createType "
    "orderType stopOrderType execFee feeRate feeCurrency execId execPrice execQty execValue execType "
    "execTime execPnl isMaker closedSize markPrice tradeIv markIv indexPrice underlyingPrice "
    "blockTradeId marketUnit seq extraFees"
)
ORDER_KEYS = (
    "category symbol orderId orderLinkId parentOrderLinkId side positionIdx orderStatus cancelType "
    "rejectReason createType price qty avgPrice leavesQty leavesValue cumExecQty cumExecValue "
    "cumExecFee cumFeeDetail closedPnl timeInForce orderType stopOrderType reduceOnly closeOnTrigger "
    "triggerPrice triggerBy triggerDirection takeProfit stopLoss tpslMode smpType smpGroup smpOrderId "
    "lastPriceOnCreated createdTime updatedTime feeCurrency slippageTolerance slippageToleranceType"
)
POSITION_KEYS = (
    "positionIdx category symbol side size entryPrice leverage positionValue markPrice positionIM "
    "positionMM positionIMByMp positionMMByMp liqPrice breakEvenPrice takeProfit stopLoss trailingStop "
    "unrealisedPnl curRealisedPnl cumRealisedPnl sessionAvgPrice riskId riskLimitValue positionStatus "
    "adlRankIndicator autoAddMargin isReduceOnly createdTime updatedTime openTime seq "
    "leverageSysUpdatedTime mmrSysUpdatedTime tpslMode bustPrice positionBalance tradeMode"
)
COIN_KEYS = (
    "coin equity usdValue walletBalance locked borrowAmount spotBorrow accruedInterest totalOrderIM "
    "totalPositionIM totalPositionMM unrealisedPnl cumRealisedPnl bonus collateralSwitch "
    "marginCollateral colRes spotHedgingQty availableToBorrow availableToWithdraw"
)


def test_every_documented_key_is_there(told):
    for topic, keys in (
        ("execution", EXECUTION_KEYS),
        ("order", ORDER_KEYS),
        ("position", POSITION_KEYS),
    ):
        for row in rows_of(told[1], topic):
            assert set(keys.split()) <= row.keys()
    for row in rows_of(told[1], "wallet"):
        assert set(COIN_KEYS.split()) == row["coin"][0].keys()


def test_a_leg_that_was_never_traded_has_no_seq():
    first = next(frame for frame in story().event(NOW) if frame.topic == "position")
    assert {row["seq"] for row in first.rows} <= {"-1"} | {first.rows[0]["seq"]}


# --- the same again ------------------------------------------------------------------------------


def told_without_times(one, count=400):
    return json.dumps([[frame.topic, frame.rows] for frame in frames(one, count)])


def test_the_same_seed_tells_the_same_story():
    assert told_without_times(story()) == told_without_times(story())
    assert told_without_times(story()) != told_without_times(story(seed=2))
    assert told_without_times(story()) != told_without_times(story("bob"))


def test_two_sides_of_a_match_share_its_id():
    alice, bob = (rows_of(frames(story(name), 800), "execution") for name in ("alice", "bob"))
    shared = {row["execId"] for row in alice} & {row["execId"] for row in bob}
    assert len(shared) > 10
    assert len({row["execId"] for row in alice}) == len(alice)


def test_the_figures_do_not_depend_on_the_clock():
    slow, fast = story(), story()
    figures = [
        [f.rows[0]["totalWalletBalance"] for n in range(200) for f in one.event(NOW + n * step) if f.topic == "wallet"]
        for one, step in ((slow, 0), (fast, 1000))
    ]  # fmt: skip
    assert figures[0] == figures[1]


def test_the_sandbox_does_not_read_the_adapter():
    folder = Path(book.__file__).parent
    assert not any("marketdata.bybit" in path.read_text() for path in folder.glob("*.py"))


def test_no_state_of_an_order_is_told_later_than_capture_takes_for_possible():
    late = []
    for seed in range(4):
        one = story(seed=seed)
        for now in range(NOW, NOW + 300_000, 125):
            told = one.event(now)
            late += [now - int(row["updatedTime"]) for row in rows_of(told, "order")]
    assert max(late) < PRIVATE_LATENESS.total_seconds() * 1000
    # States do come after later ones.
    assert sum(ms > 500 for ms in late) > 10
