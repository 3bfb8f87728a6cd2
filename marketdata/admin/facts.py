"""The base classes of the pages of facts: seen, never edited, on tables of any size.

A list is ordered the way an index runs, filtered by what an index begins with, searched for
equality, paged by key, and counted only as far as a person would turn the pages.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET

from accounts.models import User
from accounts.tenant_admin import AccountFilter, ReadOnlyAdmin
from marketdata.admin.export import as_csv
from marketdata.admin.filters import SymbolFilter, TimeFilter, equal
from marketdata.admin.paging import EstimatingPaginator, FactList

# Messages of the exchange; their pages show them without what looks like a secret.
AS_SENT = (models.JSONField, models.TextField)
Filters = tuple[str | type[admin.ListFilter], ...]


class FactAdmin(ReadOnlyAdmin):
    """Facts of an account, for its user; with `Public` before it they are everybody's."""

    # The column of time that the list is ordered and paged by, after it the number of the row.
    time_field: ClassVar[str] = "exchange_ts"
    paginator = EstimatingPaginator
    show_full_result_count = False
    # Counts beside each filter would each read the table.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 100
    sortable_by = ()
    list_filter: ClassVar[Filters] = (TimeFilter, AccountFilter)
    list_select_related: ClassVar[Any] = ("account",)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first."""
        return (f"-{self.time_field}", "-id")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """A list that keeps to its indexes."""
        return FactList

    def get_urls(self) -> list[URLPattern]:
        """Those of every page, and the export of the list."""
        options = self.model._meta
        name = f"{options.app_label}_{options.model_name}_export"
        view = self.admin_site.admin_view(require_GET(self.export_view))
        return [path("export/", view, name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list that the query string names, whole, as CSV; the same rows and the same rights."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect("../?e=1")
        return as_csv(rows, self.time_field, self.exported_columns())

    def exported_columns(self) -> list[models.Field[Any, Any]]:
        """All but the user, who is the account's, the message as sent, and what is left out here."""
        hidden = {"user", self.model._meta.pk.name, *(self.exclude or ())}
        return [
            field
            for field in self.model._meta.concrete_fields
            if field.name not in hidden and not isinstance(field, AS_SENT)
        ]


class Public:
    """Rows for everybody who may look at their kind; nobody's in particular."""

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """All of them."""
        return rows

    def is_own(self, request: HttpRequest, row: Any | None) -> bool:
        """Nobody's in particular."""
        return True


class SymbolSearch(ReadOnlyAdmin):
    """A search box that takes a symbol."""

    search_fields = ("symbol__exact",)
    search_help_text = "A symbol, for example BTCUSDT."

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The symbol's rows; more than one word is no symbol."""
        symbol, *more = search_term.split() or [""]
        rows = equal(queryset, "symbol", symbol.upper()) if symbol else queryset
        return rows.none() if more else rows, False


class MarketAdmin(Public, SymbolSearch, FactAdmin):
    """Facts of a symbol."""

    list_filter: ClassVar[Filters] = (TimeFilter, SymbolFilter)
    list_select_related = False
