"""How long a decision holds."""

from __future__ import annotations

import pytest

from gridcore import PlaceLimitIntent
from gridcore.instrument import Scale
from strategies.backtest.broker import Broker
from strategies.backtest.risk import Risk
from strategies.backtest.tests.markets import D, config, contract
from strategies.backtest.tests.test_account import TICK, account

WISH = PlaceLimitIntent.create("BTCUSDT", "Buy", D("980.0"), D(0), -1, "long", strat_id="t")


@pytest.fixture
def declining():
    """A broker that has declined the wish at 990.0, with its account.

    The long is 0.3 of the short and losing, hence the double amount: 0.205 coins, for a margin of
    20.09 when 131 + 710 - 0.7p - 0.13p = 19.3 is free. Above 1000.0 it gains, and 0.103 coins
    take 10.094.
    """
    pair = account(131, long=("0.3", 1000), short=(1, 1010))
    scale = Scale(TICK)
    strategy = config(amount="100")
    risk = Risk(strategy.risk, pair, scale)
    broker = Broker(
        pair._book, pair, risk, contract=contract(), amount=strategy.amount, scale=scale
    )
    broker.on_price(pair.state(9_900), 9_900)
    broker.carry_out([WISH], 9_900)
    assert [declined.reason for declined in broker.refused.values()] == ["margin"]
    return broker, pair


def test_a_decision_holds_until_margin_suffices_or_multipliers_may_change(declining):
    broker, _ = declining
    # 20.09 is free at 989.05. The short is liquidated at 1190.4, 1.2 times 992.0.
    assert broker.quiet_ticks() == (9_891, 9_920)


def test_multipliers_of_other_orders_leave_it_as_it_is(declining):
    broker, pair = declining
    broker.on_price(pair.state(9_950), 9_950)
    assert broker.quiet_ticks() == (9_891, 9_999)


def test_it_is_taken_again_when_its_own_multiplier_changes(declining):
    broker, pair = declining
    broker.on_price(pair.state(10_000), 10_000)
    assert not broker.refused
    broker.carry_out([WISH], 10_000)
    assert pair._book.order(WISH.client_order_id).qty == D("0.103")


def test_it_is_taken_again_when_the_margin_suffices(declining):
    broker, pair = declining
    broker.on_price(pair.state(9_890), 9_890)
    broker.carry_out([WISH], 9_890)
    assert pair._book.order(WISH.client_order_id).qty == D("0.205")


def test_a_wish_added_to_the_declined_is_known_at_this_price_alone(declining):
    broker, pair = declining
    broker.on_price(pair.state(9_950), 9_950)
    other = PlaceLimitIntent.create(
        "BTCUSDT", "Sell", D("1020.0"), D(0), 2, "long", reduce_only=True, strat_id="t"
    )
    broker._closing["long"] = D("0.29")
    broker.carry_out([WISH, other], 9_950)
    assert other.client_order_id in broker.refused
    assert broker.quiet_ticks() == (9_921, 9_999)
