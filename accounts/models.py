"""Users, their exchange accounts, and the sealed credentials of these."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.views.decorators.debug import sensitive_variables

from accounts import access_log, vault
from accounts.secret import Secret
from accounts.tenancy import AccountManager, TenantOwned


class User(AbstractUser):
    """A tenant, or an operator (superuser)."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        DELETED = "deleted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(
        max_length=10,
        choices=Status,
        default=Status.ACTIVE,
        help_text="Capture serves the accounts of active users only.",
    )

    class Meta:
        db_table = "users"

    def get_additional_data(self) -> dict[str, str]:
        """Whose an entry of the audit log about the user is."""
        return {"owner": str(self.pk)}


class BybitAccount(models.Model):
    """One Bybit account of one user; neither the user nor the environment ever changes."""

    class Environment(models.TextChoices):
        MAINNET = "mainnet"
        TESTNET = "testnet"
        DEMO = "demo"
        SANDBOX = "sandbox"

    class Status(models.TextChoices):
        ENABLED = "enabled"
        DISABLED = "disabled"
        ERROR = "error"

    class PositionMode(models.TextChoices):
        HEDGE = "hedge"
        ONE_WAY = "one_way", "one-way"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="bybit_accounts")
    account_name = models.CharField(max_length=100)
    environment = models.CharField(max_length=10, choices=Environment, default=Environment.TESTNET)
    status = models.CharField(max_length=10, choices=Status, default=Status.ENABLED)
    status_reason = models.CharField(
        max_length=200, blank=True, help_text="Why the account is set aside, in one sentence."
    )
    position_mode = models.CharField(
        max_length=10, choices=PositionMode, default=PositionMode.HEDGE
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AccountManager()

    class Meta:
        db_table = "bybit_accounts"
        # Related managers update through the base manager: ours refuses to move accounts.
        base_manager_name = "objects"
        verbose_name = "Bybit account"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "account_name"],
                name="account_name_once_per_user",
                violation_error_message="The user has an account of this name already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_name} ({self.environment})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to move the account, and with it every fact, to another user or exchange."""
        # Asked of the table, not of the instance: a second instance with the same key would
        # not know whose the row is.
        stored = BybitAccount.objects.unscoped().filter(pk=self.pk)
        if stored.exclude(user=self.user_id).exists():
            raise ValidationError({"user": "An account never changes its user."})
        if stored.exclude(environment=self.environment).exists():
            raise ValidationError({"environment": "An account never changes its environment."})
        super().save(*args, **kwargs)

    def get_additional_data(self) -> dict[str, str]:
        """Whose an entry of the audit log about the account is."""
        return {"owner": str(self.user_id)}


# What seals a secret, and what judges a key, writes these, and nobody else: see ApiCredential.save.
SEALED_FIELDS = frozenset({"sealed_secret", "secret_hint"})
JUDGED_FIELDS = frozenset({"refusal", "checked_at", "expires_at"})


class ApiCredential(TenantOwned):
    """An API key and its sealed secret; the secret is written, never shown."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    api_key = models.CharField("API key", max_length=64)
    sealed_secret = models.BinaryField(editable=False)
    secret_hint = models.CharField(max_length=4, editable=False, blank=True)
    is_active = models.BooleanField(default=True)
    refusal = models.CharField(
        max_length=200, blank=True, editable=False, help_text="Why gridbot does not use this key."
    )
    checked_at = models.DateTimeField(
        null=True, editable=False, help_text="When the exchange was asked what the key may do."
    )
    expires_at = models.DateTimeField(
        null=True, editable=False, help_text="When the key expires, as the exchange said."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    _sealed_here = False

    class Meta:
        db_table = "api_credentials"
        verbose_name = "API credential"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account"],
                condition=models.Q(is_active=True),
                name="one_active_credential_per_account",
                violation_error_message=(
                    "The account has an active credential already: deactivate that one first."
                ),
            )
        ]

    def __str__(self) -> str:
        return f"API key {self.api_key[:4]}…"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the sealed secret where it was sealed anew, and forget what a former key may do.

        A page that was read before a rotation and is saved after it would otherwise put the
        secret back under a key that is about to be retired. A refusal is of a key: entering the
        secret of the same one again does not lift it.
        """
        if not (self._state.adding or "update_fields" in kwargs):
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            if not self._sealed_here:
                names -= SEALED_FIELDS | JUDGED_FIELDS
            elif self._is_new_key():
                self.refusal, self.checked_at, self.expires_at = "", None, None
            else:
                names -= JUDGED_FIELDS
            kwargs["update_fields"] = names
        super().save(*args, **kwargs)
        self._sealed_here = False

    def _is_new_key(self) -> bool:
        # Asked of the table: the instance does not know what it was read as.
        stored = ApiCredential.objects.unscoped().filter(pk=self.pk)
        return not stored.filter(api_key=self.api_key).exists()

    @sensitive_variables("secret")
    def seal_secret(self, secret: str) -> None:
        """Seal `secret` for this row. Raises vault.VaultError when no key is configured."""
        self.sealed_secret = vault.seal(secret, self.binding())
        self.secret_hint = secret[-4:] if len(secret) >= 16 else ""
        self._sealed_here = True

    def open_secret(self, purpose: str) -> Secret:
        """The secret, for the connection that needs it; the audit log is told of the `purpose`.

        Raises vault.VaultError when no configured key opens it, or when it was sealed for
        another row. A failing audit log does not keep it shut: see `access_log.note_opening`.
        """
        secret = vault.open_sealed(bytes(self.sealed_secret), self.binding())
        access_log.note_opening(self, purpose)
        return secret

    def binding(self) -> vault.Binding:
        """What the sealed secret is bound to."""
        return vault.Binding(
            tenant=str(self.account.user_id),
            account=str(self.account_id),
            environment=self.account.environment,
            row=str(self.pk),
            field="secret",
        )
