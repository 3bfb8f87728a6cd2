"""The preview of a grid: what the core would build and order, before anything is saved."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gridcore import (
    Grid,
    GridConfig,
    InstrumentInfo,
    PlaceLimitIntent,
    calc_initial_margin,
    create_qty_calculator,
)
from marketdata.tests.factories import (
    InstrumentFactory,
    TickerSnapshotFactory,
    WalletSnapshotFactory,
    tick,
)
from strategies.admin.preview import Market, break_even_step, preview
from strategies.config import StrategyConfig
from strategies.models import Strategy
from strategies.tests.factories import StrategyFactory

ADD = "/admin/strategies/strategy/add/"
PRICE = Decimal("50000.5")


def market(**values):
    values = {
        "symbol": "BTCUSDT",
        "tick_size": Decimal("0.1"),
        "qty_step": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "min_notional": Decimal(5),
        "last_price": PRICE,
        "wallet": Decimal(1000),
        "leverage": Decimal(10),
        "maker_fee": Decimal("0.02"),
        **values,
    }
    return Market(**values)


def built(*, config=None, **values):
    config = {"grid_count": 6, "grid_step": 0.5, "amount": "100", **(config or {})}
    return preview(StrategyConfig.from_json(config), market(**values))


# --- Against the core ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 50, 250])
@pytest.mark.parametrize("step", [0.05, 0.2, 0.3])
def test_levels_are_those_of_the_core(count, step):
    grid = Grid(Decimal("0.1"), count, step)
    grid.build_grid(PRICE)
    shown = built(config={"grid_count": count, "grid_step": step}).levels
    assert [(row.number, row.side, row.price) for row in shown[::-1]] == [
        (level["level"], level["side"], level["price"]) for level in grid.grid
    ]


@pytest.mark.parametrize("amount", ["5", "100", "1234.5", "x0.01", "x2"])
def test_quantities_are_those_of_the_core(amount):
    step = Decimal("0.001")
    rules = InstrumentInfo("BTCUSDT", step, Decimal("0.1"), step, Decimal(10**9))
    quantity = create_qty_calculator(amount, rules)
    rows = [row for row in built(config={"amount": amount}).levels if row.side != "Wait"]
    for row in rows:
        intent = PlaceLimitIntent.create(
            symbol="BTCUSDT",
            side=row.side,
            price=row.price,
            qty=Decimal(0),
            grid_level=row.number,
            direction="long",
        )
        assert row.qty == quantity(intent, Decimal(1000))
        assert row.value == row.qty * row.price
    assert len(rows) == 6


def test_a_side_is_the_sum_of_its_orders_and_its_margin():
    shown = built(config={"amount": "50000", "grid_count": 200, "grid_step": 0.1}, leverage=100)
    for side in shown.sides:
        rows = [row for row in shown.levels if row.side == side.name]
        value = sum(row.value for row in rows)
        assert (side.orders, side.qty, side.value) == (100, sum(r.qty for r in rows), value)
        # Five million in the tier of 2 %: more than a hundredth of it.
        assert side.margin == calc_initial_margin(value, 100, "BTCUSDT")[0] > value / 100
    assert [side.position for side in shown.sides] == ["long", "short"]
    assert built(leverage=Decimal(4)).sides[0].margin * 4 == built().sides[0].value


# --- Fees ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fee", ["0.01", "0.02", "0.055", "1"])
def test_a_round_trip_over_the_break_even_step_earns_nothing(fee):
    rate, step = Decimal(fee) / 100, break_even_step(Decimal(fee)) / 100
    low, high = PRICE, PRICE * (1 + step)
    assert abs((high - low) - rate * (high + low)) < Decimal("1e-18")


def test_what_a_level_earns_is_the_step_less_both_fees():
    rows = built().levels
    upper, lower = rows[0], rows[1]
    fees = Decimal("0.0002") * lower.qty * (upper.price + lower.price)
    assert lower.earned == lower.qty * (upper.price - lower.price) - fees
    assert upper.earned is None


def test_steps_that_do_not_pay_the_fees_are_said():
    shown = built(config={"grid_step": 0.03})
    assert all(row.earned < 0 for row in shown.levels if row.earned is not None)
    assert shown.problems == [
        "6 of 6 steps do not earn what both fees cost: a step must be above 0.0400 %."
    ]
    assert built(config={"grid_step": 0.05}).problems == []
    assert built(config={"grid_step": 0.03}, maker_fee=Decimal("-0.01")).problems == []


# --- What is wrong, in words --------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"config": {"grid_step": 90}}, None),
        ({"tick_size": Decimal(1000)}, "There is no such grid: duplicate prices in the grid:"),
        ({"tick_size": Decimal(0)}, "There is no such grid: tick_size must be positive"),
        ({"min_qty": Decimal(1)}, "6 orders are too small to be ordered."),
        ({"min_notional": Decimal(200)}, "6 orders are worth too little."),
        ({"wallet": Decimal(10)}, "The margin of the long, "),
        (
            {"wallet": None, "config": {"amount": "x0.01"}},
            "The amount is a share of the wallet, and no balance is known: enter one.",
        ),
    ],
)
def test_what_is_wrong_is_said(values, problem):
    found = built(**values).problems
    assert problem is None or found[0].startswith(problem)


def test_without_an_amount_there_are_levels_and_no_orders():
    shown = preview(StrategyConfig.from_json({"grid_count": 4}), market())
    assert [row.qty for row in shown.levels] == [None] * 5
    assert [side.orders for side in shown.sides] == [0, 0]
    assert shown.problems == ["No amount is set: there are levels, but nothing would be ordered."]


def test_an_order_that_rounding_makes_dearer_says_so():
    remarks = {row.remark for row in built(config={"amount": "20"}).levels if row.qty}
    assert remarks == {"rounded up from 20.00"}
    assert {row.remark for row in built(config={"amount": "5000"}).levels} == {""}


# --- On the page --------------------------------------------------------------------------


@pytest.fixture
def bitcoin(db):
    """The contract and its last ticker, at 50000.5; an older one at another price."""
    InstrumentFactory.create()
    TickerSnapshotFactory.create(exchange_ts=tick(-5), last_price=1)
    return TickerSnapshotFactory.create(exchange_ts=tick(-4))


def asked(client, account, path=ADD, **values):
    data = {"account": account.pk, "name": "grid", "symbol": "btcusdt", "amount": "100"}
    response = client.post(path, data | {"_preview": "1"} | values)
    assert response.status_code == 200
    return response


def test_a_preview_shows_the_grid_and_saves_nothing(bob_client, bob_account, bitcoin):
    page = asked(bob_client, bob_account, grid_count="4", grid_step="0.5")
    assert page.context["preview"]["market"].last_price == bitcoin.last_price
    assert '<td class="figure">50250.5</td>' in page.text
    assert "0.0400 %" in page.text
    assert not Strategy.objects.unscoped().exists()
    assert "errornote" not in page.text
    assert page.context["adminform"].form["grid_step"].value() == "0.5"


def test_a_stored_strategy_is_previewed_as_it_is_and_as_it_is_typed(
    bob_client, bob_account, bitcoin
):
    strategy = StrategyFactory.create(account=bob_account, config={"grid_count": 4})
    path = f"/admin/strategies/strategy/{strategy.pk}/change/"
    assert len(bob_client.get(path).context["preview"]["found"].levels) == 5
    page = asked(bob_client, bob_account, path, grid_count="6")
    assert len(page.context["preview"]["found"].levels) == 7
    strategy.refresh_from_db()
    assert strategy.config == {"grid_count": 4}


def test_who_may_only_look_sees_the_preview_and_no_boxes(client, bob_account, bitcoin):
    bob = bob_account.user
    strategy = StrategyFactory.create(account=bob_account, config={"grid_count": 4})
    bob.user_permissions.remove(bob.user_permissions.get(codename="change_strategy"))
    client.force_login(bob)
    page = client.get(f"/admin/strategies/strategy/{strategy.pk}/change/")
    assert "preview-levels" in page.text
    assert "grid_count&quot;: 4" in page.text
    assert 'name="grid_count"' not in page.text
    assert "_preview" not in page.text


def test_what_is_entered_goes_before_what_was_captured(bob_client, bob_account, bitcoin):
    WalletSnapshotFactory.create(account=bob_account, wallet_balance=Decimal(1))
    WalletSnapshotFactory.create(account=bob_account, wallet_balance=Decimal(777))
    found = asked(bob_client, bob_account).context["preview"]["market"]
    assert (found.wallet, found.leverage, found.maker_fee) == (777, 10, Decimal("0.02"))
    entered = {"preview_price": "70000", "preview_wallet": "9", "preview_leverage": "3"}
    found = asked(bob_client, bob_account, **entered, preview_maker_fee="0")
    found = found.context["preview"]["market"]
    assert (found.last_price, found.wallet) == (70000, 9)
    assert (found.leverage, found.maker_fee) == (3, 0)


def test_another_ones_wallet_is_not_looked_at(bob_client, bob_account, alice_account, bitcoin):
    WalletSnapshotFactory.create(account=alice_account, wallet_balance=Decimal(777))
    assert asked(bob_client, bob_account).context["preview"]["market"].wallet is None
    assert "777" not in asked(bob_client, alice_account).text


def test_a_wrong_box_is_said_and_shows_no_grid(bob_client, bob_account, bitcoin):
    page = asked(bob_client, bob_account, grid_count="0")
    assert list(page.context["adminform"].form.errors) == ["grid_count"]
    assert "preview" not in page.context


@pytest.mark.django_db
def test_what_is_not_known_yet_is_asked_for(bob_client, bob_account):
    assert "The rules of BTCUSDT are not known" in asked(bob_client, bob_account).text
    InstrumentFactory.create()
    assert "No ticker of BTCUSDT was captured" in asked(bob_client, bob_account).text


def test_a_configuration_that_is_refused_does_not_break_the_page(bob_client, bob_account, bitcoin):
    strategy = StrategyFactory.create(account=bob_account, config={"grid_count": 0})
    page = bob_client.get(f"/admin/strategies/strategy/{strategy.pk}/change/")
    assert "The stored configuration is refused: grid_count must be positive, not 0." in page.text


@pytest.mark.parametrize("price", ["0", "-1", "nan", "1e999"])
def test_a_price_that_is_none_stands_at_its_box(bob_client, bob_account, bitcoin, price):
    page = asked(bob_client, bob_account, preview_price=price)
    assert list(page.context["adminform"].form.errors) == ["preview_price"]


@pytest.mark.parametrize("box", ["preview_maker_fee", "preview_leverage"])
def test_a_figure_of_a_million_digits_stands_at_its_box(bob_client, bob_account, bitcoin, box):
    page = asked(
        bob_client, bob_account, **{box: f"1.{'0' * 999}1" if "lev" in box else "1e-999999"}
    )
    assert list(page.context["adminform"].form.errors) == [box]
    assert len(page.content) < 100_000


def test_a_default_is_the_cores(bob_client, bob_account, bitcoin):
    page = asked(bob_client, bob_account)
    assert len(page.context["preview"]["found"].levels) == GridConfig().grid_count + 1
