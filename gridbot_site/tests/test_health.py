"""What probes and Prometheus are told by the site, and who is told what."""

from __future__ import annotations

import secrets
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core.cache import cache
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.tests.factories import BybitAccountFactory, UserFactory
from marketdata.coverage.gap_rows import BEYOND_REACH
from marketdata.health import metrics, stored
from marketdata.models import CaptureGap, CaptureLease, CoverageInterval, QuarantinedMessage
from marketdata.tests.factories import PublicTradeFactory

TOKEN = secrets.token_urlsafe(32)
NOW = timezone.now


@pytest.fixture(autouse=True)
def _fresh(settings):
    settings.SECURE_SSL_REDIRECT = False
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def bearer(settings):
    settings.GRIDBOT_METRICS_TOKEN = TOKEN
    return {"headers": {"Authorization": f"Bearer {TOKEN}"}}


def gap(**changes):
    an_hour_ago = NOW() - timedelta(hours=1)
    values = {"stream": "trades", "symbol": "BTCUSDT", "started_at": an_hour_ago, "reason": "lost"}
    return CaptureGap.objects.create(**values | changes)


def vouched(start_minutes, end_minutes, stream="trades", symbol="BTCUSDT", **changes):
    """An interval that began and ended so many minutes ago."""
    now = NOW()
    return CoverageInterval.objects.create(
        stream=stream, symbol=symbol, source="live",
        started_at=now - timedelta(minutes=start_minutes),
        ended_at=now - timedelta(minutes=end_minutes), **changes,
    )  # fmt: skip


def checks(client, **options):
    answer = client.get("/readyz", **options)
    assert (answer.status_code == 200) == (answer.json()["status"] == "ok")
    return answer.status_code, answer.json()["checks"]


def failing(client):
    return [name for name, check in checks(client)[1].items() if not check["ok"]]


def scraped(client, **options):
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_a_process_that_answers_lives_whatever_became_of_its_database(client):
    # Without the mark of a database any question to it fails this test.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_probes_may_speak_plain_http_and_nobody_else(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 301


@pytest.mark.django_db
def test_a_site_whose_streams_are_up_to_now_is_ready(client):
    vouched(60, 0)
    assert checks(client) == (
        200,
        {name: {"ok": True} for name in ("database", "migrations", "streams", "gaps")},
    )


@pytest.mark.django_db
def test_a_site_that_has_captured_nothing_is_not_ready(client):
    code, told = checks(client)
    assert (code, told["streams"]) == (503, {"ok": False, "reason": "nothing was captured yet"})


@pytest.mark.django_db
def test_a_stale_stream_fails_and_one_that_is_quiet_and_vouched_for_does_not(client):
    PublicTradeFactory.create(symbol="BTCUSDT", exchange_ts=NOW() - timedelta(minutes=30))
    assert failing(client) == ["streams"]
    vouched(60, 0)
    cache.clear()
    assert failing(client) == []
    vouched(60, 5, stream="tickers")
    cache.clear()
    assert failing(client) == ["streams"]


@pytest.mark.django_db
def test_private_streams_are_expected_as_long_as_there_is_an_account_to_serve(client):
    account = BybitAccountFactory.create()
    vouched(60, 0)
    vouched(60, 30, stream="orders", symbol="", account=account)
    assert failing(client) == ["streams"]
    type(account).objects.filter(pk=account.pk).update(status="disabled")
    cache.clear()
    assert failing(client) == []


@pytest.mark.django_db
def test_a_gap_fails_when_it_has_been_open_for_too_long(client):
    vouched(60, 0)
    gap(started_at=NOW() - timedelta(seconds=200))
    gap(ended_at=NOW() - timedelta(seconds=100))
    gap(state="filled", ended_at=NOW() - timedelta(minutes=30))
    gap(ended_at=NOW() - timedelta(minutes=30), evidence={"note": BEYOND_REACH})
    assert failing(client) == []
    gap(started_at=NOW() - timedelta(seconds=400))
    cache.clear()
    assert failing(client) == ["gaps"]


@pytest.mark.django_db
def test_a_tenants_wrong_key_makes_nobody_else_unready(client):
    vouched(60, 0)
    gap(stream="orders", symbol="", account=BybitAccountFactory.create(status="error"))
    assert failing(client) == []
    gap(stream="orders", symbol="", account=BybitAccountFactory.create())
    cache.clear()
    assert failing(client) == ["gaps"]


def captured_since(minutes):
    at = NOW() - timedelta(minutes=minutes)
    return CaptureLease.objects.create(pk=1, acquired_at=at, expires_at=NOW())


def written(row, minutes, **more):
    """Have a gap be written for the last time so many minutes ago."""
    at = NOW() - timedelta(minutes=minutes)
    CaptureGap.objects.filter(pk=row.pk).update(**{"created_at": at, "updated_at": at} | more)


@pytest.mark.django_db
def test_what_is_captured_no_longer_makes_nobody_unready(client):
    vouched(600, 0)
    vouched(600, 90, symbol="ETHUSDT")
    vouched(600, 90, stream="tickers", symbol="ETHUSDT")
    lost, crashed = gap(symbol="ETHUSDT", ended_at=NOW()), gap(symbol="ETHUSDT", stream="tickers")
    written(lost, 80)
    written(crashed, 80)
    type(lost).objects.filter(pk=lost.pk).update(ended_at=NOW() - timedelta(minutes=80))
    assert failing(client) == ["streams", "gaps"]
    captured_since(70)
    cache.clear()
    assert failing(client) == []


@pytest.mark.django_db
@pytest.mark.parametrize("known_by", ["coverage", "a gap", "a gap that goes on"])
def test_what_is_captured_counts_from_its_first_moment(client, known_by):
    vouched(600, 0)
    gap(state="filled", ended_at=NOW())
    row = gap(symbol="ETHUSDT")
    if known_by == "coverage":
        vouched(600, 60, symbol="ETHUSDT")
        written(row, 80, ended_at=NOW() - timedelta(minutes=61))
    elif known_by == "a gap":
        written(row, 60, ended_at=NOW() - timedelta(minutes=50))
    else:
        written(row, 80, updated_at=NOW() - timedelta(minutes=60))
    captured_since(70)
    assert failing(client) == ["gaps"]


@pytest.mark.django_db
def test_a_capture_that_dies_before_it_begins_leaves_nothing_uncounted(client):
    vouched(600, 5)
    written(gap(), 80)
    captured_since(1)
    assert failing(client) == ["streams", "gaps"]


@pytest.mark.django_db
def test_a_gap_of_what_is_captured_no_longer_does_not_grow_for_ever(client, bearer):
    vouched(600, 0)
    written(gap(symbol="ETHUSDT", started_at=NOW() - timedelta(hours=2)), 80)
    assert scraped(client, **bearer)["gridbot_stream_missing_seconds", "trades"] > 7000
    captured_since(70)
    assert scraped(client, **bearer)["gridbot_stream_missing_seconds", "trades"] == 0


@pytest.mark.django_db
def test_missing_migrations_fail(client, monkeypatch):
    vouched(60, 0)
    known = stored._known_migrations() | {("marketdata", "9999_to_come")}
    monkeypatch.setattr(stored, "_known_migrations", lambda: known)
    assert failing(client) == ["migrations"]


@pytest.mark.django_db
def test_a_database_that_does_not_answer_fails_every_check_and_says_no_more(client, monkeypatch):
    def refuse():
        raise OperationalError("connection to db.internal as gridbot failed")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    told = answer.json()["checks"]
    assert told["database"] == {"ok": False, "reason": "the database does not answer"}
    assert [check["ok"] for check in told.values()] == [False] * 4
    assert b"internal" not in answer.content


@pytest.mark.django_db
def test_asking_again_at_once_asks_no_database(client, django_assert_num_queries):
    vouched(60, 0)
    client.get("/readyz")
    with django_assert_num_queries(0):
        assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_figures_are_for_those_who_may_see_them(client, bearer):
    vouched(60, 10)
    assert "details" not in checks(client)[1]["streams"]
    assert checks(client, **bearer)[1]["streams"]["details"] == ["trades: 600 s"]


@pytest.mark.django_db
def test_metrics_are_for_superusers_by_default(client):
    assert client.get("/metrics").status_code == 401
    for is_superuser, status in ((False, 401), (True, 200)):
        known = Client()
        known.force_login(UserFactory.create(is_staff=True, is_superuser=is_superuser))
        assert known.get("/metrics").status_code == status


@pytest.mark.django_db
def test_a_superuser_without_the_second_factor_is_told_nothing(client, settings):
    settings.GRIDBOT_REQUIRE_OTP = True
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    assert client.get("/metrics").status_code == 401


@pytest.mark.django_db
def test_metrics_are_for_whoever_shows_the_token(client, bearer):
    assert client.get("/metrics", **bearer).status_code == 200
    for wrong in ("Bearer ", "Bearer", TOKEN, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer é"):
        assert client.get("/metrics", headers={"Authorization": wrong}).status_code == 401


@pytest.mark.django_db
def test_no_token_is_no_token_that_can_be_shown(client):
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "status"), [("10.0.0.7", 200), ("10.0.1.7", 401), ("::1", 401)]
)
def test_metrics_are_for_networks_that_are_listed(client, settings, address, status):
    settings.GRIDBOT_METRICS_NETWORKS = [ip_network("10.0.0.0/24")]
    forged = {"X-Forwarded-For": "10.0.0.7"}
    assert client.get("/metrics", REMOTE_ADDR=address, headers=forged).status_code == status


@pytest.mark.django_db
def test_every_metric_of_the_site_is_exported_with_what_is_stored(client, bearer):
    account = BybitAccountFactory.create()
    vouched(60, 30)
    vouched(30, 0, symbol="ETHUSDT")
    vouched(48 * 60, 23 * 60, stream="orders", symbol="", account=account)
    gap(started_at=NOW() - timedelta(minutes=30), ended_at=NOW() - timedelta(minutes=20))
    gap(state="filled", started_at=NOW() - timedelta(days=3), ended_at=NOW() - timedelta(days=2))
    gap(stream="orders", symbol="", account=account, started_at=NOW() - timedelta(minutes=1))
    PublicTradeFactory.create(exchange_ts=NOW() - timedelta(seconds=50))
    seen = {"first_seen": NOW(), "last_seen": NOW()}
    QuarantinedMessage.objects.create(reason="odd", raw_text="?", digest="0", **seen)
    lease = {"acquired_at": NOW(), "expires_at": NOW() + timedelta(minutes=1)}
    CaptureLease.objects.create(pk=1, **lease)
    told = scraped(client, **bearer)
    assert {name for name, *_ in told} == {each.name for each in metrics.WEB}
    expected = {
        ("gridbot_database_up",): 1,
        ("gridbot_migrations_pending",): 0,
        ("gridbot_capture_running",): 1,
        ("gridbot_stream_last_row_age_seconds", "trades"): 50,
        ("gridbot_stream_vouched_age_seconds", "trades"): 0,
        ("gridbot_stream_feeds", "trades"): 2,
        ("gridbot_stream_covered_seconds", "trades"): 3600,
        ("gridbot_stream_missing_seconds", "trades"): 600,
        ("gridbot_stream_covered_seconds", "orders"): 3600,
        ("gridbot_stream_missing_seconds", "orders"): 60,
        ("gridbot_gaps", "open", "trades"): 1,
        ("gridbot_gap_seconds", "filled", "trades"): 86400,
        ("gridbot_gap_seconds", "open", "orders"): 60,
        ("gridbot_quarantined_messages",): 1,
        ("gridbot_accounts", "enabled"): 1,
        ("gridbot_accounts", "error"): 0,
    }
    assert {name: told[name] for name in expected} == pytest.approx(expected, abs=10)
    assert told["gridbot_database_size_bytes",] > 10_000


@pytest.mark.django_db
def test_what_is_vouched_for_and_missing_all_the_same_is_missing(client, bearer):
    vouched(60, 0)
    gap(started_at=NOW() - timedelta(minutes=30), ended_at=NOW() - timedelta(minutes=20))
    told = scraped(client, **bearer)
    assert told["gridbot_stream_covered_seconds", "trades"] == pytest.approx(3000, abs=10)


@pytest.mark.django_db
def test_what_was_pruned_is_not_missing(client, bearer):
    vouched(60, 0)
    gap(state="pruned", started_at=NOW() - timedelta(hours=5), ended_at=NOW() - timedelta(hours=1))
    told = scraped(client, **bearer)
    assert told["gridbot_stream_missing_seconds", "trades"] == 0
    assert told["gridbot_gaps", "pruned", "trades"] == 1
    assert failing(client) == []


@pytest.fixture
def locked_trades(transactional_db, monkeypatch):
    """A table that somebody has locked, as a long migration does."""
    if connection.vendor != "postgresql":
        pytest.skip("readers of SQLite wait for nobody")
    import psycopg

    monkeypatch.setattr(stored, "PATIENCE_SECONDS", 0.2)
    known = connection.get_connection_params()
    where = {
        key: known[key] for key in ("dbname", "host", "port", "user", "password") if key in known
    }
    with psycopg.connect(**where) as other:
        other.execute("LOCK TABLE public_trades IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.mark.django_db(transaction=True)
def test_a_probe_does_not_wait_for_a_locked_table(client, bearer, locked_trades):
    code, told = checks(client)
    assert (code, [name for name, each in told.items() if each["ok"]]) == (
        503,
        ["database", "migrations"],
    )
    assert scraped(client, **bearer) == {("gridbot_database_up",): 0}


@pytest.mark.django_db
def test_nobody_else_has_to_hurry_afterwards(client, bearer):
    if connection.vendor != "postgresql":
        pytest.skip("readers of SQLite wait for nobody")

    def patience():
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return cursor.fetchone()

    before = patience()
    client.get("/readyz")
    client.get("/metrics", **bearer)
    assert patience() == before


@pytest.mark.django_db
def test_metrics_of_a_database_that_lacks_tables_tell_of_its_migrations(
    client, bearer, monkeypatch
):
    def refuse(*args):
        raise ProgrammingError("no such table")

    known = stored._known_migrations() | {("marketdata", "9999_to_come")}
    monkeypatch.setattr(stored, "_known_migrations", lambda: known)
    monkeypatch.setattr(stored, "freshness", refuse)
    assert scraped(client, **bearer) == {
        ("gridbot_database_up",): 1,
        ("gridbot_migrations_pending",): 1,
    }


@pytest.mark.django_db
def test_metrics_of_a_database_that_is_away_say_so(client, bearer, monkeypatch):
    def refuse(*args):
        raise OperationalError("away")

    monkeypatch.setattr(stored, "freshness", refuse)
    assert scraped(client, **bearer) == {("gridbot_database_up",): 0}


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/healthz", "/readyz", "/metrics"])
def test_nothing_is_to_be_written(client, url):
    assert client.post(url).status_code == 405
