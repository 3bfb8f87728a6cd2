"""The page of a backtest's run: its figures and pictures, for its tenant alone."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.urls import reverse

from strategies.backtest.runs.tests.conftest import CONFIG, WINDOW, store_market, vouch
from strategies.models import Run
from strategies.tests.factories import RunFactory, StrategyFactory


@pytest.fixture
def stored(db, bob_account):
    """A backtest of bob's."""
    return store(bob_account)


def store(account):
    """A backtest of a small market, stored."""
    store_market(count=300)
    vouch()
    StrategyFactory.create(account=account, name="grid", config=CONFIG)
    call_command("backtest", "--strategy", "grid", *WINDOW, "--json")
    return Run.objects.get()


def page_of(run):
    return reverse("admin:strategies_run_change", args=[run.pk])


def pictures_of(run):
    return reverse("admin:strategies_run_pictures", args=[run.pk])


def test_the_page_has_figures_assumptions_and_fills(stored, bob_client):
    html = bob_client.get(page_of(stored)).content.decode()
    for words in ("What it came to", "Assumptions", "Simulated fills", "Final equity",
                  "The trades of the window are complete."):  # fmt: skip
        assert words in html
    assert f'data-url="{pictures_of(stored)}"' in html
    assert "Executions" not in html


def test_a_run_that_is_no_backtest_has_none_of_it(bob_account, bob_client):
    run = RunFactory.create(account=bob_account)
    html = bob_client.get(page_of(run)).content.decode()
    assert "Executions" in html
    for words in ("What it came to", "plotly", "backtest-pictures"):
        assert words not in html
    assert bob_client.get(pictures_of(run)).status_code == 404


def test_the_pictures_are_drawn_from_the_rows(stored, bob_client):
    found = bob_client.get(pictures_of(stored)).json()["pictures"]
    assert [each["name"] for each in found] == ["equity", "price", "position", "costs"]
    markers = [
        len(trace["x"]) for trace in found[1]["figure"]["data"] if trace["name"] in ("Buy", "Sell")
    ]
    assert sum(markers) == stored.simulated_fills.count() > 10
    [equity] = [trace for trace in found[0]["figure"]["data"] if trace["name"] == "equity"]
    assert equity["y"][-1] == float(stored.backtest.final_equity)


@pytest.mark.parametrize("address", [page_of, pictures_of])
def test_a_strangers_run_is_not_found(stored, client, charlie, address):
    from accounts.tests.cast import grant_tenant_permissions

    grant_tenant_permissions(charlie)
    client.force_login(charlie)
    # Django's admin leads from a row that is not there to its front page.
    assert client.get(address(stored)).status_code in {302, 404}
    assert b"equity" not in client.get(address(stored)).content


def test_without_the_right_to_see_runs_there_are_no_pictures(stored, bob, bob_client):
    bob.user_permissions.clear()
    assert bob_client.get(pictures_of(stored)).status_code == 403


def test_lists_of_fills_are_for_their_tenant(stored, bob_client, client, charlie):
    from accounts.tests.cast import grant_tenant_permissions

    address = reverse("admin:strategies_simulatedfill_changelist") + f"?run={stored.pk}"
    assert b"strict_cross" in bob_client.get(address).content
    grant_tenant_permissions(charlie)
    client.force_login(charlie)
    assert b"strict_cross" not in client.get(address).content


def test_the_script_comes_from_the_wheel():
    assert str(finders.find("plotly/plotly.min.js")).endswith("package_data/plotly.min.js")
    assert finders.find("plotly/datasets") is None
    # What collectstatic copies.
    listed = [
        (storage.prefix, path)
        for finder in finders.get_finders()
        for path, storage in finder.list([])
        if getattr(storage, "prefix", None)
    ]
    assert listed == [("plotly", "plotly.min.js")]


@pytest.mark.django_db(transaction=True)
def test_a_browser_draws_them_within_the_policy(tab, bob, bob_account):
    from accounts.tests.factories import PASSWORD

    tab.go(page_of(store(bob_account)))
    tab.fill_in(username="bob", password=PASSWORD)
    tab.submit()
    tab.page.wait_for_selector(".backtest-picture:nth-of-type(4) .main-svg")
    assert tab.page.locator(".backtest-picture").count() == 4
    assert tab.complaints == []
