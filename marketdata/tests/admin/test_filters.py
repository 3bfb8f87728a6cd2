"""Filters: spans of time in UTC, links to an order and a run, and no other question."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib import admin

from accounts.tenant_admin import TenantAdmin
from marketdata.tests import factories
from marketdata.tests.factories import OrderFactory, PrivateExecutionFactory, PublicTradeFactory
from strategies.tests.factories import RunFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/marketdata/publictrade/"
ORDERS = "/admin/marketdata/order/"
EXECUTIONS = "/admin/marketdata/privateexecution/"


def listed(client, path, **query):
    return list(client.get(path, query).context["cl"].result_list)


@pytest.fixture
def trades():
    """At the two ends of a UTC day and just outside of it, the oldest first."""
    times = ["01T23:59:59.999999", "02T00:00:00", "02T23:59:59.999999", "03T00:00:00"]
    return [
        PublicTradeFactory.create(
            exchange_ts=datetime.fromisoformat(f"2026-01-{time}").replace(tzinfo=UTC)
        )
        for time in times
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 2, 1, 0]),
        ({"day": ""}, [3, 2, 1, 0]),
        ({"day": "2026-01-02"}, [2, 1]),
        ({"from": "2026-01-02T00:00"}, [3, 2, 1]),
        ({"until": "2026-01-03T00:00:00"}, [2, 1, 0]),
        ({"from": "2026-01-02T00:00:00", "until": "2026-01-03T00:00:00"}, [2, 1]),
        ({"from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00.000001Z"}, [1]),
        ({"from": "2026-01-02T01:00:00+01:00", "until": "2026-01-02T02:00:00+01:00"}, [1]),
        ({"day": "9999-12-31"}, []),
    ],
)
def test_a_span_has_its_start_and_not_its_end(olivia_client, trades, query, expected):
    assert listed(olivia_client, LIST, **query) == [trades[n] for n in expected]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"day": "soon"}, "Enter a valid date."),
        ({"from": "soon"}, "Enter a valid date/time."),
        ({"day": "2026-01-02", "from": "2026-01-02T00:00"}, "Either a day or a span, not both."),
        ({"from": "2026-01-02T00:00", "until": "2026-01-02T00:00"}, "ends before it starts."),
        ({"from": "0001-01-01T00:00+14:00"}, "The span leaves the calendar."),
    ],
)
def test_a_span_that_is_none_has_no_rows_and_says_why(olivia_client, trades, query, said):
    page = olivia_client.get(LIST, query)
    assert list(page.context["cl"].result_list) == []
    assert said in page.text


def test_filters_are_kept_by_the_boxes_of_time(olivia_client, trades):
    page = olivia_client.get(LIST, {"symbol": "BTCUSDT", "q": "btcusdt", "day": "2026-01-02"})
    # The search box is the third form, and has a box for its own words.
    for name, value, forms in (("symbol", "BTCUSDT", 3), ("q", "btcusdt", 2)):
        assert page.text.count(f'type="hidden" name="{name}" value="{value}"') == forms
    assert 'href="?day=2026-01-03&amp;q=btcusdt&amp;symbol=BTCUSDT"' in page.text


@pytest.mark.parametrize("make", [factories.CaptureGapFactory, factories.CoverageIntervalFactory])
def test_spans_are_filtered_by_their_start(olivia_client, make):
    row = make.create()
    path = f"/admin/marketdata/{make._meta.model._meta.model_name}/"
    assert listed(olivia_client, path, day="2026-01-02") == [row]
    assert listed(olivia_client, path, day="2026-01-03") == []


# --- Links --------------------------------------------------------------------------------


def href(client, path, row):
    return f'href="{path}{row.pk}/change/"' in client.get(path_of(row)).text


def path_of(row):
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


@pytest.fixture
def story(bob_account):
    """An order of two states and two executions, and one of another order."""
    run = RunFactory.create(account=bob_account)
    same = {"account": bob_account, "run": run, "order_id": "the-order"}
    states = [OrderFactory.create(**same, status=status) for status in ("New", "Filled")]
    fills = PrivateExecutionFactory.create_batch(2, **same)
    other = PrivateExecutionFactory.create(account=bob_account, run=run, order_id="another")
    return run, states, fills, other


def test_an_order_and_its_executions_lead_to_each_other_and_to_the_run(bob_client, story):
    run, states, fills, other = story
    for page in (*states, *fills):
        text = bob_client.get(path_of(page)).text
        assert all(f'href="{path_of(row)}"' in text for row in (run, *states, *fills))
        assert path_of(other) not in text
        assert f"{EXECUTIONS}?account={run.account_id}&amp;order_id=the-order" in text


def test_the_links_to_lists_show_these_rows_and_no_others(bob_client, story):
    run, states, fills, other = story
    same = {"account": str(run.account_id), "order_id": "the-order"}
    assert listed(bob_client, ORDERS, **same) == states[::-1]
    assert listed(bob_client, EXECUTIONS, **same) == fills[::-1]
    assert listed(bob_client, EXECUTIONS, run=str(run.pk)) == [other, *fills[::-1]]


def test_a_run_shows_its_executions_and_orders(bob_client, story):
    run, states, fills, other = story
    text = bob_client.get(path_of(run)).text
    assert all(path_of(row) in text for row in (*states, *fills, other))


def test_an_order_id_is_that_of_its_account_alone(bob_client, olivia_client, story, alice_account):
    _, states, _, _ = story
    hers = PrivateExecutionFactory.create(account=alice_account, order_id="the-order")
    for client in (bob_client, olivia_client):
        assert path_of(hers) not in client.get(path_of(states[0])).text
    assert hers not in listed(bob_client, EXECUTIONS, order_id="the-order")
    assert listed(bob_client, EXECUTIONS, run=str(hers.run_id)) == []


def test_a_foreign_row_is_not_shown_even_where_it_names_ones_run(bob_client, story, alice_account):
    run, *_ = story
    hers = PrivateExecutionFactory.create(account=alice_account, run=run)
    assert path_of(hers) not in bob_client.get(path_of(run)).text
    assert hers not in listed(bob_client, EXECUTIONS, run=str(run.pk))


def test_who_may_not_look_at_executions_sees_none_on_an_order(client, bob, story):
    _, states, fills, _ = story
    bob.user_permissions.remove(bob.user_permissions.get(codename="view_privateexecution"))
    client.force_login(bob)
    text = client.get(path_of(states[0])).text
    assert path_of(states[1]) in text
    assert "privateexecution" not in text
    assert path_of(fills[0]) not in text


@pytest.mark.parametrize("value", ["nonsense", "é" * 300])
def test_a_link_to_nothing_has_no_rows(olivia_client, value):
    PrivateExecutionFactory.create()
    for name in ("run", "order_id"):
        assert listed(olivia_client, EXECUTIONS, **{name: value}) == []


# --- Other questions ----------------------------------------------------------------------

GUARDED = [page for page in admin.site._registry.values() if isinstance(page, TenantAdmin)]


@pytest.mark.parametrize("page", GUARDED, ids=lambda page: page.model.__name__)
def test_nothing_is_asked_but_what_the_filters_offer(olivia_client, page):
    options = page.model._meta
    path = f"/admin/{options.app_label}/{options.model_name}/"
    names = ["user__username", "account__user__username", "account__user__password__startswith"]
    names += [f"{field.name}__startswith" for field in options.concrete_fields]
    names += [f"{field.name}__gt" for field in options.concrete_fields]
    for name in ["pk", "id__in", "run__account__user__email", *names]:
        assert olivia_client.get(path, {name: "a"}).status_code == 400, name


@pytest.mark.parametrize("page", GUARDED, ids=lambda page: page.model.__name__)
def test_rows_are_referred_to_by_their_key_alone(olivia_client, page):
    options = page.model._meta
    path = f"/admin/{options.app_label}/{options.model_name}/"
    for name in ("user__password", "account", "raw_json", "sealed_secret"):
        assert olivia_client.get(path, {"_to_field": name}).status_code == 400, name


def test_no_order_is_taken_from_the_query_string(olivia_client):
    late, early = (
        PublicTradeFactory.create(exchange_ts=datetime(2026, 1, day, tzinfo=UTC), price=day)
        for day in (3, 2)
    )
    for order in ("1", "-1", "4", "-4.1"):
        assert listed(olivia_client, LIST, o=order) == [late, early]
