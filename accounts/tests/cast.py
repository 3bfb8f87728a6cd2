"""The cast, as fixtures: alice owns, bob is a colleague with rights of his own, charlie a stranger.

Each has an exchange account. A test of anything private asks what the other two may see. The
root conftest loads this module as a plugin, so every app's tests know these people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import BybitAccount, User

# What an operator grants a tenant who may use the admin: to look at every fact and at the audit
# log, and to keep accounts, credentials and strategies. Deleting an account takes its facts along, so the
# rights to delete those are part of it.
LOOKED_AT = ("marketdata", "strategies")
KEPT = ("bybitaccount", "apicredential", "strategy")


def grant_tenant_permissions(user: User) -> None:
    """Make `user` a member of staff with a tenant's rights."""
    from django.contrib.auth.models import Permission
    from django.db.models import Q

    view = Q(content_type__app_label__in=LOOKED_AT, codename__startswith="view_")
    delete = Q(content_type__app_label__in=LOOKED_AT, codename__startswith="delete_")
    keep = Q(content_type__model__in=KEPT)
    log = Q(content_type__app_label="auditlog", codename="view_logentry")
    user.user_permissions.set(Permission.objects.filter(view | delete | keep | log))
    user.is_staff = True
    user.save()


@pytest.fixture
def alice(db: None) -> User:
    """The tenant."""
    from accounts.tests.factories import UserFactory

    return UserFactory.create(username="alice")


@pytest.fixture
def bob(db: None) -> User:
    """Her colleague: a member of staff with a tenant's rights, on his own rows."""
    from accounts.tests.factories import UserFactory

    user = UserFactory.create(username="bob")
    grant_tenant_permissions(user)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    """The stranger."""
    from accounts.tests.factories import UserFactory

    return UserFactory.create(username="charlie")


@pytest.fixture
def olivia(db: None) -> User:
    """The operator: a superuser."""
    from accounts.tests.factories import UserFactory

    return UserFactory.create(username="olivia", is_staff=True, is_superuser=True)


@pytest.fixture
def account_of(db: None) -> Callable[[User], BybitAccount]:
    """The account of one of the cast, made when it is first asked for."""
    from accounts.models import BybitAccount
    from accounts.tests.factories import BybitAccountFactory

    def account(user: User) -> BybitAccount:
        found: BybitAccount | None = BybitAccount.objects.for_user(user).first()
        return found or BybitAccountFactory.create(
            user=user, account_name=f"account of {user.username}"
        )

    return account


@pytest.fixture
def alice_account(alice: User, account_of: Callable[[User], BybitAccount]) -> BybitAccount:
    """Alice's account."""
    return account_of(alice)


@pytest.fixture
def bob_account(bob: User, account_of: Callable[[User], BybitAccount]) -> BybitAccount:
    """Bob's account."""
    return account_of(bob)


@pytest.fixture
def charlie_account(charlie: User, account_of: Callable[[User], BybitAccount]) -> BybitAccount:
    """Charlie's account."""
    return account_of(charlie)


@pytest.fixture
def bob_client(bob: User, client: Client) -> Client:
    """A browser in which bob is logged in."""
    client.force_login(bob)
    return client


@pytest.fixture
def olivia_client(olivia: User) -> Client:
    """A browser in which the operator is logged in."""
    from django.test import Client

    browser = Client()
    browser.force_login(olivia)
    return browser
