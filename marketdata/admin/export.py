"""A list as CSV: streamed in batches, safe to open in a spreadsheet.

A text that begins as a formula does (`=`, `+`, `-`, `@`, tab, line break) gets an apostrophe in
front, for the exchange, or whoever writes an order's link id, could otherwise have a spreadsheet
run it. Numbers are columns of numbers and stay as they are, the negative ones too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.http import StreamingHttpResponse

from marketdata.admin.paging import Rows, in_batches, newest_first, oldest_first

BATCH = 2_000
# The full-width forms of the first four are signs to some spreadsheets, too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Line:
    """What csv.writer writes to: it hands each line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def as_csv(rows: Rows, time: str, columns: list[models.Field[Any, Any]]) -> StreamingHttpResponse:
    """`columns` of all `rows`, the oldest first; the file is named after the kind and the span."""
    response = StreamingHttpResponse(
        _lines(rows, time, columns), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{_file_name(rows, time)}"'
    return response


def _lines(rows: Rows, time: str, columns: list[models.Field[Any, Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow([column.name for column in columns])
    for batch in in_batches(rows, time, BATCH):
        yield "".join(writer.writerow([cell(row, column) for column in columns]) for row in batch)


def cell(row: Any, column: models.Field[Any, Any]) -> str:
    """A value as its cell: plain notation, ISO 8601 in UTC, and nothing for what is not known."""
    value = getattr(row, column.attname if column.name != "account" else "account")
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) and not isinstance(value, int) else text


def _file_name(rows: Rows, time: str) -> str:
    kind = str(rows.model._meta.verbose_name_plural).replace(" ", "-")
    ends = [ordered(rows, time).first() for ordered in (oldest_first, newest_first)]
    if not all(ends):
        return f"{kind}_none.csv"
    return "_".join([kind, *(f"{getattr(row, time):%Y%m%dT%H%M%SZ}" for row in ends)]) + ".csv"
