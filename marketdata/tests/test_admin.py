"""The admin: every page there is, as the operator, as a tenant, and as somebody with no rights."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from typing import Any

import pytest
from auditlog.models import LogEntry as AuditEntry
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import UUIDField
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import ApiCredential, BybitAccount, User
from accounts.tenant_admin import TenantAdmin
from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory
from marketdata.admin.filters import SymbolFilter
from marketdata.admin.paging import EstimatingPaginator
from marketdata.models import PublicTrade
from marketdata.tests import factories
from marketdata.tests.factories import PublicTradeFactory
from strategies.models import GridState, Run, Strategy
from strategies.tests.factories import (
    FundingPaymentFactory,
    GridStateFactory,
    RunFactory,
    SimulatedFillFactory,
    StrategyFactory,
)

pytestmark = pytest.mark.django_db

PUBLIC: list[Any] = [
    PublicTradeFactory,
    factories.TickerSnapshotFactory,
    factories.InstrumentFactory,
    factories.EnvironmentStampFactory,
    factories.CaptureLeaseFactory,
]
PRIVATE: list[Any] = [
    factories.PrivateExecutionFactory,
    factories.OrderFactory,
    factories.PositionSnapshotFactory,
    factories.WalletSnapshotFactory,
    SimulatedFillFactory,
    FundingPaymentFactory,
    factories.CoverageIntervalFactory,
    factories.CaptureGapFactory,
    factories.QuarantinedMessageFactory,
]
KEPT: list[Any] = [ApiCredentialFactory, StrategyFactory, RunFactory, GridStateFactory]


def each(makers):
    return pytest.mark.parametrize("make", makers, ids=lambda make: make._meta.model.__name__)


def url(what, page="changelist", key=None):
    options = what._meta if hasattr(what, "pk") else what._meta.model._meta
    arguments = [] if page in ("changelist", "add") else [key or what.pk]
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=arguments)


def owned(make, account):
    """What makes a new row that of the account's user."""
    return {"user": account.user} if make is BybitAccountFactory else {"account": account}


def listed(response):
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_these_are_all_the_pages_of_tenants():
    known = {make._meta.model for make in [*PUBLIC, *PRIVATE, *KEPT]} | {BybitAccount, AuditEntry}
    guarded = {
        model for model, page in admin.site._registry.items() if isinstance(page, TenantAdmin)
    }
    assert guarded == known


# --- The operator -------------------------------------------------------------------------


@each([*PUBLIC, *PRIVATE, *KEPT])
def test_the_operator_sees_the_rows_of_all(olivia_client, make):
    row = make.create()
    assert listed(olivia_client.get(url(row))) == [row]
    for page in ("change", "history"):
        assert olivia_client.get(url(row, page)).status_code == 200


@each([*PUBLIC, *PRIVATE, *KEPT])
def test_the_lists_of_an_empty_database_are_empty(olivia_client, make):
    assert listed(olivia_client.get(url(make))) == []


@each([*PUBLIC, *PRIVATE])
def test_nobody_edits_a_fact(olivia_client, make):
    row = make.create()
    assert b"Save" not in olivia_client.get(url(row, "change")).content
    assert olivia_client.post(url(row, "change"), {}).status_code == 403
    for page in ("add", "delete"):
        assert olivia_client.get(url(row, page)).status_code == 403
        assert olivia_client.post(url(row, page), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    olivia_client.post(url(row), action)
    assert make._meta.model.objects.filter(pk=row.pk).exists()


@each([*PUBLIC, *PRIVATE, *KEPT])
def test_whatever_is_searched_for_is_answered(olivia_client, make):
    make.create()
    for words in ("nonsense", "BTCUSDT 1", "'"):
        assert olivia_client.get(url(make), {"q": words}).status_code in (200, 302)


@each([*PRIVATE, *KEPT])
def test_an_account_that_is_none_has_no_rows(olivia_client, make, alice_account):
    make.create(account=alice_account)
    assert listed(olivia_client.get(url(make), {"account": "nonsense"})) == []


@each([*PRIVATE, *KEPT])
def test_the_rows_of_one_account_are_picked_out(olivia_client, make, alice_account, bob_account):
    hers, _ = (make.create(account=account) for account in (alice_account, bob_account))
    assert listed(olivia_client.get(url(make), {"account": alice_account.pk})) == [hers]


# --- The tenant ---------------------------------------------------------------------------


@each([*PRIVATE, *KEPT])
def test_a_tenant_sees_own_rows_only(bob_client, make, alice_account, bob_account):
    _, his = (make.create(account=account) for account in (alice_account, bob_account))
    response = bob_client.get(url(make))
    assert listed(response) == [his]
    assert "alice" not in response.content.decode()
    assert bob_client.get(url(his, "change")).status_code == 200
    assert listed(bob_client.get(url(make), {"account": alice_account.pk})) == []


def test_a_tenant_sees_own_accounts_only(bob_client, alice_account, bob_account):
    response = bob_client.get(url(bob_account))
    assert listed(response) == [bob_account]
    assert "alice" not in response.content.decode()


def answer(client, path, key):
    """All that an answer tells, with the key that was asked for left out."""
    response = client.get(path)
    said = [str(message) for message in get_messages(response.wsgi_request)]
    client.get("/admin/")  # Shows the message, so that it does not wait for the next answer.
    body = re.sub(r'csrf\w*" value="\w+"', "", response.content.decode())
    told = (response.status_code, response.headers.get("Location"), said, body)
    return str(told).replace(str(key), "KEY")


@each([*PRIVATE, *KEPT, BybitAccountFactory])
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_a_foreign_row_answers_like_a_missing_one(bob_client, make, alice_account, page):
    key, missing = uuid.uuid4(), uuid.uuid4()
    if not isinstance(make._meta.model._meta.pk, UUIDField):
        key, missing = 987_653, 987_654
    hers = make.create(pk=key, **owned(make, alice_account))
    foreign = answer(bob_client, url(hers, page), hers.pk)
    assert foreign == answer(bob_client, url(hers, page, missing), missing)
    assert foreign.startswith(("(302, '/admin/'", "(403, None"))


@each([*KEPT[:2], BybitAccountFactory])
def test_a_foreign_row_is_not_changed_or_deleted(bob_client, make, alice_account):
    hers = make.create(**owned(make, alice_account))
    before = make._meta.model.objects.filter(pk=hers.pk).values().get()
    bob_client.post(url(hers, "change"), {"account_name": "mine", "name": "mine"})
    bob_client.post(url(hers, "delete"), {"post": "yes"})
    action = {"action": "delete_selected", "_selected_action": [str(hers.pk)], "post": "yes"}
    bob_client.post(url(hers), action)
    assert make._meta.model.objects.filter(pk=hers.pk).values().get() == before


@each([*PRIVATE, *KEPT, BybitAccountFactory])
def test_nobody_asks_about_a_user_by_way_of_a_row(bob_client, make, bob_account):
    make.create(**owned(make, bob_account))
    for name in ("user__password__startswith", "account__user__password__startswith"):
        assert bob_client.get(url(make), {name: "md5"}).status_code in (302, 400)


def test_accounts_are_suggested_to_their_user_only(bob_client, alice_account, bob_account):
    asked = {"app_label": "accounts", "model_name": "apicredential", "field_name": "account"}
    response = bob_client.get("/admin/autocomplete/", asked | {"term": ""})
    assert [found["id"] for found in response.json()["results"]] == [str(bob_account.pk)]
    asked = {"app_label": "accounts", "model_name": "bybitaccount", "field_name": "user"}
    assert bob_client.get("/admin/autocomplete/", asked | {"term": ""}).status_code == 403


@each(PUBLIC)
def test_public_facts_are_for_all_who_may_look(bob_client, make):
    row = make.create()
    assert listed(bob_client.get(url(row))) == [row]
    assert bob_client.get(url(row, "change")).status_code == 200


@each(PRIVATE[-3:-1])
def test_spans_of_a_market_are_for_all_who_may_look(bob_client, make):
    row = make.create(account=None)
    assert listed(bob_client.get(url(row))) == [row]
    assert bob_client.get(url(row, "change")).status_code == 200


def test_quarantine_without_an_account_is_the_operators(bob_client, olivia_client):
    row = factories.QuarantinedMessageFactory.create(account=None)
    assert listed(bob_client.get(url(row))) == []
    assert bob_client.get(url(row, "change")).url == "/admin/"
    assert listed(olivia_client.get(url(row))) == [row]


@each([*PUBLIC, *PRIVATE, *KEPT])
def test_staff_without_permission_see_nothing(client, bob, bob_account, make):
    row = make.create() if make in PUBLIC else make.create(account=bob_account)
    bob.user_permissions.clear()
    client.force_login(bob)
    assert {client.get(url(row, page)).status_code for page in ("changelist", "change")} == {403}


def test_no_page_holds_a_secret(bob_client, olivia_client, bob_account):
    secret = "canary-canary-canary-1a2b"
    ApiCredentialFactory.create(account=bob_account, secret=secret)
    rows = [make.create(account=bob_account) for make in [*PRIVATE, *KEPT[1:]]]
    rows += [bob_account, *ApiCredential.objects.all()]
    for client in (bob_client, olivia_client):
        for row in rows:
            for page in ("changelist", "change", "delete", "history"):
                assert b"canary" not in client.get(url(row, page)).content


# --- Deletion -----------------------------------------------------------------------------


def summary(response):
    return dict(response.context["model_count"])


def test_the_confirmation_says_how_many_facts_would_go(olivia_client, alice_account):
    run = RunFactory.create(account=alice_account)
    factories.PrivateExecutionFactory.create_batch(3, account=alice_account, run=run)
    factories.WalletSnapshotFactory.create_batch(2, account=alice_account)
    for row in (alice_account, alice_account.user):
        response = olivia_client.get(url(row, "delete"))
        assert summary(response)["private executions"] == 3
        assert summary(response)["wallet snapshots"] == 2
        assert "Private executions: 3" in response.content.decode()


def test_the_confirmation_costs_the_same_however_many_facts_there_are(olivia_client, alice_account):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            olivia_client.get(url(alice_account, "delete"))
        return len(captured)

    factories.WalletSnapshotFactory.create(account=alice_account)
    few = queries()
    factories.WalletSnapshotFactory.create_batch(20, account=alice_account)
    assert queries() == few


def test_a_user_is_deleted_with_everything(olivia_client, alice, alice_account):
    factories.PrivateExecutionFactory.create(account=alice_account)
    StrategyFactory.create(account=alice_account)
    assert olivia_client.post(url(alice, "delete"), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Strategy.objects.unscoped().exists()


def test_a_tenant_deletes_an_account_with_its_facts(bob_client, bob_account):
    factories.PrivateExecutionFactory.create(account=bob_account)
    assert bob_client.post(url(bob_account, "delete"), {"post": "yes"}).status_code == 302
    assert not BybitAccount.objects.for_account(bob_account).exists()


def test_who_may_not_delete_facts_does_not_delete_their_account(bob, bob_client, bob_account):
    factories.PrivateExecutionFactory.create(account=bob_account)
    bob.user_permissions.remove(*bob.user_permissions.filter(codename="delete_privateexecution"))
    response = bob_client.get(url(bob_account, "delete"))
    assert response.context["perms_lacking"] == {"private execution"}
    assert bob_client.post(url(bob_account, "delete"), {"post": "yes"}).status_code == 403
    assert BybitAccount.objects.for_account(bob_account).exists()


def test_several_rows_are_confirmed_and_deleted_together(bob_client, bob_account):
    rows = StrategyFactory.create_batch(2, account=bob_account)
    action = {"action": "delete_selected", "_selected_action": [row.pk for row in rows]}
    response = bob_client.post(url(StrategyFactory), action)
    assert summary(response) == {"strategies": 2}
    bob_client.post(url(StrategyFactory), action | {"post": "yes"})
    assert not Strategy.objects.for_user(bob_account.user).exists()


# --- Lists on large tables ----------------------------------------------------------------


def statements(client, path, **query):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, query).status_code == 200
    return [entry["sql"] for entry in captured.captured_queries]


def ordering(client, make, **query):
    table = make._meta.model._meta.db_table
    [rows] = [
        sql
        for sql in statements(client, url(make), **query)
        if f'FROM "{table}"' in sql and "ORDER BY" in sql and "COUNT(" not in sql
    ]
    return re.findall(r'"(\w+)" (ASC|DESC)', rows.partition("ORDER BY")[2])


@each([*PUBLIC[:2], *PRIVATE[:4]])
@pytest.mark.parametrize("query", [{}, {"o": "2"}, {"q": "btcusdt"}, {"symbol": "BTCUSDT"}])
def test_facts_are_listed_the_newest_first(olivia_client, make, query):
    make.create()
    if "symbol" in query and make not in PUBLIC:
        query = {}
    assert ordering(olivia_client, make, **query) == [("exchange_ts", "DESC"), ("id", "DESC")]


@each([*PRIVATE, *KEPT])
def test_a_list_costs_the_same_however_long_it_is(olivia_client, make, alice_account):
    make.create(account=alice_account)
    few = len(statements(olivia_client, url(make)))
    active = {"is_active": False} if make is ApiCredentialFactory else {}
    make.create_batch(5, account=alice_account, **active)
    assert len(statements(olivia_client, url(make))) == few


def test_symbols_to_choose_from_are_read_one_index_step_each(olivia_client, monkeypatch):
    monkeypatch.setattr(SymbolFilter, "most", 2)
    trades = [PublicTradeFactory.create(symbol=symbol) for symbol in ("B", "A", "C", "A")]
    page = olivia_client.get(url(PublicTradeFactory), {"symbol": "A"})
    assert 'href="?symbol=A"' in page.text
    assert 'href="?symbol=B"' in page.text
    assert 'href="?symbol=C"' not in page.text
    assert set(page.context["cl"].result_list) == {trades[1], trades[3]}


def test_a_trade_is_found_by_symbol_and_id(olivia_client):
    trades = [PublicTradeFactory.create(trade_id=key) for key in ("first", "second")]
    assert listed(olivia_client.get(url(PublicTradeFactory), {"q": "btcusdt second"})) == trades[1:]
    assert listed(olivia_client.get(url(PublicTradeFactory), {"q": "BTCUSDT seco"})) == []
    assert listed(olivia_client.get(url(PublicTradeFactory), {"q": "BTCUSDT first second"})) == []
    assert listed(olivia_client.get(url(PublicTradeFactory), {"q": "BTCUSDT"})) == trades[::-1]


def test_a_ticker_has_no_id_to_search_for(olivia_client):
    factories.TickerSnapshotFactory.create()
    path = url(factories.TickerSnapshotFactory)
    assert listed(olivia_client.get(path, {"q": "BTCUSDT 1"})) == []


def test_an_id_is_searched_for_in_full(olivia_client):
    rows = factories.PrivateExecutionFactory.create_batch(2, order_link_id="link")
    path = url(factories.PrivateExecutionFactory)
    assert listed(olivia_client.get(path, {"q": rows[0].exec_id})) == rows[:1]
    assert listed(olivia_client.get(path, {"q": "link"})) == rows[::-1]
    assert listed(olivia_client.get(path, {"q": "lin"})) == []


def test_a_short_table_is_counted_exactly(olivia_client):
    PublicTradeFactory.create_batch(3)
    assert EstimatingPaginator(PublicTrade.objects.order_by("id"), 2).count == 3
    assert olivia_client.get(url(PublicTradeFactory)).context["cl"].result_count == 3


def test_beyond_the_bound_postgresql_estimates_and_sqlite_counts(monkeypatch):
    PublicTradeFactory.create_batch(7)
    monkeypatch.setattr(EstimatingPaginator, "exact_up_to", 4)
    with CaptureQueriesContext(connection) as captured:
        count = EstimatingPaginator(PublicTrade.objects.order_by("id"), 2).count
    whole = [sql for sql in captured if "COUNT" in sql["sql"] and "LIMIT" not in sql["sql"]]
    if connection.vendor == "postgresql":
        assert (count >= 5, whole) == (True, [])
    else:
        assert count == 7


# --- What a page shows --------------------------------------------------------------------


def test_figures_times_and_json_are_readable(olivia_client):
    row = factories.PrivateExecutionFactory.create(
        exec_price=Decimal("0.00000012"), exec_qty=Decimal("1000"), raw_json={"execId": "<b>"}
    )
    content = olivia_client.get(url(row, "change")).content.decode()
    assert ">0.00000012<" in content
    assert ">1000<" in content
    assert f"{row.exchange_ts:%Y-%m-%d %H:%M:%S}.678" in content
    assert "&quot;execId&quot;: &quot;&lt;b&gt;&quot;" in content
    assert "Positive: paid." in content


def test_a_row_is_named_without_trailing_zeros(olivia_client):
    row = factories.OrderFactory.create(qty=Decimal("0.020"), price=Decimal("60000"))
    assert "BTCUSDT Buy 0.02 at 60000: New" in olivia_client.get(url(row, "change")).text


def test_what_is_not_known_is_a_dash(olivia_client):
    row = factories.PrivateExecutionFactory.create(exec_pnl=None)
    content = olivia_client.get(url(row, "change")).content.decode()
    assert re.search(r'Exec pnl:</label>\s*<div class="readonly">-</div>', content)


def test_what_the_exchange_sends_is_never_markup(olivia_client, alice_account):
    attack = "<script>alert(1)</script>"
    gap = factories.CaptureGapFactory.create(reason=attack, account=alice_account)
    message = factories.QuarantinedMessageFactory.create(raw_text=attack, reason=attack)
    order = factories.OrderFactory.create(order_link_id=attack, raw_json={"x": attack})
    for row in (gap, message, order):
        for page in ("changelist", "change"):
            assert attack not in olivia_client.get(url(row, page)).content.decode()


@each([factories.OrderFactory, RunFactory, StrategyFactory])
def test_what_nobody_edits_has_no_history_button(olivia_client, make):
    has_button = "historylink" in olivia_client.get(url(make.create(), "change")).text
    assert has_button == (make is StrategyFactory)


def test_a_gap_that_lasts_has_no_end(olivia_client):
    gap = factories.CaptureGapFactory.create(ended_at=None)
    content = olivia_client.get(url(gap, "change")).content.decode()
    assert re.search(r'Ended at:</label>\s*<div class="readonly">-</div>', content)


def test_a_grid_and_a_run_lead_to_their_strategy(bob_client, bob_account):
    strategy = StrategyFactory.create(account=bob_account)
    rows = [make.create(account=bob_account, strategy=strategy) for make in KEPT[2:]]
    assert {type(row) for row in rows} == {Run, GridState}
    for row in rows:
        assert url(strategy, "change") in bob_client.get(url(row, "change")).content.decode()
