"""Room that deleted rows leave: given back by SQLite, kept for new rows by PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from marketdata.models import PublicTrade
from marketdata.prune import space
from marketdata.tests.capture.outages import database_away
from marketdata.tests.prune.scene import at, store_trades

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = 4000
HEAP = "SELECT pg_relation_size('public_trades')"

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's file")
on_postgresql = pytest.mark.skipif(connection.vendor == "sqlite", reason="about PostgreSQL")


def emptied() -> int:
    """Store rows and delete them; what the database took in between."""
    store_trades(*range(ROWS))
    size = space.database_bytes()
    PublicTrade.objects.all().delete()
    return size


def given_back(before: int) -> space.GivenBack:
    return space.give_back([PublicTrade], threading.Event(), before=before)


@on_sqlite
class TestFile:
    """SQLite's."""

    def test_a_file_made_by_gridbot_shrinks(self):
        assert space.is_incremental()
        before = emptied()
        returned = given_back(before)
        assert returned.after == space.database_bytes() < before - ROWS * 100
        assert returned.note == ""

    def test_who_only_reads_connects_while_another_writes(self):
        with database_away(), closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM public_trades")
            assert cursor.fetchone() == (0,)

    def test_who_reads_meanwhile_has_nobody_wait(self, monkeypatch):
        monkeypatch.setattr(space, "EMPTYINGS", 2)
        before = emptied()
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            cursor.execute("SELECT COUNT(*) FROM public_trades")
            returned = given_back(before)
            assert (returned.note, returned.after > before) == (space.IS_READ, True)
        assert space._number("PRAGMA busy_timeout") == 30_000
        assert given_back(before).after < before - ROWS * 100

    def test_a_stop_leaves_the_rest(self, monkeypatch):
        monkeypatch.setattr(space, "PAGES_AT_ONCE", 10)
        emptied()
        free, stop = space._number("PRAGMA freelist_count"), threading.Event()
        stop.set()
        space.give_back([PublicTrade], stop, before=0)
        assert space._number("PRAGMA freelist_count") == free
        given_back(0)
        assert space._number("PRAGMA freelist_count") == 0

    def test_a_table_s_bytes_are_its_pages(self):
        before = space.table_bytes("public_trades")
        store_trades(*range(ROWS))
        assert space.table_bytes("public_trades") > before + ROWS * 100

    def test_an_older_file_shrinks_once_it_was_rewritten(self, capsys):
        space._execute("PRAGMA auto_vacuum = NONE; VACUUM")
        before = emptied()
        assert "prune --vacuum" in given_back(before).note
        call_command("prune", "--vacuum")
        assert "MB less" in capsys.readouterr().out
        assert space.database_bytes() < before - ROWS * 100
        assert space.is_incremental()

    def test_no_room_to_rewrite_is_said_before(self, monkeypatch):
        monkeypatch.setattr(space, "VACUUM_ROOM", 10**12)
        with pytest.raises(CommandError, match="MB are free") as caught:
            space.rewrite()
        assert caught.value.returncode == 4


@on_postgresql
class TestServer:
    """PostgreSQL's."""

    def test_the_room_is_used_again(self):
        store_trades(*range(ROWS))
        size = space._number(HEAP)
        # The newest stays, as after a prune: the end of the table is not cut off.
        PublicTrade.objects.filter(exchange_ts__lt=at(ROWS - 1)).delete()
        given_back(0)
        store_trades(*range(ROWS, 2 * ROWS - 1))
        assert space._number(HEAP) <= size * 1.1

    def test_it_says_that_the_room_is_kept(self):
        assert "new rows" in given_back(0).note

    def test_there_is_nothing_to_rewrite(self):
        with pytest.raises(CommandError, match="PostgreSQL needs none"):
            call_command("prune", "--vacuum")
