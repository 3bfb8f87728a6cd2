"""Tenants' rows: every one carries its user and account, and `for_user` is the door to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models

if TYPE_CHECKING:
    from accounts.models import BybitAccount, User


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


TenantManager = models.Manager.from_queryset(TenantQuerySet)


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
        super().save(*args, **kwargs)
