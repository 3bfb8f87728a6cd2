"""Filters of facts: each begins where an index begins, and none counts or scans for its choices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

Rows = models.QuerySet[Any]
DAY = timedelta(days=1)


class SymbolFilter(admin.SimpleListFilter):
    """By symbol; the search box takes those that the list has no room for."""

    title = "symbol"
    parameter_name = "symbol"
    most = 30

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The first symbols of the table: one step in its index for each, not one row."""
        symbols: list[str] = []
        rows = model_admin.model._default_manager
        while len(symbols) < self.most:
            left = rows.filter(symbol__gt=symbols[-1] if symbols else "")
            symbol = left.aggregate(first=models.Min("symbol"))["first"]
            if symbol is None:
                break
            symbols.append(symbol)
        return [(symbol, symbol) for symbol in symbols]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The rows of the symbol that was chosen."""
        chosen = self.value()
        return equal(queryset, "symbol", chosen) if chosen else queryset


class SpanForm(forms.Form):
    """A day, or a span from a time (inclusive) to a time (exclusive); all of it UTC."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["day"] = forms.DateField(
            required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
        )
        for name, label in (("from", "From (included)"), ("until", "Until (not included)")):
            widget = forms.DateTimeInput(
                {"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
            )
            self.fields[name] = forms.DateTimeField(required=False, label=label, widget=widget)

    def clean(self) -> dict[str, Any]:
        """A day stands alone, and a span ends after it starts."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            start, end = (at and at.astimezone(UTC) for at in map(cleaned.get, ("from", "until")))
        except OverflowError:
            raise ValidationError("The span leaves the calendar.") from None
        if cleaned.get("day") and (start or end):
            raise ValidationError("Either a day or a span, not both.")
        if start and end and start >= end:
            raise ValidationError("The span ends before it starts.")
        return cleaned

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Start and end of what a valid form names, None where it is open."""
        day = self.cleaned_data.get("day")
        if not day:
            return self.cleaned_data.get("from"), self.cleaned_data.get("until")
        start = datetime.combine(day, time.min, UTC)
        try:
            return start, start + DAY
        except OverflowError:  # the last day of the calendar
            return start, None


class TimeFilter(admin.ListFilter):
    """By time: a day or a span, both UTC; and a jump to a time, which filters nothing."""

    title = "time (UTC)"
    template = "admin/marketdata/time_filter.html"
    parameter_names: ClassVar[tuple[str, ...]] = ("day", "from", "until")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params.pop(name)[-1] for name in self.parameter_names if name in params}
        self.time_field: str = model_admin.time_field
        self.form = SpanForm(given)
        self.at = request.GET.get("at", "")
        self.is_chosen = any(given.values())

    def has_output(self) -> bool:
        """Always: the boxes are there to be filled in."""
        return True

    def expected_parameters(self) -> list[str | None]:
        """What it reads from the query string."""
        return list(self.parameter_names)

    def choices(self, changelist: Any) -> Iterator[Any]:
        """One choice, which holds what the template needs."""
        others = changelist.get_filters_params()
        keep = {**others, **({"q": [changelist.query]} if changelist.query else {})}
        span = {name: keep.pop(name) for name in self.parameter_names if name in keep}
        yield {
            "hidden": [(name, value) for name, values in keep.items() for value in values],
            "span": [(name, value) for name, values in span.items() for value in values],
            "days": self._days(changelist),
            "without": changelist.get_query_string(dict.fromkeys(self.parameter_names)),
        }

    def _days(self, changelist: Any) -> list[tuple[str, str]]:
        """The days before and after the one that is chosen."""
        day = self.form.cleaned_data.get("day") if self.form.is_valid() else None
        if day is None or not day.min + DAY < day < day.max - DAY:
            return []
        return [
            (label, changelist.get_query_string({"day": (day + step).isoformat()}))
            for label, step in (("day before", -DAY), ("day after", DAY))
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The rows of the span; what cannot be read has none, and the form says why."""
        if not self.form.is_valid():
            return queryset.none()
        start, end = self.form.bounds()
        bounds = {f"{self.time_field}__gte": start, f"{self.time_field}__lt": end}
        return queryset.filter(**{name: value for name, value in bounds.items() if value})


class LinkedFilter(admin.SimpleListFilter):
    """By what a link named, an order or a run; shown while it is chosen, to be taken back."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What the link said, if there was one."""
        chosen = self.value()
        return [(chosen, chosen)] if chosen else []

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The rows of it."""
        chosen = self.value()
        return equal(queryset, str(self.parameter_name), chosen) if chosen else queryset


class OrderFilter(LinkedFilter):
    """By the exchange's order id."""

    title = "order"
    parameter_name = "order_id"


class RunFilter(LinkedFilter):
    """By run."""

    title = "run"
    parameter_name = "run"


def equal(rows: Rows, name: str, value: str) -> Rows:
    """The rows whose column has this value; none for what is no such value at all."""
    if "\0" in value:
        return rows.none()
    try:
        return rows.filter(**{name: value})
    except (ValidationError, ValueError):
        return rows.none()
