"""How the database is emptied after a test with transactions of its own.

Django empties every table and tells each app that it was migrated, which writes all content types
and permissions anew: longer than most such tests take. Here only tables that hold something are
emptied, and what migrating wrote stays where it is. A test that changed it has Django's own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

Rows = set[tuple[Any, ...]]


class Emptying:
    """Empties the database; made when there is nothing in it but what migrating wrote."""

    def __init__(self) -> None:
        self._tables = connection.introspection.django_table_names(only_existing=True)
        self._written = self._read(self._filled())

    def is_as_written(self) -> bool:
        """Whether what migrating wrote is still there, and as it was."""
        return self._read(list(self._written)) == self._written

    def empty(self) -> None:
        """Empty every other table that holds something."""
        if filled := [table for table in self._filled() if table not in self._written]:
            connection.ops.execute_sql_flush(
                connection.ops.sql_flush(no_style(), filled, allow_cascade=True)
            )

    def _filled(self) -> list[str]:
        asked = ", ".join(f"EXISTS (SELECT 1 FROM {_quoted(table)})" for table in self._tables)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {asked}")
            answers = cursor.fetchone()
        return [table for table, answer in zip(self._tables, answers, strict=True) if answer]

    def _read(self, tables: list[str]) -> dict[str, Rows]:
        found = {}
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"SELECT * FROM {_quoted(table)}")
                found[table] = set(cursor.fetchall())
        return found


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database of the tests, which is emptied in the quick way."""
    in_full = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
    with django_db_blocker.unblock():
        emptying = Emptying()

    def teardown(case: TransactionTestCase) -> None:
        nonlocal emptying
        if emptying.is_as_written():
            emptying.empty()
        else:
            in_full(case)
            emptying = Emptying()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
