"""The pages of strategies, runs and grids."""

from __future__ import annotations

import pytest
from django.urls import reverse

from gridcore import GridConfig, RiskConfig
from strategies.config import GRID_KEYS, RISK_KEYS
from strategies.models import Strategy
from strategies.tests.factories import GridStateFactory, RunFactory, StrategyFactory

pytestmark = pytest.mark.django_db
ADD = "/admin/strategies/strategy/add/"


def change(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def form(account, **values):
    return {"account": account.pk, "name": "grid", "symbol": "BTCUSDT", **values}


def errors(response):
    assert response.status_code == 200, "the form was accepted"
    return response.context["adminform"].form.errors


def test_a_strategy_is_added_to_ones_own_account(bob_client, bob_account):
    boxes = {"grid_count": "20", "grid_step": "0.4", "risk_max_margin": "5"}
    response = bob_client.post(ADD, form(bob_account, symbol="btcusdt", **boxes))
    assert response.status_code == 302
    strategy = Strategy.objects.for_user(bob_account.user).get()
    assert strategy.config == {"grid_count": 20, "grid_step": 0.4, "risk": {"max_margin": 5.0}}
    assert strategy.symbol == "BTCUSDT"


def test_a_strategy_is_not_added_to_the_account_of_another(bob_client, bob_account, alice_account):
    page = bob_client.get(ADD).content.decode()
    assert str(bob_account.pk) in page
    assert str(alice_account.pk) not in page
    found = errors(bob_client.post(ADD, form(alice_account)))
    assert found["account"] == [
        "Select a valid choice. That choice is not one of the available choices."
    ]
    assert not Strategy.objects.unscoped().exists()


def test_the_form_starts_with_the_defaults_and_names_them(bob_client, bob_account):
    boxes = bob_client.get(ADD).context["adminform"].form
    expected = GridConfig().__dict__ | {
        f"risk_{key}": "no" if value is False else value
        for key, value in RiskConfig(0.8, 1.2, 8.0, 0.15).__dict__.items()
    }
    assert {name: boxes[name].value() for name in expected} == expected
    assert boxes["grid_step"].help_text.endswith("Blank: 0.2.")
    assert boxes["risk_increase_same_position_on_low_margin"].help_text.endswith("Blank: no.")
    assert boxes["amount"].value() is None


def test_every_key_of_the_configuration_has_its_box(bob_client, bob_account):
    boxes = set(bob_client.get(ADD).context["adminform"].form.fields)
    assert {*GRID_KEYS, "amount", *(f"risk_{key}" for key in RISK_KEYS)} <= boxes


@pytest.mark.parametrize(
    ("box", "value", "message"),
    [
        ("grid_count", "0", "Must be positive, not 0."),
        ("grid_count", "251", "Must be at most 250, not 251: two ladders of more"),
        ("grid_count", "1.5", "Enter a whole number."),
        ("grid_step", "nan", "Enter a number."),
        ("grid_step", "-1", "Must be positive, not -1.0."),
        ("grid_step", "100", "Must be below 100 percent, not 100.0."),
        ("rebalance_threshold", "1", "Must be between 0 and 1, not 1.0."),
        ("amount", "x", "Amount: invalid amount string 'x'"),
        ("risk_min_liq_ratio", "-1", "Must not be negative, not -1.0."),
        ("risk_max_liq_ratio", "0", "Must be positive, not 0.0."),
        ("risk_min_total_margin", "much", "Enter a number."),
    ],
)
def test_an_error_of_the_config_stands_at_its_box(bob_client, bob_account, box, value, message):
    found = errors(bob_client.post(ADD, form(bob_account, **{box: value})))
    assert list(found) == [box]
    assert found[box][0].startswith(message)


def test_every_wrong_box_is_said_at_once(bob_client, bob_account):
    wrong = {"grid_count": "0", "grid_step": "0", "amount": "0", "risk_max_liq_ratio": "0"}
    assert set(errors(bob_client.post(ADD, form(bob_account, **wrong)))) == set(wrong)


def test_blank_boxes_mean_the_defaults(bob_client, bob_account):
    assert bob_client.post(ADD, form(bob_account)).status_code == 302
    assert Strategy.objects.for_user(bob_account.user).get().config == {}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"grid_count": 7},
        {"grid_step": 0.25, "amount": "x0.01", "risk": {"max_margin": 3.5}},
        {"risk": {"increase_same_position_on_low_margin": False}},
        {"risk": {"increase_same_position_on_low_margin": True, "min_liq_ratio": 0.0}},
    ],
)
def test_a_configuration_goes_through_the_form_unchanged(bob_client, bob_account, config):
    strategy = StrategyFactory.create(account=bob_account, config=config)
    boxes = bob_client.get(change(strategy)).context["adminform"].form
    shown = {name: boxes[name].value() for name in boxes.fields}
    sent = {
        name: value for name, value in shown.items() if value is not None and value is not False
    }
    assert bob_client.post(change(strategy), sent).status_code == 302
    strategy.refresh_from_db()
    assert strategy.config == config


@pytest.mark.parametrize("values", [{"name": "taken"}, {"is_enabled": "on"}])
def test_what_the_database_would_refuse_is_an_error_of_the_form(bob_client, bob_account, values):
    StrategyFactory.create(account=bob_account, name="taken", is_enabled=True)
    assert "__all__" in errors(bob_client.post(ADD, form(bob_account, **values)))
    other = StrategyFactory.create(account=bob_account, name="other")
    found = errors(bob_client.post(change(other), form(bob_account, **values)))
    assert "already" in str(found) or "disable it first" in str(found)


def test_a_strategy_stays_in_its_account(olivia_client, bob_account, alice_account):
    strategy = StrategyFactory.create(account=bob_account)
    data = form(alice_account, name="renamed")
    assert olivia_client.post(change(strategy), data).status_code == 302
    strategy.refresh_from_db()
    assert (strategy.name, strategy.account) == ("renamed", bob_account)


@pytest.mark.parametrize("make", [RunFactory, GridStateFactory])
def test_runs_and_grids_are_looked_at_only(olivia_client, bob_account, make):
    row = make.create(account=bob_account)
    page = olivia_client.get(change(row))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert olivia_client.post(change(row), {}).status_code == 403
    for name in ("delete", "add"):
        arguments = [row.pk] if name == "delete" else []
        url = reverse(f"admin:strategies_{row._meta.model_name}_{name}", args=arguments)
        assert olivia_client.get(url).status_code == 403


def test_a_run_shows_its_configuration(olivia_client, bob_account):
    run = RunFactory.create(account=bob_account, config={"grid_count": 7})
    assert "&quot;grid_count&quot;: 7" in olivia_client.get(change(run)).content.decode()
