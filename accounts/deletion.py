"""What would go with a row: counted by the database, never loaded.

Django's own confirmation page loads and lists every related row, which a tenant with millions
of facts would wait for in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction


@contextmanager
def at_leisure() -> Iterator[None]:
    """A transaction without the limit of pages: one statement deletes all rows of a kind, and
    cutting it off would only have somebody begin it again."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
        yield


def cascade_counts(rows: models.QuerySet[Any]) -> dict[type[models.Model], int]:
    """How many rows of each model a deletion of `rows` deletes, `rows` themselves first."""
    doomed: dict[type[models.Model], models.QuerySet[Any] | None] = {rows.model: rows}
    for model in apps.get_models():
        _doomed(model, doomed)
    counts = {model: found.count() for model, found in doomed.items() if found is not None}
    return {model: count for model, count in counts.items() if count}


def _doomed(
    model: type[models.Model], known: dict[type[models.Model], models.QuerySet[Any] | None]
) -> models.QuerySet[Any] | None:
    """The rows of `model` that one of its cascading foreign keys takes along, None for none."""
    if model in known:
        return known[model]
    known[model] = None  # A circle of foreign keys ends here.
    condition = models.Q()
    for field in model._meta.concrete_fields:
        relation = field.remote_field
        if relation is None or relation.on_delete is not models.CASCADE:
            continue
        parents = _doomed(relation.model, known)
        if parents is not None:
            condition |= models.Q((f"{field.name}__in", parents.order_by().values("pk")))
    if condition:
        known[model] = model._base_manager.filter(condition)
    return known[model]
