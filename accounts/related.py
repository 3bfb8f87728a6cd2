"""Tables of other rows at the foot of a row's page: an order's executions, an account's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import display_for_field, label_for_field, lookup_field
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import capfirst

MOST = 50


class Relation(NamedTuple):
    """Rows of `model` (app and name) whose columns, the keys of `match`, have the row's values.

    `match` serves as the query string of their list, too, so its keys are filters there.
    """

    model: str
    title: str
    match: Mapping[str, str]
    columns: tuple[str, ...]
    order: str


class Table(NamedTuple):
    """What the template shows: the first cell of each line links to `url`."""

    title: str
    headers: list[str]
    lines: list[tuple[str, list[Any]]]
    # The list of all of them; empty where the user may not see it.
    url: str
    has_more: bool


def tables(
    site: admin.AdminSite, relations: tuple[Relation, ...], request: HttpRequest, row: Any
) -> list[Table]:
    """The tables that the user may see, each through the queryset of its own page."""
    found = [_table(site, relation, request, row) for relation in relations]
    return [table for table in found if table is not None]


def _table(
    site: admin.AdminSite, relation: Relation, request: HttpRequest, row: Any
) -> Table | None:
    model = apps.get_model(relation.model)
    page: Any = site.get_model_admin(model)
    if not page.has_view_permission(request):
        return None
    match = {name: getattr(row, own) for name, own in relation.match.items()}
    related = page.get_queryset(request).filter(**match).order_by(relation.order, "pk")
    rows = list(related[: MOST + 1])
    columns = page.readable_columns(relation.columns)
    address = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return Table(
        title=relation.title,
        headers=[capfirst(str(label_for_field(column, model, page))) for column in columns],
        lines=[
            (
                reverse(f"{address}_change", args=[other.pk]),
                [_cell(column, other, page) for column in columns],
            )
            for other in rows[:MOST]
        ],
        url=f"{reverse(f'{address}_changelist')}?{urlencode(match)}",
        has_more=len(rows) > MOST,
    )


def _cell(column: Any, row: models.Model, page: Any) -> Any:
    field, _, value = lookup_field(column, row, page)
    return value if field is None else display_for_field(value, field, "-")
