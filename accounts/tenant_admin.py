"""The admin's base classes: whose rows a page shows, and what a deletion would take along.

Every model that hangs on an exchange account is registered with a `TenantAdmin`; a system
check says so. Its queryset is the one door: lists, pages, actions, deletions and histories all
fetch from it, so another tenant's row answers like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db import models
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from accounts.chosen_rows import CheckedKeysAdmin
from accounts.deletion import at_leisure, cascade_counts
from accounts.display import shown
from accounts.models import BybitAccount, User
from accounts.related import Relation, tables

# Generic to the type checker alone: at run time Django's classes take no parameters.
if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class CountedDeletionMixin:
    """A confirmation page that says how many rows of each kind would go, and lists none."""

    def get_deleted_objects(
        self, objs: models.QuerySet[Any] | Sequence[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Rows, counts by kind, kinds that this user may not delete, and protected rows.

        Facts have no delete button anywhere, but they go with their account: whoever deletes
        it needs the delete permission of each kind that goes along.
        """
        rows = _as_queryset(objs)
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined]
        counts = cascade_counts(rows)
        named = [f"{capfirst(str(rows.model._meta.verbose_name))}: {row}" for row in objs]
        forbidden = {
            str(model._meta.verbose_name)
            for model in counts
            if site.is_registered(model) and not _may_delete(request, model)
        }
        return (
            named,
            {str(model._meta.verbose_name_plural): count for model, count in counts.items()},
            forbidden,
            [],
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete a row and what goes with it, however long it takes."""
        with at_leisure():
            super().delete_model(request, obj)  # type: ignore[misc]

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Delete several."""
        with at_leisure():
            super().delete_queryset(request, queryset)  # type: ignore[misc]


class SuperusersOnly(CheckedKeysAdmin):
    """Pages for superusers alone, whatever permissions others were given.

    To others no row exists: Django looks for one before it asks whether it may be seen, and
    would tell those that exist from those that do not.
    """

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """All rows for superusers, none for others."""
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        """For superusers."""
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For superusers."""
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For superusers."""
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For superusers."""
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For superusers."""
        return self.has_module_permission(request)


class TenantAdmin(CountedDeletionMixin, CheckedKeysAdmin):
    """Pages of rows that belong to tenants: superusers see all, other staff their own."""

    # From a row to its user.
    owner_path: ClassVar[str] = "user"
    show_full_result_count = False
    change_form_template = "admin/row.html"
    # Tables of other rows at the foot of a row's page.
    related: ClassVar[tuple[Relation, ...]] = ()
    # Whether people edit the rows, so that there is a history of it to look at.
    is_edited: ClassVar[bool] = True

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["gridbot/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """All rows for superusers, one's own for everybody else."""
        rows = super().get_queryset(request)
        user = request.user
        if not isinstance(user, User):
            return rows.none()
        return rows if user.is_superuser else self.own_rows(rows, user)

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """Those of `rows` that `user` may see."""
        return rows.for_user(user)  # type: ignore[attr-defined, no-any-return]

    def is_own(self, request: HttpRequest, row: Any | None) -> bool:
        """Whether the user may see `row`; no row in particular is nobody else's."""
        if row is None or request.user.is_superuser:
            return True
        owner = row
        for name in self.owner_path.split(LOOKUP_SEP):
            owner = getattr(owner, name, None)
        return bool(owner == request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """The permission of the kind, on one's own rows."""
        return super().has_view_permission(request, obj) and self.is_own(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """The permission of the kind, on one's own rows."""
        return super().has_change_permission(request, obj) and self.is_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """The permission of the kind, on one's own rows."""
        return super().has_delete_permission(request, obj) and self.is_own(request, obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What a filter of the page offers, and nothing else.

        Django's own rule lets any column of the model be asked about by any comparison.
        """
        return lookup in {
            name for offered in self.get_list_filter(request) for name in _parameters(offered)
        }

    def readable_columns(self, names: Iterable[Any]) -> list[Any]:
        """Columns as this page displays them."""
        return [name if hasattr(self, name) else shown(self.model._meta, name) for name in names]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any | None = None,
    ) -> HttpResponse:
        """Django's page of a row, with the tables of what belongs to it."""
        context["is_edited"] = self.is_edited
        if obj is not None:
            related = self.related_to(obj)
            context["related_tables"] = tables(self.admin_site, related, request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def related_to(self, row: Any) -> tuple[Relation, ...]:
        """Tables at the foot of this row's page: those of every row, unless a page knows better."""
        return self.related

    def get_field_queryset(
        self, db: str | None, db_field: Any, request: HttpRequest
    ) -> models.QuerySet[Any] | None:
        """Offer, and accept, one's own rows in a foreign key."""
        rows = super().get_field_queryset(db, db_field, request)
        user = request.user
        if not isinstance(user, User) or user.is_superuser:
            return rows
        related = db_field.remote_field.model
        if rows is None:
            rows = related._default_manager.using(db).all()
        if related is User:
            return rows.filter(pk=user.pk)
        return rows.for_user(user) if hasattr(rows, "for_user") else rows


class ReadOnlyAdmin(TenantAdmin):
    """Pages of rows that only programs write: seen, not added, changed or deleted."""

    is_edited = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """Nobody deletes; rows go with what they belong to."""
        return False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Figures in plain notation, times to the millisecond."""
        return self.readable_columns(super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> list[Any]:
        """All columns but numbers of rows and the user, who is the account's; the long ones last."""
        columns = [
            field
            for field in self.model._meta.concrete_fields
            if field.name != "user"
            and not (field.primary_key and isinstance(field, models.IntegerField))
        ]
        columns.sort(key=lambda field: isinstance(field, models.JSONField))
        return [shown(self.model._meta, field.name) for field in columns]

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> list[Any]:
        """All of them."""
        return self.get_fields(request, obj)


class TenantForm(ModelForm):
    """A form that checks unique constraints over fields that are read-only once a row exists."""

    def _get_validation_exclusions(self) -> set[str]:
        # Django leaves out a constraint when one of its fields is not in the form, and the
        # database would then answer with an error page.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        if self.instance._state.adding:
            return excluded
        return excluded - ({"account", "user"} - set(self.fields))


class AccountFilter(admin.SimpleListFilter):
    """By exchange account: one's own, or everybody's for superusers."""

    title = "account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The accounts that the user may see."""
        user = request.user
        if not isinstance(user, User):
            return []
        if not user.is_superuser:
            accounts = BybitAccount.objects.for_user(user).order_by("account_name")
            return [(str(account.pk), str(account)) for account in accounts]
        everybody = BybitAccount.objects.unscoped().select_related("user")
        return [
            (str(account.pk), f"{account.user}: {account}")
            for account in everybody.order_by("user__username", "account_name")
        ]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        """The rows of the account that was chosen; an account that is not offered has none."""
        chosen = self.value()
        if chosen is None:
            return queryset
        if chosen not in {value for value, _ in self.lookup_choices}:
            return queryset.none()
        return queryset.filter(account=chosen)


def _parameters(offered: Any) -> Iterable[str]:
    """The names in a query string that a list filter reads."""
    if isinstance(offered, tuple | list):  # a field and the class of its filter
        offered = offered[0]
    if isinstance(offered, str):
        # Of choices and flags, of a related row, and of a time.
        lookups = ("exact", "id__exact", "isnull", "gte", "lt")
        return tuple(f"{offered}{LOOKUP_SEP}{lookup}" for lookup in lookups)
    several: Iterable[str] = getattr(offered, "parameter_names", ())
    return several or (offered.parameter_name,)


def _as_queryset(objs: models.QuerySet[Any] | Sequence[Any]) -> models.QuerySet[Any]:
    if isinstance(objs, models.QuerySet):
        return objs
    keys: Iterable[Any] = [row.pk for row in objs]
    model: type[models.Model] = type(objs[0])
    return model._base_manager.filter(pk__in=keys)


def _may_delete(request: HttpRequest, model: type[models.Model]) -> bool:
    code = get_permission_codename("delete", model._meta)
    return request.user.has_perm(f"{model._meta.app_label}.{code}")
