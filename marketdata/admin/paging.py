"""Pages of facts by key: a page starts where the last one ended, and no row is counted off.

A page is named by the time and the number of the row that it starts beside. The database finds
that place in an index, so the ten-thousandth page costs what the first one does (an OFFSET would
read and drop every row before it), and rows that arrive meanwhile push nothing onto another page.
Pages run from the newest row to the oldest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Self

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import connections, models
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

Rows = models.QuerySet[Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
OLDER, NEWER, OLDEST, AT = CURSORS = ("older", "newer", "oldest", "at")
LARGEST_ID = 2**63 - 1


class Cursor(NamedTuple):
    """The place of a row in time; of rows of the same time, by its number."""

    at: datetime
    id: int

    def __str__(self) -> str:
        """As it stands in a query string: microseconds since 1970 and the number."""
        return f"{(self.at - EPOCH) // MICROSECOND}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; ValueError for anything else."""
        micros, _, number = text.rpartition("-")
        if not number.isdecimal() or int(number) > LARGEST_ID:
            raise ValueError(f"not a cursor: {text!r}")
        try:
            return cls(EPOCH + int(micros) * MICROSECOND, int(number))
        except OverflowError as error:
            raise ValueError(f"not a cursor: {text!r}") from error


def newest_first(rows: Rows, time: str) -> Rows:
    """`rows` in the order of the pages; `time` names the column of their time."""
    return rows.order_by(f"-{time}", "-id")


def oldest_first(rows: Rows, time: str) -> Rows:
    """`rows` from the oldest on."""
    return rows.order_by(time, "id")


def before(rows: Rows, time: str, place: Cursor) -> Rows:
    """The rows that are older than `place`."""
    # The first condition is what the index is entered by; the rest tells equal times apart.
    return rows.filter(
        models.Q((f"{time}__lt", place.at)) | models.Q(id__lt=place.id), (f"{time}__lte", place.at)
    )


def after(rows: Rows, time: str, place: Cursor) -> Rows:
    """The rows that are newer than `place`."""
    return rows.filter(
        models.Q((f"{time}__gt", place.at)) | models.Q(id__gt=place.id), (f"{time}__gte", place.at)
    )


def in_batches(rows: Rows, time: str, size: int) -> Iterator[list[Any]]:
    """All of `rows`, the oldest first, `size` at a time, each batch by a query of its own.

    Neither this process nor the server ever holds more than a batch, and no transaction stays
    open, however slowly the rows are taken.
    """
    batch = list(oldest_first(rows, time)[:size])
    while batch:
        yield batch
        place = Cursor(getattr(batch[-1], time), batch[-1].pk)
        batch = list(oldest_first(after(rows, time, place), time)[:size])


@dataclass(frozen=True)
class Page:
    """Some rows, the newest first, and the query strings' values for the pages beside them."""

    rows: list[Any]
    newer: Cursor | None
    older: Cursor | None

    @classmethod
    def of(cls, rows: Rows, time: str, size: int, place: Mapping[str, str]) -> Self:
        """The page of `rows` that the query string `place` names.

        `older` and `newer` hold a cursor, `at` a time (UTC where it says nothing else): the page
        starts with the newest row that is not later. `oldest` is the last page, nothing the first.
        Raises ValueError for what is neither a cursor nor a time.
        """
        if NEWER in place:
            there = after(rows, time, Cursor.parse(place[NEWER]))
        elif OLDER in place:
            there = before(rows, time, Cursor.parse(place[OLDER]))
        elif AT in place:
            there = before(rows, time, Cursor(_time(place[AT]), LARGEST_ID))
        else:
            there = rows
        upwards = NEWER in place or OLDEST in place
        ordered = (oldest_first if upwards else newest_first)(there, time)
        found = list(ordered[: size + 1])
        shown = found[:size]
        if upwards:
            shown.reverse()
        if not shown:
            return cls([], None, None)
        ends = [Cursor(getattr(row, time), row.pk) for row in (shown[0], shown[-1])]
        more = len(found) > size
        whole = not upwards and there is rows
        has_newer = more if upwards else not whole and _any(after(rows, time, ends[0]), time)
        has_older = more if not upwards else _any(before(rows, time, ends[1]), time)
        return cls(shown, ends[0] if has_newer else None, ends[1] if has_older else None)


def _any(rows: Rows, time: str) -> bool:
    # Not exists(): without an order the planner may read the table from its other end.
    return bool(rows.order_by(time).values("pk")[:1])


def _time(text: str) -> datetime:
    time = parse_datetime(text)
    if time is None:
        raise ValueError(f"not a time: {text!r}")
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError as error:  # the first or the last day of the calendar
        raise ValueError(f"not a time: {text!r}") from error


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """Counts exactly up to a bound; beyond it PostgreSQL's planner estimates.

    The estimate comes from the table's statistics (reltuples) and costs nothing, where COUNT
    would read the whole table. SQLite keeps no such figure, so there the count is always exact.
    """

    exact_up_to = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, exact when it is small."""
        rows: Rows = self.object_list  # type: ignore[assignment]
        if connections[rows.db].vendor != "postgresql":
            return rows.count()
        # In order, so that the bound is reached along the index of the list itself.
        first = str(rows.query.order_by[0]) if rows.query.order_by else "pk"
        counted = rows.order_by(first).values(first.lstrip("-"))[: self.exact_up_to + 1].count()
        if counted <= self.exact_up_to:
            return counted
        plan = json.loads(rows.order_by().values("pk").explain(format="json"))
        return max(counted, int(plan[0]["Plan"]["Plan Rows"]))

    @property
    def is_estimate(self) -> bool:
        """Whether the count is the planner's word."""
        rows: Rows = self.object_list  # type: ignore[assignment]
        return connections[rows.db].vendor == "postgresql" and self.count > self.exact_up_to


class FactList(ChangeList):
    """The newest first, always, and paged by key."""

    def get_ordering(self, request: HttpRequest, queryset: Rows) -> list[Any]:
        """Never a click on a column: few of them could be sorted by without reading it all."""
        return list(self.model_admin.get_ordering(request))

    def get_filters_params(self, params: Any = None) -> Any:
        """The query string without what names a page."""
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in CURSORS}

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """Another filter makes another list, which begins at its newest page."""
        return super().get_query_string(dict.fromkeys(CURSORS) | (new_params or {}), remove)

    def get_results(self, request: HttpRequest) -> None:
        """The rows of one page; an unreadable cursor is a bad lookup."""
        # Taken out: a search from this page starts at the first page of what it finds.
        place = {name: self.params.pop(name) for name in CURSORS if name in self.params}
        time: str = self.model_admin.time_field  # type: ignore[attr-defined]
        try:
            self.page = Page.of(self.queryset, time, self.list_per_page, place)
        except ValueError as error:
            raise IncorrectLookupParameters from error
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        self.is_first = not place or (bool(self.page.rows) and self.page.newer is None)
        self.result_list = self.page.rows
        self.multi_page = bool(self.page.newer or self.page.older)
        self.result_count = (
            self.paginator.count if self.multi_page or place else len(self.page.rows)
        )
        self.result_is_estimate = self.multi_page and self.paginator.is_estimate
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.show_admin_actions = False

    def pages(self) -> list[tuple[str, str]]:
        """What to call the neighbouring pages, and their query strings."""
        page = self.page
        # Beyond the end there is nothing but the way back.
        links = [] if self.is_first else [("newest", self.get_query_string())]
        if page.newer:
            links += [("newer", self.get_query_string({NEWER: str(page.newer)}))]
        if page.older:
            links += [("older", self.get_query_string({OLDER: str(page.older)}))]
            links += [("oldest", self.get_query_string({OLDEST: "1"}))]
        return links

    def export_query(self) -> str:
        """The query string of the whole list, from whatever page."""
        return self.get_query_string()
