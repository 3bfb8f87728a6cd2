"""The one door between the dashboard and the tables."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name


def seen(request: HttpRequest, model: type[models.Model]) -> models.QuerySet[Any]:
    """The rows of `model` that its own pages would show to this user, in no order.

    Whoever may not look at the kind sees none.
    """
    page: Any = admin.site.get_model_admin(model)
    rows = page.get_queryset(request).order_by()
    return rows if page.has_view_permission(request) else rows.none()  # type: ignore[no-any-return]


def name_of(request: HttpRequest, account: BybitAccount) -> str:
    """What an account is called: for whoever sees those of others with its user's name."""
    return full_name(account) if request.user.is_superuser else str(account.account_name)


def row_url(model: type[models.Model], key: Any) -> str:
    """The page of a row."""
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[key])


def list_url(model: type[models.Model]) -> str:
    """The list of a kind."""
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
