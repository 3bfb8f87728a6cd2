"""Tenants' rows: every one carries its user and account, and `for_user` is the door to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models

from accounts import audit

if TYPE_CHECKING:
    from accounts.models import BybitAccount, User

OWNERSHIP = frozenset({"user", "user_id", "account", "account_id"})


class TenantQuerySet(models.QuerySet[Any]):
    """A queryset that knows whose rows it may show."""

    def for_user(self, user: User) -> Self:
        """The rows of `user` and of nobody else, whatever the user's rights."""
        return self.filter(user=user)

    def for_account(self, account: BybitAccount) -> Self:
        """The rows of one exchange account."""
        return self.filter(account=account)

    def unscoped(self) -> Self:
        """The rows of all tenants: says so where it is meant."""
        return self.all()

    def update(self, **values: Any) -> int:
        """Django's update, recorded where saves are; whose a row is, it does not change.

        `bulk_update` and the sets of related rows (`user.bybit_accounts.add`) come by here too.
        """
        if OWNERSHIP & values.keys():
            raise ValidationError("An update never moves rows to another user or account.")
        with audit.of_update(self):
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]


class AccountQuerySet(TenantQuerySet):
    """Exchange accounts: rows that belong to a user directly."""

    def for_account(self, account: BybitAccount) -> Self:
        """The account itself."""
        return self.filter(pk=account.pk)


TenantManager = models.Manager.from_queryset(TenantQuerySet)
AccountManager = models.Manager.from_queryset(AccountQuerySet)


class TenantOwned(models.Model):
    """A row that belongs to an exchange account and, through it, to a user."""

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, editable=False)
    account = models.ForeignKey("accounts.BybitAccount", on_delete=models.CASCADE)

    objects: ClassVar[models.Manager[Any]] = TenantManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Take the user from the account: the one place where the two are joined."""
        self.user_id = self.account.user_id
        update_fields = kwargs.get("update_fields")
        if update_fields is not None and OWNERSHIP & set(update_fields):
            kwargs["update_fields"] = {*update_fields, "user"}
        super().save(*args, **kwargs)

    def get_additional_data(self) -> dict[str, str]:
        """What an entry of the audit log says of the row beside its changes: whose it is."""
        return {"owner": str(self.user_id)}
