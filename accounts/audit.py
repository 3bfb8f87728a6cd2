"""The audit log: who changed what, who signed in, when and from where, in one list.

django-auditlog keeps the list (its LogEntry) and compares rows before and after a save or a
deletion. This module says which models and columns, records what is no change of a column
(`record`), and covers the updates that send no signals (`of_update`). A column that holds a
secret is never compared, not even masked: what happened to it is an event.

Every entry names its owner in `additional_data`, so that tenants can be shown their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from auditlog.diff import model_instance_diff
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.http import HttpRequest

Action = LogEntry.Action

# What is secret, or changes without anybody's doing.
UNRECORDED = frozenset(
    {
        *("password", "sealed_secret", "secret_hint"),
        *("last_login", "date_joined", "created_at", "updated_at"),
    }
)
# Of these the fact of a change is recorded.
SEALED = "sealed_secret"
SEALED_ANEW = "secret sealed anew"
# Who does something before signing in, as against a program, which has no name at all.
NOBODY_KNOWN = "-"

_acting: ContextVar[tuple[HttpRequest, str | None] | None] = ContextVar("acting", default=None)


@contextmanager
def acting(request: HttpRequest, *, address: str | None) -> Iterator[None]:
    """Record what is changed in here as done by the user of `request`, from `address`."""
    token = _acting.set((request, address))
    try:
        yield
    finally:
        _acting.reset(token)


def audited(model: type[models.Model], *, m2m_fields: tuple[str, ...] = ()) -> None:
    """Record every creation, change and deletion of rows of `model` from now on."""
    names = [field.name for field in recorded_fields(model)]
    auditlog.register(model, include_fields=names, m2m_fields=set(m2m_fields))
    if any(field.name == SEALED for field in model._meta.concrete_fields):
        pre_save.connect(_on_saving_a_secret, sender=model, dispatch_uid=("secret", model))


def recorded_fields(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    """The columns whose old and new values are recorded: named ones, so no secret slips in."""
    return [
        field
        for field in model._meta.concrete_fields
        if field.name not in UNRECORDED and not isinstance(field, models.BinaryField)
    ]


def audited_users() -> None:
    """Record changes of users; of a password that it was changed."""
    user = get_user_model()
    audited(user, m2m_fields=("groups", "user_permissions"))
    post_save.connect(_on_saved_user, sender=user, dispatch_uid="password")
    post_delete.connect(_on_deleted_user, sender=user, dispatch_uid="actor")


def record(row: models.Model, event: str, *, by: str = "", **details: str | int) -> None:
    """Write `event` of `row` into the audit log; `details` must not hold a secret.

    `by` names who is behind it where no request says so: a command.
    """
    more = {"event": event, **details} | ({"by": by} if by else {})
    LogEntry.objects.log_create(
        row, force_log=True, action=Action.ACCESS, additional_data=owner(row) | more
    )


def record_all(events: Iterable[tuple[models.Model, dict[str, str]]]) -> None:
    """Write many events of rows at once, each with its details; no request is behind them."""
    LogEntry.objects.bulk_create(
        LogEntry(
            content_type=ContentType.objects.get_for_model(row),
            object_pk=str(row.pk),
            object_repr=str(row),
            action=Action.ACCESS,
            additional_data=owner(row) | details,
        )
        for row, details in events
    )


def record_of_name(name: str | None, event: str, details: dict[str, Any] | None = None) -> None:
    """Write an event of whoever has this name; one that nobody has could be a mistyped password."""
    user = get_user_model()._base_manager.filter(username=name).first()
    if user is not None:
        record(user, event, **(details or {}))
        return
    LogEntry.objects.create(
        content_type=ContentType.objects.get_for_model(get_user_model()),
        object_pk="",
        object_repr="unknown user",
        action=Action.ACCESS,
        additional_data={"event": event} | (details or {}),
    )


def owner(row: models.Model) -> dict[str, str]:
    """Whose `row` is, as audit entries say it; nothing for rows of nobody in particular."""
    describe = getattr(row, "get_additional_data", dict)
    return dict(describe())


@contextmanager
def of_update(rows: models.QuerySet[Any]) -> Iterator[None]:
    """Record what an update of many rows changes, for which Django sends no signals."""
    if not auditlog.contains(rows.model):
        yield
        return
    with transaction.atomic(using=rows.db):
        before = {row.pk: row for row in rows.model._base_manager.filter(pk__in=rows.values("pk"))}
        yield
        for row in rows.model._base_manager.filter(pk__in=before):
            changes = model_instance_diff(before[row.pk], row)
            if changes:
                LogEntry.objects.log_create(row, action=Action.UPDATE, changes=changes)
            _record_new_secret(before[row.pk], row)


def _on_saving_a_secret(
    sender: type[models.Model],
    instance: models.Model,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    if update_fields is not None and SEALED not in update_fields:
        return
    stored = sender._base_manager.filter(pk=instance.pk).first()
    if stored is not None:
        _record_new_secret(stored, instance)


def _record_new_secret(before: models.Model, after: models.Model) -> None:
    if bytes(getattr(before, SEALED, b"")) != bytes(getattr(after, SEALED, b"")):
        record(after, SEALED_ANEW)


def _on_saved_user(instance: Any, created: bool, **kwargs: Any) -> None:
    # Django holds the new password until the row is saved. It holds none when it merely hashes
    # the old one in a newer way, at a sign-in.
    if instance._password is not None and not created:
        record(instance, "password changed")


def _on_deleted_user(instance: Any, **kwargs: Any) -> None:
    # Who deletes themselves stands behind what went along, in entries that are younger than the
    # list of rows that Django lets go of a user.
    LogEntry.objects.filter(actor=instance.pk).update(actor=None)


def _is_gone(user: Any, entry: Any) -> bool:
    """Whether `entry` is of a deletion that `user` went with."""
    is_deletion = entry.action == Action.DELETE
    return is_deletion and not get_user_model()._base_manager.filter(pk=user.pk).exists()


def _complete(instance: Any, **kwargs: Any) -> None:
    """Fill in who and from where; the name stays when the user is deleted."""
    more = dict(instance.additional_data or {})
    now = _acting.get()
    if now is not None and instance._state.adding:
        request, instance.remote_addr = now
        user = getattr(request, "user", None)
        if instance.actor is None and user is not None and user.is_authenticated:
            instance.actor_email = user.email
            if not _is_gone(user, instance):
                instance.actor = user
            more.setdefault("by", user.get_username())
        elif instance.actor is None:
            more.setdefault("by", NOBODY_KNOWN)
    instance.additional_data = more


pre_save.connect(_complete, sender=LogEntry, dispatch_uid="who")
