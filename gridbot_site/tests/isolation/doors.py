"""The doors in code: querysets of a user, and what a page permits on a row that is at hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.test import RequestFactory

from accounts.models import BybitAccount
from gridbot_site.tests.isolation.models import Scene

PERMISSIONS = ("has_view_permission", "has_change_permission", "has_delete_permission")


def wrongs(scene: Scene) -> tuple[list[str], int]:
    """What is open that should be shut, and how many doors there are."""
    found: list[str] = []
    count = 0
    request = RequestFactory().get("/")
    request.user = scene.tenant
    account = scene.own[BybitAccount]
    for model, foreign in scene.foreign.items():
        for manager in (each for each in model._meta.managers if hasattr(each, "for_user")):
            rows: Any = getattr(model, manager.name)
            own = scene.own[model]
            for door, shown in (
                ("for_user", rows.for_user(scene.tenant)),
                ("for_account", rows.for_account(account)),
            ):
                count += 1
                keys = set(shown.values_list("pk", flat=True))
                if foreign.pk in keys or own.pk not in keys:
                    found.append(f"{model.__name__}.{manager.name}.{door} shows {keys}")
        page = admin.site._registry.get(model)
        for name in PERMISSIONS if page else ():
            count += 1
            if getattr(page, name)(request, foreign):
                found.append(f"{type(page).__name__}.{name} permits the stranger's row")
    return found, count
