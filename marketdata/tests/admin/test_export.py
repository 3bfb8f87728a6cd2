"""Lists as CSV: one's own rows, safe in a spreadsheet, a batch in memory at a time."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from importlib import import_module

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from marketdata.admin import export
from marketdata.admin.facts import FactAdmin
from marketdata.tests import factories
from marketdata.tests.factories import OrderFactory, PublicTradeFactory

pytestmark = pytest.mark.django_db
TRADES = "/admin/marketdata/publictrade/export/"
ORDERS = "/admin/marketdata/order/export/"
FACTS = [page.model for page in admin.site._registry.values() if isinstance(page, FactAdmin)]
PRIVATE = [model for model in FACTS if model.__name__ not in ("PublicTrade", "TickerSnapshot")]
each = pytest.mark.parametrize("model", FACTS, ids=lambda model: model.__name__)


def url(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_export")


def factory(model):
    factories = import_module(f"{model._meta.app_label}.tests.factories")
    return getattr(factories, f"{model.__name__}Factory")


def exported(client, path, **query):
    response = client.get(path, query)
    assert response.status_code == 200
    assert response.streaming
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@each
def test_every_list_is_exported(olivia_client, model):
    rows = factory(model).create_batch(2)
    found = exported(olivia_client, url(model))
    assert len(found) == len(rows)
    assert not {"user", "raw_json", "raw_text", "id", "token"} & found[0].keys()


@pytest.mark.parametrize("model", PRIVATE, ids=lambda model: model.__name__)
def test_a_tenant_exports_own_rows_only(bob_client, model, alice_account, bob_account):
    factory(model).create(account=alice_account)
    factory(model).create(account=bob_account)
    found = exported(bob_client, url(model))
    assert [row["account"] for row in found] == [str(bob_account)]
    assert exported(bob_client, url(model), account=str(alice_account.pk)) == []


def test_what_the_page_redacts_does_not_leave_by_the_export(bob_client, bob_account):
    factories.QuarantinedMessageFactory.create(
        account=bob_account, raw_text='{"apiKey": "canary-key", "sign": "canary-sign"}'
    )
    answer = bob_client.get(url(factories.QuarantinedMessageFactory._meta.model))
    assert b"canary" not in b"".join(answer.streaming_content)


@each
def test_who_may_not_look_does_not_export(client, bob, model):
    bob.user_permissions.clear()
    client.force_login(bob)
    assert client.get(url(model)).status_code == 403


def test_nobody_exports_without_being_signed_in(client):
    assert client.get(TRADES).url.startswith("/admin/login/")


def test_an_export_is_asked_for_and_not_sent_to(olivia_client):
    assert olivia_client.post(TRADES).status_code == 405


def test_the_filter_and_the_search_of_the_list_are_those_of_the_export(olivia_client):
    wanted = PublicTradeFactory.create(symbol="ETHUSDT")
    PublicTradeFactory.create()
    for query in ({"symbol": "ETHUSDT"}, {"q": "ethusdt"}, {"q": wanted.trade_id}):
        found = exported(olivia_client, TRADES, **query)
        assert [row["trade_id"] for row in found] == [wanted.trade_id], query
    assert exported(olivia_client, TRADES, day="2020-01-01") == []
    assert olivia_client.get(TRADES, {"price__gt": "1"}).status_code == 400


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"]
)
def test_a_text_is_never_a_formula(olivia_client, text):
    OrderFactory.create(order_link_id=text, reject_reason=text)
    [row] = exported(olivia_client, ORDERS)
    assert row["order_link_id"] == row["reject_reason"] == f"'{text}"


def test_a_name_that_a_tenant_gave_is_a_text_too(olivia_client, bob_account):
    bob_account.account_name = "=HYPERLINK()"
    bob_account.save()
    OrderFactory.create(account=bob_account)
    [row] = exported(olivia_client, ORDERS)
    assert row["account"].startswith("'=HYPERLINK()")


def test_numbers_stay_numbers_and_times_say_their_zone(olivia_client):
    order = OrderFactory.create(closed_pnl=Decimal("-1.50"), price=Decimal("0.0000001"))
    [row] = exported(olivia_client, ORDERS)
    assert (row["closed_pnl"], row["price"]) == ("-1.5", "0.0000001")
    assert row["exchange_ts"] == f"{order.exchange_ts:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert (row["avg_price"], row["reduce_only"]) == ("", "False")
    assert row["run"] == str(order.run_id)


def test_a_negative_whole_number_stays_one(olivia_client):
    PublicTradeFactory.create(sequence=-5)
    assert exported(olivia_client, TRADES)[0]["sequence"] == "-5"


def test_a_number_from_nowhere_is_still_no_formula():
    class Column:
        name = attname = "text"

    class Row:
        text = "-1"

    assert export.cell(Row(), Column()) == "'-1"


def test_what_has_commas_and_line_breaks_stays_one_cell(olivia_client):
    text = 'a,"b"\r\nc'
    OrderFactory.create(order_link_id=text)
    [row] = exported(olivia_client, ORDERS)
    assert row["order_link_id"] == text


def test_rows_leave_before_the_rest_is_read(olivia_client, monkeypatch):
    monkeypatch.setattr(export, "BATCH", 2)
    PublicTradeFactory.create_batch(5)
    response = olivia_client.get(TRADES)
    lines = iter(response.streaming_content)

    def reads():
        with CaptureQueriesContext(connection) as captured:
            count = next(lines, b"").count(b"\r\n")
        return count, len(captured)

    assert [reads() for _ in range(5)] == [(1, 0), (2, 1), (2, 1), (1, 1), (0, 1)]


def test_the_oldest_comes_first_and_the_page_at_hand_does_not_matter(olivia_client):
    trades = PublicTradeFactory.create_batch(3)
    found = exported(olivia_client, TRADES, older="0-0")
    assert [row["trade_id"] for row in found] == [trade.trade_id for trade in trades]


def test_the_file_is_named_after_the_kind_and_the_span(olivia_client):
    PublicTradeFactory.create(exchange_ts=factories.START)
    PublicTradeFactory.create(exchange_ts=factories.START.replace(day=3))
    name = olivia_client.get(TRADES)["Content-Disposition"]
    assert name == 'attachment; filename="public-trades_20260102T030405Z_20260103T030405Z.csv"'
    name = olivia_client.get(TRADES, {"symbol": "NONE"})["Content-Disposition"]
    assert name == 'attachment; filename="public-trades_none.csv"'


def test_the_list_leads_to_its_export(olivia_client):
    page = olivia_client.get("/admin/marketdata/publictrade/?symbol=BTCUSDT&older=9-9")
    assert 'href="export/?symbol=BTCUSDT"' in page.text
