"""Pages of the audit log and of sign-ins that were refused."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from axes.admin import AccessAttemptAdmin
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.http import HttpRequest
from django.utils.html import format_html_join
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.audit import record_of_name
from accounts.chosen_rows import CheckedKeysAdmin
from accounts.display import shown
from accounts.models import User
from accounts.tenant_admin import ReadOnlyAdmin, SuperusersOnly

# What `accounts.audit` writes into every entry, which has columns of its own.
ENVELOPE = ("owner", "event", "by")

# Its pages show the keys of apps to every superuser.
admin.site.unregister([TOTPDevice, StaticDevice])
# Its page fails at keys that no group can have.
admin.site.unregister(Group)
# Its page shows everybody's entries to everybody who may see one's own.
admin.site.unregister(LogEntry)


@admin.register(Group)
class CheckedGroupAdmin(CheckedKeysAdmin, GroupAdmin):
    """Django's page of groups."""


@admin.register(LogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """The audit log: superusers see all of it, tenants what concerns their own rows."""

    list_filter = ("action", ("timestamp", admin.DateFieldListFilter))
    list_select_related = ("content_type", "actor")
    search_fields = ("object_repr", "actor__username", "object_pk__exact")
    search_help_text = "A row by its name or id, or who changed it."
    ordering = ("-timestamp", "-pk")

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """Entries about rows of `user`, themselves among them."""
        return rows.filter(additional_data__owner=str(user.pk))

    def is_own(self, request: HttpRequest, row: Any | None) -> bool:
        """Whether the entry is about a row of the user."""
        if row is None or request.user.is_superuser:
            return True
        return (row.additional_data or {}).get("owner") == str(request.user.pk)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """When, who, from where, what."""
        time = shown(self.model._meta, "timestamp")
        return [time, "by", "remote_addr", "event", "row", "changed"]

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> list[Any]:
        """What the list shows, and the id of the row."""
        return [*self.get_list_display(request), "object_pk"]

    @admin.display(description="who", ordering="actor__username")
    def by(self, entry: Any) -> str:
        """Who did it, also after the user is deleted; a program is gridbot."""
        named = (entry.additional_data or {}).get("by")
        return str(named or entry.actor or "gridbot")

    @admin.display(description="what", ordering="action")
    def event(self, entry: Any) -> str:
        """What happened."""
        return str((entry.additional_data or {}).get("event") or entry.get_action_display())

    @admin.display(description="row")
    def row(self, entry: Any) -> str:
        """What it happened to, as it was called then."""
        return f"{entry.content_type.name}: {entry.object_repr}"

    @admin.display(description="old → new")
    def changed(self, entry: Any) -> str:
        """The columns that changed."""
        return format_html_join("", "<div>{}</div>", ((line,) for line in changes(entry)))


def changes(entry: Any) -> list[str]:
    """Each changed column with its old and new value, and the details of an event."""
    lines = [_change(entry, name, values) for name, values in sorted((entry.changes or {}).items())]
    details = (entry.additional_data or {}).items()
    lines += [f"{name}: {value}" for name, value in details if name not in ENVELOPE]
    return [line for line in lines if line]


def _change(entry: Any, name: str, change: Any) -> str:
    if isinstance(change, dict):
        sign = "+" if change["operation"] == "add" else "-"
        return f"{name}: {sign} {', '.join(change['objects'])}"
    old, new = change
    if entry.action == LogEntry.Action.UPDATE:
        return f"{name}: {old} → {new}"
    # Of a row that came or went what it held; its id is shown anyway.
    value = new if entry.action == LogEntry.Action.CREATE else old
    return "" if name == "id" or value in ("", "None", None) else f"{name}: {value}"


@admin.register(AccessAttempt)
class RefusedSignInAdmin(SuperusersOnly, AccessAttemptAdmin):  # type: ignore[misc]
    """Refused sign-ins by name and address, which lock-outs count; deleting one ends it."""

    fieldsets = None
    fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
    list_display = ("attempt_time", "username", "ip_address", "failures_since_start", "status")
    readonly_fields = fields
    actions = ()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete the row, and record it."""
        self.delete_queryset(request, self.model._default_manager.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Delete the rows, and record for each whose refused sign-ins are forgotten."""
        with transaction.atomic():
            for attempt in queryset:
                address, failures = attempt.ip_address, attempt.failures_since_start
                details = {"address": address, "failures": failures}
                record_of_name(attempt.username, "refused sign-ins deleted", details)
            super().delete_queryset(request, queryset)

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For nobody: counted, not written."""
        return False
