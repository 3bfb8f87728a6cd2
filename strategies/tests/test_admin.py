"""The pages of strategies, runs and grids."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from gridcore import GridConfig, RiskConfig
from strategies.models import Strategy
from strategies.tests.factories import GridStateFactory, RunFactory, StrategyFactory

pytestmark = pytest.mark.django_db
ADD = "/admin/strategies/strategy/add/"


def change(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def form(account, **values):
    return {"account": account.pk, "name": "grid", "symbol": "BTCUSDT", "config": "{}", **values}


def errors(response):
    assert response.status_code == 200, "the form was accepted"
    return response.context["adminform"].form.errors


def test_a_strategy_is_added_to_ones_own_account(bob_client, bob_account):
    config = '{"grid_count": 20, "grid_step": 0.4}'
    response = bob_client.post(ADD, form(bob_account, config=config, symbol="btcusdt"))
    assert response.status_code == 302
    strategy = Strategy.objects.for_user(bob_account.user).get()
    assert strategy.config == {"grid_count": 20, "grid_step": 0.4}
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
    page = bob_client.get(ADD)
    config = page.context["adminform"].form["config"]
    risk = RiskConfig(0.8, 1.2, 8.0, 0.15).__dict__
    assert json.loads(config.value()) == {**GridConfig().__dict__, "risk": risk}
    assert "grid_count 50, grid_step 0.2, rebalance_threshold 0.3" in config.help_text
    assert "increase_same_position_on_low_margin false" in config.help_text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"grid_count": 0}', "grid_count must be positive, not 0."),
        ('{"grid_step": NaN}', "grid_step must be positive, not nan."),
        ('{"steps": 1}', "Unknown key 'steps'"),
        ('{"amount": "x"}', "amount: invalid amount string 'x'"),
        ('{"risk": {"max_liq_ratio": 0}}', "risk.max_liq_ratio must be positive, not 0."),
        ("[]", "The configuration is a JSON object"),
        ("{", "Enter a valid JSON."),
        ('{"grid_count": ' + "1" * 5000 + "}", "Enter a valid JSON."),
        ("[" * 100_000, "Enter a valid JSON."),
    ],
)
def test_an_error_of_the_config_stands_at_its_field(bob_client, bob_account, config, message):
    found = errors(bob_client.post(ADD, form(bob_account, config=config)))
    assert list(found) == ["config"]
    assert found["config"][0].startswith(message)


def test_an_empty_config_means_the_defaults(bob_client, bob_account):
    assert bob_client.post(ADD, form(bob_account, config="")).status_code == 302
    assert Strategy.objects.for_user(bob_account.user).get().config == {}


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
