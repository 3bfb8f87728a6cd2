"""The dashboard: what it says, to whom, and how little it asks the database."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import BybitAccount, User
from accounts.tests.factories import BybitAccountFactory, UserFactory
from gridbot_site.tests.signing_in import device_of
from marketdata.models import Stream
from marketdata.tests.factories import (
    CaptureGapFactory,
    CaptureLeaseFactory,
    CoverageIntervalFactory,
    EnvironmentStampFactory,
    InstrumentFactory,
    OrderFactory,
    PositionSnapshotFactory,
    PrivateExecutionFactory,
    PublicTradeFactory,
    QuarantinedMessageFactory,
    TickerSnapshotFactory,
    WalletSnapshotFactory,
)

pytestmark = pytest.mark.django_db

# Five of them are for the session, its user, their second factor and their rights.
MOST_QUERIES = 17
FIRST = "/admin/"
LIVE = "/admin/dashboard/live/"


def ago(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


def page_of(account, live=False):
    name = f"admin:accounts_bybitaccount_dashboard{'_live' if live else ''}"
    return reverse(name, args=[getattr(account, "pk", account)])


def shown(client, url=FIRST, **query):
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


def part(html, name):
    """A part of the page as words."""
    [found] = re.findall(rf'<section id="board-{name}".*?</section>', html, re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", found).split())


def vouched(**values):
    values = {"started_at": ago(7200), "ended_at": ago(8)} | values
    return CoverageIntervalFactory.create(**values)


def running_capture():
    return CaptureLeaseFactory.create(acquired_at=ago(7200), expires_at=ago(-10))


def busy(account):
    """A little of everything of an account."""
    of = {"account": account, "exchange_ts": ago(600)}
    WalletSnapshotFactory.create(**of, total_equity=Decimal("1234.5"))
    PositionSnapshotFactory.create(**of, mark_price=Decimal("41500"))
    OrderFactory.create(**of, price=Decimal("50100"))
    PrivateExecutionFactory.create(**of)
    vouched(stream=Stream.EXECUTIONS, symbol="", account=account)
    QuarantinedMessageFactory.create(account=account, first_seen=ago(60), last_seen=ago(60))


# --- What it says -------------------------------------------------------------------------


def test_all_is_well_when_every_feed_comes_in_and_no_gap_is_open(olivia_client):
    running_capture()
    vouched()
    html = shown(olivia_client)
    assert "All is well 1 feed comes in, and no gap is open. Capture runs: host" in part(
        html, "state"
    )
    assert "BTCUSDT trades Covered live 1 h 59 min, nothing since" in part(html, "market")
    assert "100 %" in part(html, "market")


def test_a_gap_that_lasts_needs_a_look_and_its_row_is_a_click_away(olivia_client):
    running_capture()
    vouched(ended_at=ago(90))
    gap = CaptureGapFactory.create(started_at=ago(90), ended_at=None, reason="silent for 45 s")
    html = shown(olivia_client)
    assert "1 of 1 feeds is not coming in. 1 gap is not filled yet." in part(html, "state")
    assert "open gap since" in part(html, "market")
    assert "trades 1 min 30 s, lasts open silent for 45 s" in part(html, "gaps")
    assert reverse("admin:marketdata_capturegap_change", args=[gap.pk]) in html


def test_a_gap_is_as_old_as_it_is_however_little_of_it_is_shown(olivia_client):
    began = ago(4000)
    vouched(ended_at=began)
    CaptureGapFactory.create(started_at=began, ended_at=None)
    said = part(shown(olivia_client, last="5m"), "market")
    assert f"open gap since {began:%Y-%m-%d %H:%M:%S}, 1 h 6 min" in said


def test_a_feed_that_went_silent_says_since_when(olivia_client):
    running_capture()
    vouched(ended_at=ago(600))
    assert f"nothing since {ago(600):%Y-%m-%d %H:%M}" in part(shown(olivia_client), "market")


def test_a_capture_that_does_not_run_is_the_first_thing_said(olivia_client):
    vouched()
    CaptureLeaseFactory.create(expires_at=ago(300))
    state = part(shown(olivia_client), "state")
    assert f"Needs a look Capture has not run since {ago(300):%Y-%m-%d %H:%M}" in state
    assert "python manage.py capture" in state


def test_rates_and_lag_are_of_the_last_minute(olivia_client):
    vouched()
    for seconds in (5, 10):
        at = ago(seconds)
        PublicTradeFactory.create(exchange_ts=at, local_ts=at + timedelta(milliseconds=40))
    assert "100 % 2 40 ms 0" in part(shown(olivia_client), "market")


def test_accounts_show_equity_and_positions_and_what_is_near(olivia_client, alice_account):
    busy(alice_account)
    for seconds, total in ((30_000, 1250), (60, 1200)):
        WalletSnapshotFactory.create(
            account=alice_account, exchange_ts=ago(seconds), total_equity=Decimal(total)
        )
    html = shown(olivia_client)
    accounts = part(html, "accounts")
    assert "alice/account of alice" in accounts
    assert "1,200.00 USD -50.00 USD in the last 6 hours" in accounts
    assert "BTCUSDT long 0.01 50000 41500 40000 3.6 % 3.6 % ▲ near -1.25" in accounts
    assert "1 position is near liquidation." in part(html, "state")


def test_an_account_that_was_set_aside_says_why(olivia_client, alice_account):
    vouched()
    type(alice_account).objects.update(status="error", status_reason="The key has expired.")
    said = part(shown(olivia_client), "state")
    assert "Account alice/account of alice is set aside: The key has expired." in said


@pytest.mark.parametrize(
    ("model", "off"),
    [
        (BybitAccount, {"status": "disabled"}),
        (User, {"status": "suspended"}),
        (User, {"is_active": False}),
    ],
)
def test_nothing_is_expected_of_what_is_switched_off(olivia_client, alice_account, model, off):
    running_capture()
    vouched()
    of = {"stream": Stream.ORDERS, "symbol": "", "account": alice_account}
    vouched(**of, ended_at=ago(600))
    CaptureGapFactory.create(**of, started_at=ago(600), ended_at=None)
    assert "1 of 2 feeds is not coming in. 1 gap is" in part(shown(olivia_client), "state")
    model.objects.filter(pk__in=[alice_account.pk, alice_account.user_id]).update(**off)
    html = shown(olivia_client)
    assert "All is well 1 feed comes in" in part(html, "state")
    assert "open gap since" not in part(html, "accounts")


def test_nothing_is_expected_of_a_symbol_that_capture_has_begun_without(olivia_client):
    lease = CaptureLeaseFactory.create(acquired_at=ago(7200), expires_at=ago(-10))
    vouched()
    vouched(symbol="GONEUSDT", started_at=ago(9000), ended_at=ago(8000))
    assert "All is well 1 feed comes in" in part(shown(olivia_client), "state")
    gap = CaptureGapFactory.create(symbol="GONEUSDT", started_at=ago(8500), ended_at=ago(8400))
    type(gap).objects.update(created_at=ago(8400), updated_at=ago(8400))
    state = part(shown(olivia_client), "state")
    assert ("not coming in" in state, "1 gap is not filled yet." in state) == (False, True)
    type(lease).objects.update(acquired_at=ago(8100))
    assert "1 of 2 feeds is not coming in." in part(shown(olivia_client), "state")


def test_a_look_back_shows_what_was_and_refreshes_nothing(olivia_client):
    vouched(started_at=ago(90_000), ended_at=ago(80_000))
    html = shown(olivia_client, last="1h", until=f"{ago(80_000):%Y-%m-%dT%H:%M:%S}")
    assert "100 %" in part(html, "market")
    assert "data-live" not in html
    assert 'data-every="5000"' in shown(olivia_client)
    assert 'data-every="30000"' in shown(olivia_client, last="24h")


@pytest.mark.parametrize("query", [{"last": "2y"}, {"until": "soon"}])
def test_what_cannot_be_read_is_said(olivia_client, query):
    assert '<p class="problem">' in shown(olivia_client, **query)


def test_every_strip_has_words_and_nothing_is_inline(olivia_client, alice_account):
    busy(alice_account)
    vouched()
    CaptureGapFactory.create(started_at=ago(60), ended_at=None)
    for url in (FIRST, page_of(alice_account)):
        html = shown(olivia_client, url)
        strips = re.findall(r'<svg class="strip"[^>]*>', html)
        assert strips
        assert all(re.search(r'role="img" aria-label="\w', strip) for strip in strips)
        assert not re.search(r"<[^>]+ style=|<style|<script(?![^>]* src=)| on\w+=", html)


# --- Nothing yet --------------------------------------------------------------------------


def test_an_empty_database_says_what_to_type_next(olivia_client):
    said = part(shown(olivia_client), "state")
    assert "python manage.py capture --symbols BTCUSDT" in said
    assert "Add an account" in said


def test_with_an_account_the_next_thing_is_to_check_its_key(olivia_client, alice_account):
    said = part(shown(olivia_client), "state")
    assert "python manage.py check_account --account 'alice/account of alice'" in said.replace(
        "&#x27;", "'"
    )


def test_a_tenant_is_not_told_what_only_an_operator_can_type(bob_client):
    said = part(shown(bob_client), "state")
    assert "manage.py" not in said
    assert "Add an account" in said


def test_the_page_of_an_account_without_anything_has_nothing_to_draw(olivia_client, bob_account):
    html = shown(olivia_client, page_of(bob_account))
    assert "The exchange has told no balance yet." in part(html, "equity")
    assert "The account has traded nothing yet." in part(html, "trading")


# --- An account ---------------------------------------------------------------------------


def test_the_page_of_an_account_draws_its_orders_and_fills_over_the_price(bob_client, bob_account):
    EnvironmentStampFactory.create(environment=bob_account.environment)
    busy(bob_account)
    for seconds, price in ((1200, 49_900), (300, 50_200)):
        TickerSnapshotFactory.create(exchange_ts=ago(seconds), last_price=Decimal(price))
    html = shown(bob_client, page_of(bob_account))
    trading = part(html, "trading")
    assert "BTCUSDT, last price 1 fills; 1 orders, of which 1 wait." in trading
    assert 'class="chart-line" d="M' in html.partition('id="board-trading"')[2]
    assert "Buy 0.01 at 50000" in trading
    assert html.count('class="mark mark-buy"') == 1
    assert html.count('class="level level-buy"') == 2  # and the legend's
    assert "Equity, USD From 1,234.50 to 1,234.50 USD" in part(html, "equity")


@pytest.mark.parametrize(("environment", "distance"), [("sandbox", "20.0 %"), ("mainnet", "3.6 %")])
def test_positions_take_the_markets_price_where_it_is_their_market(
    olivia_client, environment, distance
):
    account = BybitAccountFactory.create(environment="sandbox")
    busy(account)
    EnvironmentStampFactory.create(environment=environment)
    InstrumentFactory.create()
    TickerSnapshotFactory.create(exchange_ts=ago(5), mark_price=Decimal("50000"))
    assert distance in part(shown(olivia_client, page_of(account)), "positions")


def test_another_exchanges_price_is_not_drawn_behind_an_accounts_fills(olivia_client):
    EnvironmentStampFactory.create(environment="mainnet")
    account = BybitAccountFactory.create(environment="testnet")
    busy(account)
    TickerSnapshotFactory.create(exchange_ts=ago(300), last_price=Decimal(99_000))
    trading = shown(olivia_client, page_of(account)).partition('id="board-trading"')[2]
    assert 'class="chart-line" d=""' in trading
    assert 'class="mark mark-buy"' in trading


def test_a_symbol_that_was_not_traded_is_none_of_the_pages(bob_client, bob_account):
    busy(bob_account)
    html = shown(bob_client, page_of(bob_account), symbol="<b>")
    assert "BTCUSDT, last price" in html
    assert "<b>" not in html


# --- Whose --------------------------------------------------------------------------------


def test_a_tenant_sees_the_market_and_ones_own_accounts_alone(
    bob_client, olivia_client, bob_account, charlie_account
):
    vouched()
    for account in (bob_account, charlie_account):
        busy(account)
    CaptureGapFactory.create(
        stream=Stream.ORDERS, symbol="", account=charlie_account, started_at=ago(60)
    )
    own, all_of_it = shown(bob_client), shown(olivia_client)
    assert "BTCUSDT" in part(own, "market")
    assert "account of bob" in own
    assert "account of charlie" not in own
    assert "charlie/account of charlie orders" in part(all_of_it, "gaps")
    assert str(charlie_account.pk) not in own
    assert "1 message is in quarantine." in part(own, "state")
    assert "not filled" not in part(own, "state")
    assert "charlie/account of charlie" in all_of_it
    assert "2 messages are in quarantine. " in part(all_of_it, "state") + " "


@pytest.mark.parametrize("live", [False, True])
def test_a_strangers_account_answers_as_one_that_is_not_there(
    bob_client, bob_account, charlie_account, live
):
    assert bob_client.get(page_of(bob_account, live)).status_code == 200
    theirs, nobodys = (
        bob_client.get(page_of(account, live)) for account in (charlie_account, uuid.uuid4())
    )
    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert theirs.content == nobodys.content


def test_staff_who_may_look_at_nothing_see_nothing(alice, alice_account):
    busy(alice_account)
    vouched()
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client()
    client.force_login(alice)
    html = shown(client)
    assert "account of alice" not in part(html, "accounts")
    assert "Nothing has been captured yet" in part(html, "state")
    assert client.get(page_of(alice_account)).status_code == 404


def test_nobody_sees_it_without_signing_in(client, bob_account):
    for url in (FIRST, LIVE, page_of(bob_account), page_of(bob_account, live=True)):
        assert client.get(url).status_code == 302


def test_the_parts_are_the_pages_own(bob_client, bob_account):
    busy(bob_account)
    vouched()
    for url, live in ((FIRST, LIVE), (page_of(bob_account), page_of(bob_account, live=True))):
        page, fragment = shown(bob_client, url), shown(bob_client, live)
        parts = re.findall(r'id="(board-[\w-]+)" data-part', fragment)
        assert len(parts) >= 5
        assert parts == re.findall(r'id="(board-[\w-]+)" data-part', page)
        assert bob_client.post(live).status_code == 405


def test_the_page_of_an_account_is_of_that_account_alone(
    olivia_client, bob_account, charlie_account
):
    for account in (bob_account, charlie_account):
        busy(account)
    CaptureGapFactory.create(
        stream=Stream.ORDERS, symbol="", account=charlie_account, started_at=ago(60)
    )
    html = shown(olivia_client, page_of(bob_account))
    assert "1 fills; 1 orders" in part(html, "trading")
    assert part(html, "positions").count("BTCUSDT") == 1
    assert "orders" not in part(html, "coverage")
    assert "charlie" not in html


# --- How much -----------------------------------------------------------------------------


def fill(accounts, symbols):
    for n in range(accounts):
        busy(BybitAccountFactory.create(user=UserFactory.create(username=f"tenant{n}")))
    for n in range(symbols):
        vouched(symbol=f"COIN{n:03d}USDT")
        CaptureGapFactory.create(symbol=f"COIN{n:03d}USDT", started_at=ago(60), ended_at=ago(50))


def give_code(client, user):
    """Make the session one whose user has given a code, as everybody has in production."""
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device_of(user).persistent_id
    session.save()


@pytest.mark.parametrize("size", [2, 6])
def test_the_first_page_takes_so_many_queries_whatever_it_shows(
    olivia, olivia_client, bob, bob_client, bob_account, django_assert_max_num_queries, size
):
    fill(accounts=size, symbols=size)
    busy(bob_account)
    for client, user in ((olivia_client, olivia), (bob_client, bob)):
        give_code(client, user)
        with django_assert_max_num_queries(MOST_QUERIES):
            shown(client)


def test_where_there_is_no_room_for_all_symbols_those_in_trouble_come_first(
    olivia_client, monkeypatch
):
    monkeypatch.setattr("gridbot_site.dashboard.first_page.MOST_SYMBOLS", 2)
    for name in ("AUSDT", "BUSDT", "CUSDT"):
        vouched(symbol=name)
    CaptureGapFactory.create(symbol="CUSDT", started_at=ago(60), ended_at=None)
    market = part(shown(olivia_client), "market")
    assert market.index("CUSDT") < market.index("AUSDT")
    assert "BUSDT" not in market
    assert "And 1 more" in market
