"""Users, their exchange accounts, and the sealed credentials of these."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.views.decorators.debug import sensitive_variables

from accounts import vault
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
    """One Bybit account of one user; the user never changes."""

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
        """Refuse to move the account, and with it every fact, to another user."""
        # Asked of the table, not of the instance: a second instance with the same key would
        # not know whose the row is.
        stored = BybitAccount.objects.unscoped().filter(pk=self.pk).exclude(user=self.user_id)
        if stored.exists():
            raise ValidationError({"user": "An account never changes its user."})
        super().save(*args, **kwargs)

    def get_additional_data(self) -> dict[str, str]:
        """Whose an entry of the audit log about the account is."""
        return {"owner": str(self.user_id)}


class ApiCredential(TenantOwned):
    """An API key and its sealed secret; the secret is written, never shown."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    api_key = models.CharField("API key", max_length=64)
    sealed_secret = models.BinaryField(editable=False)
    secret_hint = models.CharField(max_length=4, editable=False, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

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

    @sensitive_variables("secret")
    def seal_secret(self, secret: str) -> None:
        """Seal `secret` for this row. Raises vault.VaultError when no key is configured."""
        self.sealed_secret = vault.seal(secret, context=self._context())
        self.secret_hint = secret[-4:] if len(secret) >= 16 else ""

    def open_secret(self) -> str:
        """The secret in the clear, for the connection that needs it.

        Raises vault.VaultError when no configured key opens it, or when it was sealed for
        another row.
        """
        return vault.open_sealed(bytes(self.sealed_secret), context=self._context())

    def _context(self) -> tuple[str, ...]:
        return (str(self.account.user_id), str(self.account_id), str(self.pk), "secret")
