"""Whatever hangs on a user, and the rows of three people: a tenant, a stranger and an operator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from importlib import import_module
from typing import Any

from auditlog.models import LogEntry as AuditEntry
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import models

from accounts.models import BybitAccount, User
from accounts.tests.cast import grant_tenant_permissions
from accounts.tests.factories import UserFactory
from marketdata.models import Order, PrivateExecution, Stream
from marketdata.tests.factories import InstrumentFactory, TickerSnapshotFactory
from strategies.models import Run, Strategy

Row = Any
# The beginnings of whatever is the stranger's, and of what is nobody's.
CANARY, NOBODY = "~zq", "~no"
DAYS = {CANARY: datetime(2031, 7, 19, tzinfo=UTC), NOBODY: datetime(2033, 5, 19, tzinfo=UTC)}
FIGURES = {CANARY: "7770000", NOBODY: "6660000"}
ADDRESSES = {CANARY: "203.0.113.77", NOBODY: "203.0.113.99"}
NUMBERS = {CANARY: 1_900_000_001, NOBODY: 1_950_000_001}
WRITTEN_DAY = r"2031-07-1[89]|20310719|July 19, 2031"
# Public words, the same for everybody; and what the row is found, or found out, by.
UNMARKED = {"symbol", "coin", "additional_data", "changes", "object_pk", "persistent_id"}


def tenant_models() -> list[type[models.Model]]:
    """Every model from which foreign keys, or a user's name, lead to a user."""
    found: set[type[models.Model]] = {User}
    everything = apps.get_models()
    while more := {model for model in everything if model not in found and _hangs(model, found)}:
        found |= more
    return [model for model in everything if model in found]


def _hangs(model: type[models.Model], on: set[type[models.Model]]) -> bool:
    return any(
        column.related_model in on or column.name == "username"
        for column in model._meta.concrete_fields
    )


# --- A row of each kind -------------------------------------------------------------------


def _third_party(label: str, **values: Callable[[BybitAccount], Any]) -> Callable[..., Row]:
    def make(account: BybitAccount, **more: Any) -> Row:
        given = {name: value(account) for name, value in values.items()}
        return apps.get_model(label)._default_manager.create(**given, **more)

    return make


def _attempt(account: BybitAccount, **more: Any) -> AccessAttempt:
    return AccessAttempt.objects.get_or_create(
        username=account.user.username, failures_since_start=3, defaults=more
    )[0]


def _device(account: BybitAccount, **more: Any) -> Row:
    devices = apps.get_model("otp_static.StaticDevice")._default_manager
    return devices.get_or_create(user=account.user, name="codes", defaults=more)[0]


def _content_type(account: BybitAccount) -> ContentType:
    return ContentType.objects.get_for_model(account)


# Of models without a factory of their own beside their app's tests.
MAKERS: dict[str, Callable[..., Row]] = {
    "accounts.User": lambda account, **more: account.user,
    "accounts.BybitAccount": lambda account, **more: account,
    "admin.LogEntry": _third_party(
        "admin.LogEntry",
        user=lambda account: account.user,
        content_type=_content_type,
        object_id=lambda account: str(account.pk),
        action_flag=lambda account: 2,
    ),
    "auditlog.LogEntry": _third_party(
        "auditlog.LogEntry",
        actor=lambda account: account.user,
        content_type=_content_type,
        object_pk=lambda account: str(account.pk),
        action=lambda account: AuditEntry.Action.UPDATE,
        changes=lambda account: {"account_name": ["before", account.account_name]},
        additional_data=lambda account: account.get_additional_data(),
    ),
    "axes.AccessAttempt": _attempt,
    "axes.AccessAttemptExpiration": _third_party(
        "axes.AccessAttemptExpiration", access_attempt=_attempt, expires_at=lambda _: DAYS[CANARY]
    ),
    "axes.AccessFailureLog": _third_party("axes.AccessFailureLog"),
    "axes.AccessLog": _third_party("axes.AccessLog"),
    "otp_totp.TOTPDevice": _third_party(
        "otp_totp.TOTPDevice", user=lambda account: account.user, name=lambda _: "phone"
    ),
    "otp_static.StaticDevice": _device,
    "otp_static.StaticToken": _third_party("otp_static.StaticToken", device=_device),
}


def make(model: type[models.Model], account: BybitAccount, **values: Any) -> Row:
    """A row of `model` that belongs to the account's user."""
    maker = MAKERS.get(model._meta.label)
    if maker is not None:
        return maker(account, **values)
    try:
        factories = import_module(f"{model._meta.app_label}.tests.factories")
        factory = getattr(factories, f"{model.__name__}Factory")
    except (ImportError, AttributeError):
        raise AssertionError(
            f"{model._meta.label} hangs on a user, and nobody can make one: add a "
            f"{model.__name__}Factory to {model._meta.app_label}/tests/factories.py, or an entry "
            "to MAKERS in gridbot_site/tests/isolation/models.py."
        ) from None
    if "stream" in {column.name for column in model._meta.concrete_fields}:
        values |= {"stream": Stream.EXECUTIONS, "symbol": ""}
    return factory.create(account=account, **values)


# --- Canaries -----------------------------------------------------------------------------


def mark(column: models.Field[Any, Any], prefix: str, number: int = 0) -> Any:
    """A value of `column` that tells whose it is; None where no such value fits."""
    if column.primary_key:
        return uuid.uuid4() if isinstance(column, models.UUIDField) else NUMBERS[prefix]
    if column.is_relation or column.choices or column.name in UNMARKED:
        return None
    if isinstance(column, models.CharField | models.TextField):
        room = column.max_length or 100
        return f"{prefix}{number:02d}{column.name}"[:room] if room >= 8 else None
    if isinstance(column, models.JSONField):
        return {"note": f"{prefix}{number:02d}{column.name}"}
    if isinstance(column, models.DecimalField):
        return Decimal(f"{FIGURES[prefix]}{number:02d}.5")
    if isinstance(column, models.DateTimeField):
        return DAYS[prefix] + timedelta(seconds=number)
    return ADDRESSES[prefix] if isinstance(column, models.GenericIPAddressField) else None


def _mark_all(row: Row, number: int) -> None:
    values = {
        column.name: value
        for column in row._meta.concrete_fields
        if not column.primary_key and (value := mark(column, CANARY, number)) is not None
    }
    if values:
        row._meta.model._base_manager.filter(pk=row.pk).update(**values)
        row.refresh_from_db()


@dataclass
class Scene:
    """The tenant who looks, the stranger, and a row of each kind of both."""

    tenant: User
    stranger: User
    operator: User
    own: dict[type[models.Model], Row] = field(default_factory=dict)
    foreign: dict[type[models.Model], Row] = field(default_factory=dict)

    @cached_property
    def canaries(self) -> re.Pattern[str]:
        """Whatever is the stranger's alone."""
        keys = {str(row.pk) for row in self.foreign.values()}
        keys |= {key.replace("-", "") for key in keys}
        fixed = (re.escape(ADDRESSES[CANARY]), FIGURES[CANARY] + r"\d\d", WRITTEN_DAY, CANARY)
        return re.compile("|".join([*fixed, *sorted(keys)]))


def set_the_scene() -> Scene:
    """Plant a row of each kind for the tenant, and one full of canaries for the stranger."""
    tenant, stranger, operator = (
        UserFactory.create(username=name) for name in ("tenant", "stranger", "operator")
    )
    scene = Scene(tenant, stranger, operator)
    grant_tenant_permissions(scene.tenant)
    accounts = [
        BybitAccount.objects.create(user=user, account_name=f"of {user}", environment="sandbox")
        for user in (tenant, stranger)
    ]
    InstrumentFactory.create()
    TickerSnapshotFactory.create()
    found = tenant_models()
    for rows, account in zip((scene.own, scene.foreign), accounts, strict=True):
        for number, model in enumerate(found):
            key = model._meta.pk
            is_numbered = isinstance(key, models.AutoField | models.BigAutoField)
            is_strangers = rows is scene.foreign
            values = {"pk": NUMBERS[CANARY] + 1000 * number} if is_numbered and is_strangers else {}
            rows[model] = make(model, account, **values)
    for number, model in enumerate(found):
        _mark_all(scene.foreign[model], number)
    _entangle(scene)
    return scene


def _entangle(scene: Scene) -> None:
    """What no writer would write: the stranger's facts hang on the tenant's run, too."""
    for model in (PrivateExecution, Order):
        stray = model.objects.filter(pk=scene.foreign[model].pk)
        stray.update(run=scene.own[Run], order_id=scene.own[model].order_id)
    Run.objects.filter(pk=scene.foreign[Run].pk).update(strategy=scene.own[Strategy])
    # An operator has seen to the tenant's account.
    make(AuditEntry, scene.own[BybitAccount])
    AuditEntry.objects.filter(additional_data__owner=str(scene.tenant.pk)).update(
        actor=scene.operator
    )


def nobody(model: type[models.Model]) -> str:
    """A key that no row of `model` has."""
    return str(mark(model._meta.pk, NOBODY))


def beyond(scene: Scene, model: type[models.Model]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Columns of people by way of a row: whoever guesses a password hash would begin here."""
    person = scene.operator if model._meta.app_label == "auditlog" else scene.stranger
    values = (person.password[:8], NOBODY * 2)
    for column in model._meta.concrete_fields:
        if column.related_model is User:
            yield f"{column.name}__password__startswith", values
        elif column.related_model is BybitAccount:
            yield f"{column.name}__user__password__startswith", values
