"""Pages by key: every row on one page, whatever its time, whichever way, whoever writes meanwhile."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import chain

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketdata.admin.paging import LARGEST_ID, Cursor, Page, in_batches, newest_first
from marketdata.models import PublicTrade
from marketdata.tests.factories import START, PublicTradeFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/marketdata/publictrade/"
TIME = "exchange_ts"


def make_trades(count, *, times, seed=1):
    """Trades at few distinct times, stored in no order."""
    rng = random.Random(seed)
    for _ in range(count):
        PublicTradeFactory.create(exchange_ts=START + timedelta(seconds=rng.randrange(times)))


def page(size, **place):
    return Page.of(PublicTrade.objects.all(), TIME, size, place)


def keys(rows):
    return [row.pk for row in rows]


def flat(pages):
    return list(chain.from_iterable(pages))


def all_keys():
    return keys(newest_first(PublicTrade.objects.all(), TIME))


def walk_older(size, *, meanwhile=lambda: None):
    found, here = [], page(size)
    while True:
        found.append(keys(here.rows))
        if here.older is None:
            return found
        meanwhile()
        here = page(size, older=str(here.older))


def walk_newer(size):
    found, here = [], page(size, oldest="1")
    while True:
        found.insert(0, keys(here.rows))
        if here.newer is None:
            return found
        here = page(size, newer=str(here.newer))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 23, 24, 100])
@pytest.mark.parametrize("times", [1, 4, 1000])
def test_every_row_is_on_one_page_in_both_directions(size, times):
    make_trades(23, times=times)
    for pages in (walk_older(size), walk_newer(size)):
        assert flat(pages) == all_keys()
        assert all(1 <= len(rows) <= size for rows in pages)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_rows_that_arrive_meanwhile_move_nothing(size):
    make_trades(11, times=3)
    before = all_keys()

    def arrive():
        PublicTradeFactory.create(exchange_ts=START + timedelta(days=1))
        # Late: at a time that the pages are just passing.
        PublicTradeFactory.create(exchange_ts=START + timedelta(seconds=1))

    found = flat(walk_older(size, meanwhile=arrive))
    assert len(set(found)) == len(found)
    assert [key for key in found if key in before] == before


def test_back_and_forth_is_the_same_page():
    make_trades(20, times=4)
    first = page(6)
    second = page(6, older=str(first.older))
    assert first.newer is None
    assert keys(page(6, newer=str(second.newer)).rows) == keys(first.rows)


def test_a_jump_to_a_time_starts_at_the_newest_row_that_is_not_later():
    trades = [PublicTradeFactory.create(exchange_ts=START + timedelta(days=n)) for n in range(5)]
    there = page(2, at=f"{trades[2].exchange_ts:%Y-%m-%dT%H:%M:%S.%f}")
    assert there.rows == [trades[2], trades[1]]
    assert page(2, newer=str(there.newer)).rows == [trades[4], trades[3]]
    just_before = trades[2].exchange_ts - timedelta(microseconds=1)
    assert page(1, at=f"{just_before:%Y-%m-%dT%H:%M:%S.%f}").rows == [trades[1]]


def test_a_time_without_a_zone_is_utc_and_one_with_a_zone_is_itself():
    trade = PublicTradeFactory.create(exchange_ts=START)
    assert page(1, at="2026-01-02T03:04:06").rows == [trade]
    assert page(1, at="2026-01-02T03:04:05").rows == []
    assert page(1, at="2026-01-02T05:04:06+02:00").rows == [trade]
    assert page(1, at="2026-01-02T05:04:05+02:00").rows == []


@pytest.mark.parametrize("place", [{}, {"oldest": "1"}, {"older": "0-0"}, {"newer": "0-0"}])
def test_an_empty_table_has_one_empty_page(place):
    assert page(5, **place) == Page([], None, None)


def test_a_cursor_reads_what_it_writes():
    cursor = Cursor(START + timedelta(microseconds=1), LARGEST_ID)
    assert Cursor.parse(str(cursor)) == cursor
    early = Cursor(START.replace(year=1900), 1)
    assert Cursor.parse(str(early)) == early


@pytest.mark.parametrize(
    "text",
    ["", "1", "-", "1-", "x-1", "1-x", "1-" + "9" * 20, "9" * 30 + "-1", "9" * 5000 + "-1", "1-²"],
)
def test_what_is_no_cursor_is_sent_back(olivia_client, text):
    for name in ("older", "newer"):
        assert olivia_client.get(LIST, {name: text}).url == f"{LIST}?e=1"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00", "0001-01-01T00:00+14:00"])
def test_what_is_no_time_is_sent_back(olivia_client, text):
    assert olivia_client.get(LIST, {"at": text}).url == f"{LIST}?e=1"


@pytest.mark.parametrize("size", [1, 4, 100])
def test_batches_bring_every_row_once_the_oldest_first(size):
    make_trades(9, times=3)
    batches = list(in_batches(PublicTrade.objects.all(), TIME, size))
    assert keys(flat(batches)) == all_keys()[::-1]
    assert all(len(batch) <= size for batch in batches)


# --- The list -----------------------------------------------------------------------------


@pytest.fixture
def short_pages(monkeypatch):
    """Two rows on a page."""
    from marketdata.admin.facts import FactAdmin

    monkeypatch.setattr(FactAdmin, "list_per_page", 2)


def links(client, path):
    cl = client.get(path).context["cl"]
    return dict(cl.pages()), keys(cl.result_list)


def test_the_links_lead_through_the_list_and_back(olivia_client, short_pages):
    make_trades(7, times=2)
    every = all_keys()
    there, rows = links(olivia_client, LIST)
    assert (list(there), rows) == (["older", "oldest"], every[:2])
    there, rows = links(olivia_client, LIST + there["older"])
    assert list(there) == ["newest", "newer", "older", "oldest"]
    assert rows == every[2:4]
    _, back = links(olivia_client, LIST + there["newer"])
    assert back == every[:2]
    there, rows = links(olivia_client, LIST + there["oldest"])
    assert (list(there), rows) == (["newest", "newer"], every[-2:])
    assert links(olivia_client, LIST + there["newest"])[1] == every[:2]


def test_filters_stay_from_page_to_page_and_the_page_goes_with_a_filter(olivia_client, short_pages):
    make_trades(5, times=9)
    PublicTradeFactory.create(symbol="ETHUSDT")
    there, rows = links(olivia_client, f"{LIST}?symbol=BTCUSDT&older=9999999999999999-1")
    assert "symbol=BTCUSDT" in there["older"]
    page = olivia_client.get(f"{LIST}?symbol=BTCUSDT&older=9999999999999999-1")
    assert 'href="?symbol=ETHUSDT"' in page.text
    assert 'name="older"' not in page.text
    assert len(rows) == 2


def test_no_page_is_counted_off(olivia_client, short_pages):
    make_trades(9, times=2)
    there, _ = links(olivia_client, LIST)
    for name in ("older", "oldest"):
        with CaptureQueriesContext(connection) as captured:
            olivia_client.get(LIST + there[name])
        assert not [entry for entry in captured if " OFFSET " in entry["sql"]]


def test_beyond_the_end_there_is_the_way_back(olivia_client):
    PublicTradeFactory.create()
    there, rows = links(olivia_client, f"{LIST}?older=0-0")
    assert (list(there), rows) == (["newest"], [])
