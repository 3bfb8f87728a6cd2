"""Small runs that are worked out by hand.

Four levels 1 percent apart around 1000.0: 980.1, 990.0, then 1010.0, 1020.1; 100 USDT an order,
in steps of 0.001. Fees 0.02 % (maker) and 0.055 % (taker).
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from gridcore import InstrumentInfo
from gridcore.matching import trade_through_at_limit
from strategies.backtest import BLOCK, Contract, Fees, Settlement, Trades, run_backtest
from strategies.backtest.tests.markets import FLAT_TIERS, START_MS, D, config, contract, run, trades
from strategies.config import StrategyConfig


def test_a_cycle_earns_its_step_less_two_fees():
    # 100 / 990.0 rounds up to 0.102, 100 / 1000.0 is 0.1.
    result = run([10_000, 9_950, 9_899, 10_001])
    bought, sold, shorted = result.fills
    assert (bought.side, bought.direction, bought.price, bought.qty, bought.opens) == (
        *("Buy", "long", D("990.0"), D("0.102"), True),
    )
    assert (sold.side, sold.direction, sold.price, sold.qty, sold.opens) == (
        *("Sell", "long", D("1000.0"), D("0.1"), False),
    )
    assert (bought.fee, sold.fee, sold.closed_pnl) == (D("0.020196"), D("0.02"), D(1))
    assert (shorted.side, shorted.direction, shorted.opens) == ("Sell", "short", True)
    # 10000 + 1 - 0.060196, 0.002 long gained 10.1 each, 0.1 short lost 0.1 each.
    assert result.metrics.final_equity == D("10000.950004")
    assert result.metrics.realised == D(1)
    assert result.metrics.unrealised == D("0.0102")


def test_a_fill_knows_its_cause():
    bought, *_ = run([10_000, 9_950, 9_899, 9_899]).fills
    assert (bought.level, bought.trade_index, bought.rule) == (-1, 2, "strict_cross")
    assert (bought.trade_price, bought.previous_price) == (D("989.9"), D("995.0"))
    assert bought.time == datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert bought.equity == D(10_000) - D("0.020196") - D("0.0102")


def test_a_touch_fills_in_the_optimistic_model_alone():
    assert not run([10_000, 9_900, 10_000]).fills
    assert len(run([10_000, 9_900, 10_000], fill_model=trade_through_at_limit).fills) == 1


def test_a_block_trade_fills_nothing():
    market = trades([10_000, 9_000, 10_000])
    market = Trades(market.times, market.prices, np.array([0, BLOCK, 0], dtype=np.uint8))
    result = run_backtest(market, contract(), config(), starting_balance=D(1000))
    assert (result.trades, result.fills) == (2, [])


@pytest.mark.parametrize(("rate", "amount"), [("0.001", "-0.102"), ("-0.002", "0.204")])
def test_a_long_pays_a_positive_rate_and_receives_a_negative_one(rate, amount):
    due = Settlement(START_MS + 2000, D(rate), D(1000))
    result = run([10_000, 9_899, 9_899, 9_899], funding=[due])
    (payment,) = result.funding
    assert (payment.long_size, payment.short_size) == (D("0.102"), D(0))
    assert payment.amount == D(amount) == result.metrics.funding
    assert result.metrics.final_equity == D("9999.969604") + D(amount)


def test_a_short_receives_a_positive_rate_at_the_price_before_the_instant():
    due = Settlement(START_MS + 1500, D("0.001"))
    (payment,) = run([10_000, 10_101, 10_050], funding=[due]).funding
    assert (payment.short_size, payment.mark_price) == (D("0.1"), D("1010.1"))
    assert payment.amount == D("0.10101")


def test_a_trade_at_the_instant_comes_after_the_settlement():
    assert not run([10_000, 9_899], funding=[Settlement(START_MS + 1000, D("0.01"))]).funding
    assert not run([10_000, 9_899], funding=[Settlement(START_MS, D("0.01"))]).funding


def test_funding_is_paid_at_recorded_settlements_only_and_missing_ones_are_named():
    eight = START_MS + 8 * 3_600_000
    result = run(
        [10_000, *[9_899] * 20], every_ms=3_600_000, funding=[Settlement(eight, D("0.0001"))]
    )
    assert [payment.time.hour for payment in result.funding] == [8]
    assert result.missing_funding == [datetime(2026, 1, 1, 16, tzinfo=UTC)]


def test_margin_carries_some_orders_and_refuses_the_rest():
    # A tenth of 0.102 * 990.0 is 10.098; of 15 USDT that leaves too little for any other.
    # The least order, 0.103 at 980.1, takes 10.09503.
    result = run([10_000, 10_000], starting_balance=D(15))
    assert (result.placed, result.refusals["margin"]) == (1, 3)
    assert run([10_000, 10_000], starting_balance=D("10.09503")).placed == 1
    assert run([10_000, 10_000], starting_balance=D("10.09502")).placed == 0


def test_leverage_takes_less_margin_down_to_the_rate_of_the_tier():
    # 1 percent of (100.98 + 100.9503 + 101 + 101.0099...) carries all four.
    assert run([10_000, 10_000], starting_balance=D("4.1"), leverage=100).placed == 4
    assert run([10_000, 10_000], starting_balance=D("4.1"), leverage=1000).placed == 4
    assert run([10_000, 10_000], starting_balance=D("3.9"), leverage=1000).placed == 3


def test_an_order_that_only_reduces_waits_for_a_larger_position():
    result = run([10_000, 10_000])
    assert (result.placed, result.refusals) == (4, {"reduce_only": 4})
    # The long's 0.102 has room for one order of 0.1.
    after = run([10_000, 9_950, 9_899, 9_899])
    sells = [
        order
        for order in after.final["book"]["orders"]
        if (order.direction, order.side) == ("long", "Sell")
    ]
    assert [(order.price, order.qty) for order in sells] == [(D("1000.0"), D("0.1"))]


def test_an_order_that_would_close_the_whole_position_is_declined():
    # 99 / 990.0 and 99 / 1000.0 are both 0.1 in steps of 0.1.
    after = run([10_000, 9_899, 9_899], instrument=contract(step="0.1"), config=config(amount="99"))
    assert after.final["book"]["legs"]["long"].size == D("0.1")
    assert not [each for each in after.final["book"]["orders"] if each.reduce_only]


def test_a_fallen_account_is_liquidated_as_taker_and_owes_nothing():
    # Bought at 990.0, 980.1, 970.3 and 960.6: 0.414 for 403.7045, for fees of 0.0807409.
    market = [10_000, 9_950, 9_899, 9_790, 9_300, 9_900]
    result = run(market, starting_balance=D(20), leverage=100)
    end, closing = result.liquidation, result.fills[-1]
    equity = D(20) - D("403.7045") + D("385.02") - D("0.0807409")
    assert (end.price, end.equity, end.forgiven) == (D(930), equity, 0)
    assert end.maintenance_margin == D("385.02") * D("0.005") > equity
    assert (closing.rule, closing.level, closing.is_maker) == ("taker", None, False)
    assert closing.fee == D("385.02") * D("0.00055")
    assert result.metrics.final_equity == equity - closing.fee
    assert result.trades == 5


def test_a_funding_draws_liquidation_nearer():
    # Margin for one order. After it the limit is at 886.4, after the funding of 10.2 at 987.2.
    due = Settlement(START_MS + 1500, D("0.1"), D(1000))
    market = [10_000, 9_899, 9_890, 9_880, 9_875, 9_870, 9_880]
    result = run(market, starting_balance=D(11), funding=[due])
    assert result.liquidation.price == D("987.0")
    assert run(market, starting_balance=D(11)).liquidation is None


def test_a_debt_is_forgiven():
    result = run([10_000, 9_899, 9_790, 8_000], starting_balance=D(20), leverage=100)
    assert result.metrics.final_equity == 0
    assert result.liquidation.forgiven == result.metrics.forgiven > 0
    assert result.metrics.return_share == -1
    assert result.final["wallet_balance"] == 0


def test_a_minimum_notional_raises_the_order():
    result = run([10_000, 9_899], instrument=contract(min_notional=D(150)))
    assert result.fills[0].qty == D("0.152")  # 150 / 990.0, rounded up


def test_a_run_without_fills_says_why():
    large = Contract(InstrumentInfo("BTCUSDT", D("0.001"), D("0.1"), D(1), D(1000)))
    assert run([10_000], instrument=large).no_fills_because == (
        "Every order was declined: 4 by quantity, 4 by reduce_only."
    )
    assert "4 orders that rested" in run([10_000, 10_001]).no_fills_because
    assert run([]).no_fills_because == "There are no trades in the window."
    assert "wanted no order" in run([10_000], config=config(grid_count=1)).no_fills_because
    assert run([10_000, 9_899]).no_fills_because == ""


def test_what_makes_no_backtest_is_refused():
    with pytest.raises(ValueError, match="no amount"):
        run([10_000], config=StrategyConfig.from_json({}))
    with pytest.raises(ValueError, match="starting_balance must be positive"):
        run([10_000], starting_balance=D(0))
    with pytest.raises(ValueError, match="duplicate prices"):
        run([10], config=config(grid_step=0.2))
    with pytest.raises(ValueError, match="no end"):
        run([10_000], tiers=[(D(1000), D("0.01"), D(0), D("0.02"))])


def test_fees_may_be_rebates():
    result = run([10_000, 9_899], fees=Fees(maker=D("-0.0001")))
    assert result.metrics.fees == D("-0.010098")


def test_the_account_of_the_tiers_is_the_symbols_by_default():
    known = run([10_000, 9_950, 9_899, 10_001], tiers=None)
    assert known.metrics == run([10_000, 9_950, 9_899, 10_001], tiers=FLAT_TIERS).metrics
