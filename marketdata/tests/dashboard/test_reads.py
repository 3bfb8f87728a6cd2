"""What the dashboard reads: right in every corner, and in as few queries as it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import BybitAccount
from marketdata.capture.feeds import Feed
from marketdata.dashboard.feeds import known_feeds
from marketdata.dashboard.holdings import Mark, equity_curves, open_positions, positions_of
from marketdata.dashboard.rates import rates
from marketdata.dashboard.samples import tickers_at
from marketdata.dashboard.strips import State
from marketdata.dashboard.trading import MOST, fills, rests, states, symbols
from marketdata.dashboard.window import Window
from marketdata.models import (
    CaptureGap,
    CoverageInterval,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    Stream,
    TickerSnapshot,
    WalletSnapshot,
)
from marketdata.tests.factories import (
    CaptureGapFactory,
    CoverageIntervalFactory,
    OrderFactory,
    PositionSnapshotFactory,
    PrivateExecutionFactory,
    PublicTradeFactory,
    TickerSnapshotFactory,
    WalletSnapshotFactory,
)

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = Window("1h", NOON)


def ago(minutes: float) -> datetime:
    return NOON - timedelta(minutes=minutes)


def covered(start: float, end: float, **values):
    return CoverageIntervalFactory.create(started_at=ago(start), ended_at=ago(end), **values)


def gap(start: float, end: float | None, **values):
    ended = None if end is None else ago(end)
    return CaptureGapFactory.create(started_at=ago(start), ended_at=ended, **values)


def known(window: Window = WINDOW):
    found = known_feeds(CoverageInterval.objects.all(), CaptureGap.objects.all(), window)
    return {each.feed: each for each in found}


def outline(found):
    return [(piece.state, (NOON - piece.start).total_seconds() / 60) for piece in found.pieces]


# --- Feeds --------------------------------------------------------------------------------


def test_every_feed_takes_two_queries(django_assert_num_queries, alice_account):
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        covered(90, 0, symbol=symbol)
        gap(30, 20, symbol=symbol)
    covered(90, 0, stream=Stream.ORDERS, symbol="", account=alice_account)
    with django_assert_num_queries(2):
        assert len(known()) == 4


def test_a_gap_that_lasts_reaches_to_the_end_of_the_window():
    covered(180, 10)
    gap(200, 180)
    gap(10, None)
    [feed] = known().values()
    assert outline(feed) == [(State.COVERED, 60), (State.OPEN, 10)]
    assert (feed.first, feed.open_gaps) == (ago(200), 2)
    assert not feed.is_silent(WINDOW, 60)


def test_a_filled_gap_is_what_its_interval_says_and_an_unfillable_one_is_lost():
    covered(60, 40)
    covered(40, 30, source="rest")
    gap(40, 30, state="filled")
    gap(30, 20, state="unfillable")
    covered(20, 0)
    [feed] = known().values()
    assert [state for state, _ in outline(feed)][:4] == [
        *(State.COVERED, State.FILLED, State.LOST, State.COVERED),
    ]
    assert feed.open_gaps == 0


def test_of_what_was_pruned_nothing_is_known_any_more():
    gap(60, 40, state="pruned")
    covered(40, 0)
    [feed] = known().values()
    assert [state for state, _ in outline(feed)] == [State.UNKNOWN, State.COVERED]
    assert feed.open_gaps == 0


def test_what_was_pruned_is_unknown_also_after_something_older_that_is_kept():
    gap(80, 70, state="filled")
    gap(75, 40, state="pruned")
    covered(40, 0)
    [feed] = known().values()
    assert [state for state, _ in outline(feed)] == [State.UNKNOWN, State.COVERED]


def test_states_of_orders_that_are_gone_are_no_open_gap(alice_account):
    gap(40, 20, state="partial")
    gap(40, 20, state="partial", stream=Stream.ORDERS, symbol="", account=alice_account)
    found = {feed.stream: (each.open_gaps, each.pieces[1].state) for feed, each in known().items()}
    assert found == {"trades": (1, State.OPEN), "orders": (0, State.LOST)}


def test_a_feed_that_ended_before_the_window_is_known_and_silent():
    covered(600, 300)
    gap(600, 500, state="partial")
    [feed] = known().values()
    assert outline(feed) == [(State.UNKNOWN, 60)]
    assert (feed.last, feed.open_gaps) == (ago(300), 1)
    assert feed.is_silent(WINDOW, 60)


def test_what_began_after_the_window_is_not_known_in_it():
    covered(30, 0)
    assert known(Window("1h", ago(45))) == {}


def test_between_two_intervals_without_a_gap_nothing_vouches():
    covered(60, 40)
    covered(20, 0)
    [feed] = known().values()
    assert (State.UNVOUCHED, pytest.approx(40, abs=0.01)) in outline(feed)


# --- Rates --------------------------------------------------------------------------------


def test_rates_are_of_the_last_minute_and_by_feed(django_assert_num_queries, alice_account):
    for seconds, late in ((0, 10), (30, 30), (59, 20), (60, 900), (-1, 900)):
        at = NOON - timedelta(seconds=seconds)
        PublicTradeFactory.create(exchange_ts=at, local_ts=at + timedelta(milliseconds=late))
    TickerSnapshotFactory.create(symbol="ETHUSDT", exchange_ts=NOON, local_ts=NOON)
    OrderFactory.create(account=alice_account, exchange_ts=NOON)
    tables = {
        Stream.TRADES: PublicTrade.objects.all(),
        Stream.TICKERS: TickerSnapshot.objects.all(),
        Stream.ORDERS: Order.objects.all(),
    }
    with django_assert_num_queries(1):
        found = rates(tables, NOON)
    assert found.keys() == {
        *(Feed("trades", "BTCUSDT"), Feed("tickers", "ETHUSDT")),
        Feed("orders", "", alice_account.pk),
    }
    assert found[Feed("trades", "BTCUSDT")] == (3, timedelta(milliseconds=20))


# --- Holdings -----------------------------------------------------------------------------


def curves(*moments):
    keys = list(BybitAccount.objects.values_list("pk", flat=True))
    found = equity_curves(WalletSnapshot.objects.all(), keys, [ago(each) for each in moments])
    return {
        key: [(float(each.amount), each.unit) for each in curve] for key, curve in found.items()
    }


def test_equity_is_that_of_the_newest_balance_at_each_moment(
    django_assert_num_queries, alice_account, bob_account, charlie_account
):
    for minutes, total in ((50, 100), (35, 105), (30, 120), (10, 110)):
        WalletSnapshotFactory.create(
            account=alice_account, exchange_ts=ago(minutes), total_equity=Decimal(total)
        )
    WalletSnapshotFactory.create(account=bob_account, coin="USDC", exchange_ts=ago(500), equity=7)
    for minutes in (41, 29, 9):
        WalletSnapshotFactory.create(account=charlie_account, exchange_ts=ago(minutes), equity=1)
    with django_assert_num_queries(2):
        found = curves(60, 40, 30, 0)
    assert found == {
        alice_account.pk: [(100, "USD"), (120, "USD"), (110, "USD")],
        bob_account.pk: [(7, "USDC")],
        charlie_account.pk: [(1, "USDT")] * 2,
    }


def test_of_two_states_of_one_millisecond_the_later_one_counts(alice_account):
    for amount in (1, 2):
        WalletSnapshotFactory.create(account=alice_account, exchange_ts=ago(1), equity=amount)
    assert curves(0) == {alice_account.pk: [(2, "USDT")]}


def test_a_total_counts_with_whichever_coin_it_came_and_a_coin_stands_for_itself(
    alice_account, bob_account
):
    for coin, minutes, total in (("USDT", 50, 5), ("USDC", 30, 9000), ("USDT", 10, 9100)):
        of = {"coin": coin, "exchange_ts": ago(minutes), "equity": 1}
        WalletSnapshotFactory.create(account=alice_account, total_equity=Decimal(total), **of)
        WalletSnapshotFactory.create(account=bob_account, **of)
    assert curves(40, 20, 0) == {
        alice_account.pk: [(5, "USD"), (9000, "USD"), (9100, "USD")],
        bob_account.pk: [(1, "USDT")] * 2,
    }


def test_without_an_account_there_is_nothing_to_ask(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert equity_curves(WalletSnapshot.objects.all(), [], [NOON]) == {}
        assert open_positions(PositionSnapshot.objects.all(), [], NOON) == []


def test_prices_are_those_of_the_newest_ticker_at_each_moment():
    for minutes, symbol in ((50, "BTCUSDT"), (45, "BTCUSDT"), (20, "BTCUSDT"), (30, "ETHUSDT")):
        TickerSnapshotFactory.create(symbol=symbol, exchange_ts=ago(minutes))
    wanted = tickers_at("BTCUSDT", [ago(60), ago(40), ago(30), NOON])
    found = TickerSnapshot.objects.filter(pk__in=wanted).order_by("exchange_ts")
    assert [row.exchange_ts for row in found] == [ago(45), ago(20)]


def sizes(*accounts, end=NOON):
    found = open_positions(PositionSnapshot.objects.all(), [each.pk for each in accounts], end)
    return sorted(int(each.size) for each in found)


def test_a_position_is_the_newest_state_of_each_leg_that_is_not_flat(
    django_assert_num_queries, alice_account, bob_account
):
    legs = [
        (alice_account, "BTCUSDT", 1, 50, "1"), (alice_account, "BTCUSDT", 1, 20, "2"),
        (alice_account, "BTCUSDT", 2, 20, "3"), (alice_account, "ETHUSDT", 0, 50, "4"),
        (alice_account, "ETHUSDT", 0, 20, "0"), (alice_account, "SOLUSDT", 0, 20, "5"),
        (bob_account, "BTCUSDT", 1, 20, "6"),
    ]  # fmt: skip
    for account, symbol, idx, minutes, size in legs:
        PositionSnapshotFactory.create(
            account=account, symbol=symbol, position_idx=idx, exchange_ts=ago(minutes), size=size
        )
    with django_assert_num_queries(1):
        assert sizes(alice_account) == [2, 3, 5]
    assert sizes(alice_account, end=ago(30)) == [1, 4]
    assert sizes(alice_account, bob_account) == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("side", "liq", "mark", "distance"),
    [
        ("Buy", "90", "100", "0.1"), ("Sell", "105", "100", "0.05"), ("Sell", "104", "100", "0.04"), ("Buy", "101", "100", "-0.01"),
        ("Buy", "0", "100", None), ("Buy", None, "100", None), ("Sell", "105", None, None),
    ],
)  # fmt: skip
def test_the_distance_is_the_part_of_the_price_left_until_liquidation(side, liq, mark, distance):
    row = PositionSnapshotFactory.build(
        side=side, liq_price=liq and Decimal(liq), mark_price=mark and Decimal(mark)
    )
    [found] = positions_of([row], {})
    assert found.distance == (None if distance is None else Decimal(distance))
    assert found.is_near is (distance is not None and Decimal(distance) < Decimal("0.05"))


def test_a_newer_price_of_the_market_counts_and_what_is_near_comes_first():
    near, far = (
        PositionSnapshotFactory.build(symbol=symbol, liq_price=Decimal(90), mark_price=Decimal(100))
        for symbol in ("ETHUSDT", "BTCUSDT")
    )
    found = positions_of([far, near], {"ETHUSDT": Mark(NOON, Decimal("91"))})
    assert [(each.snapshot.symbol, each.is_near) for each in found] == [
        *(("ETHUSDT", True), ("BTCUSDT", False)),
    ]
    assert found[0].distance_percent == "1.1"


def test_an_older_price_of_the_market_does_not_count():
    row = PositionSnapshotFactory.build(mark_price=Decimal(100), exchange_ts=NOON)
    [found] = positions_of([row], {"BTCUSDT": Mark(ago(1), Decimal(80))})
    assert found.price == 100


@pytest.mark.parametrize(("side", "mark", "pnl"), [("Buy", "41", "-18"), ("Sell", "41", "18")])
def test_what_is_not_realised_goes_with_the_price_that_is_shown(side, mark, pnl):
    row = PositionSnapshotFactory.build(
        side=side,
        size=Decimal(2),
        entry_price=Decimal(50),
        mark_price=Decimal(49),
        unrealised_pnl=Decimal("-7"),
    )
    pushed, newer = (
        positions_of([row], marks)[0] for marks in ({}, {"BTCUSDT": Mark(NOON, Decimal(mark))})
    )
    assert (pushed.unrealised_pnl, newer.unrealised_pnl) == (Decimal(-7), Decimal(pnl))


# --- Orders and fills ---------------------------------------------------------------------


def order(account, order_id, *history, **values):
    for minutes, status in history:
        OrderFactory.create(
            account=account, order_id=order_id, exchange_ts=ago(minutes), status=status,
            created_at=ago(history[0][0]), **values,
        )  # fmt: skip


def test_an_order_lies_from_its_placing_to_its_end_or_to_the_windows(alice_account):
    order(alice_account, "waits", (500, "New"))
    order(alice_account, "done", (40, "New"), (20, "Filled"))
    order(alice_account, "long over", (500, "New"), (400, "Cancelled"))
    order(alice_account, "at market", (30, "Filled"), price=Decimal(0))
    found = rests(states(Order.objects.all(), WINDOW), WINDOW)
    assert [(rest.start, rest.end, rest.waits) for rest in found] == [
        (ago(500), NOON, True),
        (ago(40), ago(20), False),
    ]


def test_looking_back_an_order_still_waits(alice_account):
    order(alice_account, "done", (90, "New"), (20, "Filled"))
    before = Window("1h", ago(45))
    [rest] = rests(states(Order.objects.all(), before), before)
    assert rest.waits


def test_fills_are_what_changed_a_position_the_newest_first(alice_account):
    for minutes, kind in ((50, "Trade"), (40, "Funding"), (30, "BustTrade"), (90, "Trade")):
        PrivateExecutionFactory.create(
            account=alice_account, exchange_ts=ago(minutes), exec_type=kind
        )
    found = fills(PrivateExecution.objects.all(), WINDOW)
    assert [fill.at for fill in found] == [ago(30), ago(50)]
    assert list(symbols(found, states(Order.objects.all(), WINDOW))) == ["BTCUSDT"]


def test_of_orders_and_executions_a_bounded_number_is_read(
    django_assert_num_queries, alice_account
):
    with django_assert_num_queries(2) as queries:
        states(Order.objects.all(), WINDOW)
        fills(PrivateExecution.objects.all(), WINDOW)
    assert all(f"LIMIT {MOST}" in query["sql"] for query in queries.captured_queries)
