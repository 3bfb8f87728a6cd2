"""Insert rows that are not there yet, and count exactly those that were.

PostgreSQL: binary COPY into a temporary table, then one INSERT … SELECT … ON CONFLICT DO
NOTHING. SQLite: INSERT … ON CONFLICT DO NOTHING for each row; unlike Django's INSERT OR IGNORE
it still raises for NOT NULL and CHECK. Rows with expressions take Django's own path.

Most of the time that Django's path takes goes into preparing value by value. Here a column whose
values are all of its field's own Python type is prepared as a whole, or needs nothing at all; any
other column is prepared by its field, as Django does it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import attrgetter
from types import NoneType
from typing import Any

from django.db import DataError, connections, models, transaction

BATCH_ROWS = 5000
# Fields, and the type of the values that they neither check nor change.
PLAIN_TYPES: dict[type[models.Field[Any, Any]], type] = {
    models.CharField: str,
    models.TextField: str,
    models.DateTimeField: datetime,
    models.DecimalField: Decimal,
    models.BooleanField: bool,
    models.BigIntegerField: int,
}
# psycopg cuts an integer to the bytes of these without a word. In the temporary table they are wider,
# and the server refuses what the table's column does not hold.
WIDER = {"smallint": "bigint", "integer": "bigint"}
ZONE = attrgetter("tzinfo")
UTC_OFFSET = len("+00:00")


def insert_new(
    model: type[models.Model], rows: Collection[Any], *, using: str, batch_size: int | None = None
) -> int:
    """Insert `rows`, skipping those whose key is there already; how many were stored.

    All or nothing: raises what the database raises, and then nothing of `rows` is stored.
    """
    objects = list(rows)
    if batch_size is not None and batch_size <= 0:
        raise ValueError("Batch size must be a positive integer.")
    if any(row.pk is not None for row in objects):
        return _insert_with_django(model, objects, using)
    insert = partial(_insert_objects, model, own_fields(model), using)
    return _insert_in_batches(insert, objects, batch_size or BATCH_ROWS, using)


def insert_values(
    model: type[models.Model], rows: Collection[tuple[Any, ...]], *, using: str
) -> int:
    """Like `insert_new`, from tuples of the values of `own_fields`, without model instances.

    A foreign key's value is the key. Raises ValueError for a tuple of another length.
    """
    insert = partial(_insert_rows, model, own_fields(model), using)
    return _insert_in_batches(insert, list(rows), BATCH_ROWS, using)


def own_fields(model: type[models.Model]) -> list[Any]:
    """The fields that a row brings along: all but an automatic primary key, in their order."""
    return [
        field
        for field in model._meta.concrete_fields
        if not (field.primary_key and isinstance(field, models.AutoField))
    ]


def _insert_in_batches(
    insert: Callable[[list[Any]], int], rows: list[Any], size: int, using: str
) -> int:
    if not rows:
        return 0
    with transaction.atomic(using=using, savepoint=False):
        return sum(insert(rows[start : start + size]) for start in range(0, len(rows), size))


def _insert_objects(
    model: type[models.Model], fields: Sequence[Any], using: str, objects: list[Any]
) -> int:
    columns: list[Sequence[Any]] = list(
        zip(*map(attrgetter(*(field.attname for field in fields)), objects), strict=True)
    )
    if any(hasattr(kind, "resolve_expression") for column in columns for kind in _kinds(column)):
        return _insert_with_django(model, objects, using)
    for index, field in enumerate(fields):
        if not _is_plain(field):
            columns[index] = [field.pre_save(row, True) for row in objects]
    return _insert_columns(model, fields, using, columns)


def _insert_rows(
    model: type[models.Model], fields: Sequence[Any], using: str, rows: list[Any]
) -> int:
    return _insert_columns(model, fields, using, list(zip(*rows, strict=True)))


def _insert_columns(
    model: type[models.Model], fields: Sequence[Any], using: str, columns: Sequence[Sequence[Any]]
) -> int:
    connection = connections[using]
    prepared = [
        _prepared(field, column, connection) for field, column in zip(fields, columns, strict=True)
    ]
    rows = zip(*prepared, strict=True)
    table = connection.ops.quote_name(model._meta.db_table)
    names = [connection.ops.quote_name(field.column) for field in fields]
    if connection.vendor == "postgresql":
        return _copy(connection, fields, table, names, rows)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) "  # noqa: S608
            "ON CONFLICT DO NOTHING",
            list(rows),
        )
        return max(0, int(cursor.rowcount))


def _kinds(column: Sequence[Any]) -> set[type]:
    return set(map(type, column))


def _is_plain(field: Any) -> bool:
    """Whether what is saved is the attribute's value, whatever it is."""
    is_automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return type(field) in PLAIN_TYPES and not is_automatic


def _prepared(field: Any, column: Sequence[Any], connection: Any) -> Sequence[Any]:
    """The values of `column` as the database takes them."""
    kinds = _kinds(column)
    plain = PLAIN_TYPES.get(type(field))
    if plain is not None and kinds <= {plain, NoneType}:
        present = [value for value in column if value is not None] if NoneType in kinds else column
        is_postgresql = connection.vendor == "postgresql"
        if plain is Decimal:
            if all(map(Decimal.is_finite, present)):
                return column
        elif plain is datetime:
            zones = set(map(ZONE, present))
            if is_postgresql and None not in zones:
                return column
            if zones <= {UTC} and connection.timezone is UTC:
                return _time_texts(column)
        else:
            return column
    return [field.get_db_prep_save(value, connection) for value in column]


def _time_texts(column: Sequence[datetime | None]) -> list[str | None]:
    """Times of UTC as Django's SQLite backend writes them: without their zone."""
    return [None if value is None else value.isoformat(" ")[:-UTC_OFFSET] for value in column]


def _copy(
    connection: Any,
    fields: Sequence[Any],
    table: str,
    names: Sequence[str],
    rows: Iterable[Any],
) -> int:
    temporary = connection.ops.quote_name(f"new_{fields[0].model._meta.db_table}")
    types = [field.db_type(connection).split("(")[0] for field in fields]
    columns = ", ".join(
        f"{name}::{WIDER[kind]} AS {name}" if kind in WIDER else name
        for name, kind in zip(names, types, strict=True)
    )
    all_names = ", ".join(names)
    with connection.cursor() as cursor:
        # CREATE … AS takes neither NOT NULL nor identity along; TRUNCATE clears what an
        # earlier batch of the same transaction left.
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {temporary} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {columns} FROM {table} WITH NO DATA; TRUNCATE {temporary}"
        )
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {temporary} ({all_names}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types([WIDER.get(kind, kind) for kind in types])
            try:
                for row in rows:
                    copy.write_row(row)
            except OverflowError as error:
                # psycopg finds here what the server would find on Django's path.
                raise DataError(str(error)) from error
        cursor.execute(
            f"INSERT INTO {table} ({all_names}) SELECT {all_names} FROM {temporary} "  # noqa: S608
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
