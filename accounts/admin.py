"""Pages of users, their exchange accounts, and credentials whose secret is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from accounts.models import ApiCredential, BybitAccount, User
from accounts.related import Relation
from accounts.tenant_admin import (
    AccountFilter,
    CountedDeletionMixin,
    SuperusersOnly,
    TenantAdmin,
    TenantForm,
)
from accounts.vault import VaultError

if TYPE_CHECKING:
    UserAdminBase = DjangoUserAdmin[User]
else:
    UserAdminBase = DjangoUserAdmin


@admin.register(User)
class UserAdmin(SuperusersOnly, CountedDeletionMixin, UserAdminBase):
    """Users: for superusers alone, because this page can make one."""

    list_display = ("username", "email", "status", "is_staff", "is_superuser", "last_login")
    list_filter = ("status", "is_staff", "is_superuser", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Personal info", {"fields": ("first_name", "last_name", "email")}),
        ("Sign-in and capture", {"fields": ("status",)}),
        (
            "Permissions",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["gridbot/admin.css"]}


@admin.register(BybitAccount)
class BybitAccountAdmin(TenantAdmin):
    """Exchange accounts; whose, and on which Bybit, is settled when one is added."""

    form = TenantForm
    fields: ClassVar[tuple[str, ...]] = (
        *("user", "account_name", "environment", "position_mode", "status", "status_reason"),
    )
    list_display = ("account_name", "user", "environment", "position_mode", "status")
    list_filter = ("environment", "status")
    list_select_related = ("user",)
    search_fields = ("account_name", "user__username")
    ordering = ("user__username", "account_name")
    related = (
        Relation(
            *("accounts.ApiCredential", "API credentials", {"account": "pk"}),
            ("api_key", "secret_state", "is_active", "updated_at"),
            order="-is_active",
        ),
        Relation(
            *("strategies.Strategy", "Strategies", {"account": "pk"}),
            ("name", "symbol", "is_enabled", "updated_at"),
            order="name",
        ),
        Relation(
            *("strategies.Run", "Runs", {"account": "pk"}),
            ("started_at", "run_type", "status", "ended_at"),
            order="-started_at",
        ),
    )

    def get_fields(self, request: HttpRequest, obj: BybitAccount | None = None) -> tuple[str, ...]:
        """The user of an account as a link to their page, for those who may go there."""
        if obj is None or request.user.is_superuser:
            return self.fields
        return ("owner", *self.fields[1:])

    def get_readonly_fields(
        self, request: HttpRequest, obj: BybitAccount | None = None
    ) -> tuple[str, ...]:
        """Facts hang on the account: they do not become another user's, or another exchange's."""
        return ("user", "owner", "environment") if obj else ()

    @admin.display(description="user")
    def owner(self, account: BybitAccount) -> str:
        """The user's name."""
        return account.user.get_username()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """One's own account, unless a superuser says otherwise."""
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}


class ApiCredentialForm(TenantForm):
    """An API key, and a secret that goes in and never comes out."""

    secret = forms.CharField(
        max_length=256,
        widget=forms.PasswordInput(
            render_value=False, attrs={"autocomplete": "new-password", "size": 50}
        ),
        help_text="Stored sealed; it is not shown again.",
    )

    class Meta:
        model = ApiCredential
        fields = ("account", "api_key", "secret", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A page for looking only has no field for the secret at all.
        if not self.instance._state.adding and "secret" in self.fields:
            self.fields["secret"].required = False
            self.fields["secret"].help_text = f"{described(self.instance)} Blank keeps it."

    def clean(self) -> dict[str, Any]:
        """A secret belongs to its key: a new key comes with its own."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        changed = not self.instance._state.adding and "api_key" in self.changed_data
        if changed and not cleaned.get("secret") and "secret" not in self.errors:
            self.add_error("secret", "A new API key comes with a secret of its own: enter it.")
        return cleaned

    def _post_clean(self) -> None:
        # Sealed here and not on saving, so that a missing key is said beside the field. The
        # instance has its account by now.
        super()._post_clean()  # type: ignore[misc]
        secret = self.cleaned_data.get("secret")
        if secret and not self.errors:
            try:
                self.instance.seal_secret(secret)
            except VaultError as error:
                self.add_error("secret", str(error))


@admin.register(ApiCredential)
@method_decorator(sensitive_post_parameters("secret"), name="changeform_view")
class ApiCredentialAdmin(TenantAdmin):
    """Credentials: one active for each account."""

    form = ApiCredentialForm
    fields: ClassVar[tuple[str, ...]] = ("account", "api_key", "secret", "is_active")
    # What check_account found out.
    judged: ClassVar[tuple[str, ...]] = ("refusal", "checked_at", "expires_at")
    list_display = ("api_key", "account", "secret_state", "is_active", *judged, "updated_at")
    list_filter = ("is_active", AccountFilter)
    list_select_related = ("account",)
    search_fields = ("api_key__exact",)
    ordering = ("account", "-is_active", "-created_at")

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiCredential | None = None
    ) -> tuple[str, ...]:
        """The secret is sealed for its account and opens for no other; people judge no key."""
        return ("account", *self.judged) if obj else ()

    def get_fields(self, request: HttpRequest, obj: ApiCredential | None = None) -> tuple[str, ...]:
        """Where nothing may be changed, the state of the secret stands for its field."""
        if obj is None:
            return self.fields
        secret = "secret" if self.has_change_permission(request, obj) else "secret_state"
        return ("account", "api_key", secret, "is_active", *self.judged)

    @admin.display(description="secret")
    def secret_state(self, credential: ApiCredential) -> str:
        """What may be known of the secret."""
        return described(credential)

    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Django's view; an error report leaves the secret out."""
        return super().changeform_view(*args, **kwargs)


def described(credential: ApiCredential) -> str:
    """Whether the secret is set, and its end, for a person to recognise it by."""
    if not credential.sealed_secret:
        return "Not set."
    return f"Set, ends with {credential.secret_hint}." if credential.secret_hint else "Set."
