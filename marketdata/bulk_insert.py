"""Insert rows that are not there yet, and count exactly those that were.

PostgreSQL: binary COPY into a temporary table, then one INSERT … SELECT … ON CONFLICT DO
NOTHING. SQLite: INSERT … ON CONFLICT DO NOTHING for each row; unlike Django's INSERT OR IGNORE
it still raises for NOT NULL and CHECK. Rows with expressions take Django's own path.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.db import connections, models, transaction
from django.db.models.expressions import BaseExpression

BATCH_ROWS = 5000
# A column whose values are all of its own Python type needs no preparation for PostgreSQL.
READY_TYPES: dict[type[models.Field[Any, Any]], type] = {
    models.CharField: str,
    models.TextField: str,
    models.DateTimeField: datetime,
    models.DecimalField: Decimal,
    models.BooleanField: bool,
    models.BigIntegerField: int,
}


def insert_new(
    model: type[models.Model], rows: Collection[Any], *, using: str, batch_size: int | None = None
) -> int:
    """Insert `rows`, skipping those whose key is there already; how many were stored.

    All or nothing: raises what the database raises, and then nothing of `rows` is stored.
    """
    objects = list(rows)
    if batch_size is not None and batch_size <= 0:
        raise ValueError("Batch size must be a positive integer.")
    if not objects:
        return 0
    fields: list[Any] = [
        field
        for field in model._meta.concrete_fields
        if not (field.primary_key and isinstance(field, models.AutoField))
    ]
    if any(row.pk is not None for row in objects):
        return _insert_with_django(model, objects, using)
    size = batch_size or BATCH_ROWS
    stored = 0
    with transaction.atomic(using=using, savepoint=False):
        for start in range(0, len(objects), size):
            stored += _insert_batch(model, fields, objects[start : start + size], using)
    return stored


def _insert_batch(
    model: type[models.Model], fields: Sequence[Any], objects: list[Any], using: str
) -> int:
    connection = connections[using]
    columns = list(
        zip(*map(attrgetter(*(field.attname for field in fields)), objects), strict=True)
    )
    if any(isinstance(value, BaseExpression) for column in columns for value in column):
        return _insert_with_django(model, objects, using)
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    for index, field in enumerate(fields):
        if not _is_ready(field, columns[index], connection.vendor):
            columns[index] = tuple(
                field.get_db_prep_save(field.pre_save(row, True), connection) for row in objects
            )
    values = zip(*columns, strict=True)
    if connection.vendor == "postgresql":
        return _copy(connection, fields, table, names, values)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608
            list(values),
        )
        return max(0, int(cursor.rowcount))


def _is_ready(field: Any, column: tuple[Any, ...], vendor: str) -> bool:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return False
    expected = READY_TYPES.get(type(field))
    if expected is None or not set(map(type, column)) <= {expected, type(None)}:
        return False
    if vendor != "postgresql":
        return expected in (str, bool, int)
    if expected is Decimal:
        return all(value is None or value.is_finite() for value in column)
    if expected is datetime:
        return all(value is None or value.tzinfo is not None for value in column)
    return True


def _copy(
    connection: Any, fields: Sequence[Any], table: str, names: str, values: Iterator[Any]
) -> int:
    temporary = connection.ops.quote_name(f"new_{fields[0].model._meta.db_table}")
    types = [field.db_type(connection).split("(")[0] for field in fields]
    with connection.cursor() as cursor:
        # CREATE … AS takes neither NOT NULL nor identity along; TRUNCATE clears what an
        # earlier batch of the same transaction left.
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {temporary} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {names} FROM {table} WITH NO DATA; TRUNCATE {temporary}"
        )
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {temporary} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(types)
            for row in values:
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {temporary} "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        return max(0, int(cursor.rowcount))


def _insert_with_django(model: type[models.Model], objects: list[Any], using: str) -> int:
    counted = 0

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal counted
        result = execute(sql, params, many, context)
        if sql.startswith("INSERT"):
            counted += max(0, context["cursor"].rowcount)
        return result

    with connections[using].execute_wrapper(count):
        models.QuerySet(model, using=using).bulk_create(objects, ignore_conflicts=True)
    return counted
