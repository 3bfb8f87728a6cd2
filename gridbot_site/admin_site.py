"""The admin, behind a second factor."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, include, path, reverse
from django.views.decorators.debug import sensitive_variables

from gridbot_site import second_factor
from gridbot_site.dashboard import views
from gridbot_site.second_factor_forms import is_own_password


class SignInForm(AdminAuthenticationForm):
    """Name and password; a name longer than any is refused before it is looked for, and counted.

    Django gives the limit to the browser alone, and PostgreSQL takes no such name into the count.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name: Any = self.fields["username"]
        name.validators.append(MaxLengthValidator(name.max_length))


class NewPasswordForm(AdminPasswordChangeForm):
    """A new password for an old one, of which a wrong one counts like one at the sign-in."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    @sensitive_variables("password")
    def clean_old_password(self) -> str:
        """The user's own password."""
        password: str = self.cleaned_data["old_password"]
        if not is_own_password(self.request, password):
            raise ValidationError(
                self.error_messages["password_incorrect"], code="password_incorrect"
            )
        return password


class GridbotAdminSite(AdminSite):
    """Django's admin: whoever has to give a code sees no page of it before they have."""

    login_form = SignInForm
    site_header = site_title = "gridbot"
    # There is no other site to view.
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        """For active members of staff who have given a code where one is wanted."""
        return super().has_permission(request) and not second_factor.code_wanted(request.user)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the password; whose password is known already goes on to the code."""
        halfway = super().has_permission(request) and second_factor.code_wanted(request.user)
        if halfway and request.method == "GET":
            url = reverse("admin:second_factor_verify")
            after = request.GET.get(REDIRECT_FIELD_NAME, "")
            query = f"?{urlencode({REDIRECT_FIELD_NAME: after})}" if after else ""
            return HttpResponseRedirect(url + query)
        return super().login(request, extra_context)

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Django's page with a form of our own, which Django has no setting for."""
        form: Any = partial(NewPasswordForm, request)
        view = PasswordChangeView.as_view(
            form_class=form,
            success_url=reverse("admin:password_change_done"),
            extra_context=self.each_context(request) | (extra_context or {}),
        )
        return view(request)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The dashboard, and below it Django's list of kinds."""
        return super().index(request, views.first_context(request) | (extra_context or {}))

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Django's pages, those of the dashboard and the second factor, and a way out for those halfway in."""
        account = "accounts/bybitaccount/<uuid:account_id>/dashboard/"
        name = "accounts_bybitaccount_dashboard"
        return [
            path("logout/", self.logout, name="logout"),
            path("dashboard/live/", self.admin_view(views.first_live), name="dashboard_live"),
            path(account, self.admin_view(views.account), name=name),
            path(f"{account}live/", self.admin_view(views.account_live), name=f"{name}_live"),
            path("second-factor/", include(second_factor.urls)),
            # Django's way to a row on the site looks up any row of any model, whosever it is.
            *(url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"),
        ]
