"""The exchange accounts that capture serves, as it needs to know them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.utils import timezone

from accounts.models import ApiCredential, BybitAccount, User
from accounts.secret import Secret
from accounts.vault import Binding, VaultError
from marketdata.bybit.environments import Environment

NO_CREDENTIAL: Final = "The account has no active credential."
SERVED = (BybitAccount.Status.ENABLED, BybitAccount.Status.ERROR)


@dataclass(frozen=True, kw_only=True)
class AccountContext:
    """One account with what its connection needs; the key is not in its repr.

    Two contexts are equal when a running connection need not be changed.
    """

    account_id: UUID
    user_id: UUID
    name: str = field(compare=False)
    environment: Environment
    hedge_mode: bool
    api_key: str = field(repr=False)
    api_secret: Secret


class OpenedSecrets:
    """Secrets that were opened for `purpose`; what was not sealed anew since is not opened again.

    Who looks at the accounts every few seconds would otherwise fill the audit log.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._opened: dict[UUID, tuple[bytes, Binding, Secret]] = {}

    def secret_of(self, credential: ApiCredential) -> Secret:
        """The secret. Raises VaultError when it does not open."""
        blob, binding = bytes(credential.sealed_secret), credential.binding()
        known = self._opened.get(credential.pk)
        if known is not None and known[:2] == (blob, binding):
            return known[2]
        secret = credential.open_secret(self._purpose)
        self._opened[credential.pk] = (blob, binding, secret)
        return secret

    def forget_others(self, credentials: Collection[UUID]) -> None:
        """Keep the secrets of these credentials alone."""
        for gone in self._opened.keys() - set(credentials):
            del self._opened[gone]


@dataclass(frozen=True)
class Roster:
    """The accounts to serve now, and those that cannot be, with the reason."""

    contexts: tuple[AccountContext, ...]
    set_aside: dict[UUID, str]
    names: dict[UUID, str]


def read_roster(names: Collection[str] = (), *, secrets: OpenedSecrets) -> Roster:
    """Every enabled account of every active user, or those that `names` pick.

    An account that was set aside before is asked again: only its user switches it off for good.
    One whose key `check_account` has refused is set aside until it has another key, or the
    exchange says something else of this one.
    """
    accounts = BybitAccount.objects.unscoped().filter(
        status__in=SERVED, user__status=User.Status.ACTIVE, user__is_active=True
    )
    if names:
        accounts = accounts.filter(pk__in=[account.pk for account in named(names).values()])
    credentials = {
        credential.account_id: credential
        for credential in ApiCredential.objects.unscoped()
        .filter(is_active=True, account__in=accounts)
        .select_related("account")
    }
    contexts: list[AccountContext] = []
    set_aside: dict[UUID, str] = {}
    display: dict[UUID, str] = {}
    for account in accounts.select_related("user").order_by("created_at", "pk"):
        display[account.pk] = full_name(account)
        try:
            contexts.append(_context(account, credentials.get(account.pk), secrets))
        except VaultError as error:
            set_aside[account.pk] = str(error)
    secrets.forget_others([credential.pk for credential in credentials.values()])
    return Roster(tuple(contexts), set_aside, display)


def _context(
    account: BybitAccount, credential: ApiCredential | None, secrets: OpenedSecrets
) -> AccountContext:
    if credential is None:
        raise VaultError(NO_CREDENTIAL)
    if credential.refusal:
        raise VaultError(credential.refusal)
    return context_of(account, credential, secrets)


def context_of(
    account: BybitAccount, credential: ApiCredential, secrets: OpenedSecrets
) -> AccountContext:
    """What a connection with this key needs. Raises VaultError when its secret does not open."""
    return AccountContext(
        account_id=account.pk,
        user_id=account.user_id,
        name=full_name(account),
        environment=Environment(account.environment),
        hedge_mode=account.position_mode == BybitAccount.PositionMode.HEDGE,
        api_key=credential.api_key,
        api_secret=secrets.secret_of(credential),
    )


def note_state(account_id: UUID, reason: str) -> None:
    """Write down that an account is set aside for `reason`, or with none that it is served.

    An account that its user has switched off meanwhile is left alone.
    """
    status = BybitAccount.Status.ERROR if reason else BybitAccount.Status.ENABLED
    BybitAccount.objects.unscoped().filter(pk=account_id, status__in=SERVED).update(
        status=status, status_reason=reason[:200], updated_at=timezone.now()
    )


def full_name(account: BybitAccount) -> str:
    """The name that tells an account from those of other users."""
    return f"{account.user.username}/{account.account_name}"


def named(names: Iterable[str]) -> dict[str, BybitAccount]:
    """The account that each of `names` means: its id, user/name, or its name alone.

    An id goes before a full name, and that before a name alone, for users choose the names of
    their accounts: none passes for another's. A name alone that several users chose means none.
    """
    accounts = list(BybitAccount.objects.unscoped().select_related("user"))
    return {name: found for name in names if (found := _named(name, accounts)) is not None}


def _named(name: str, accounts: list[BybitAccount]) -> BybitAccount | None:
    spellings: tuple[Callable[[BybitAccount], str], ...] = (
        lambda account: str(account.pk),
        full_name,
        lambda account: account.account_name,
    )
    for spelled in spellings:
        found = [account for account in accounts if spelled(account) == name]
        if found:
            return found[0] if len(found) == 1 else None
    return None
