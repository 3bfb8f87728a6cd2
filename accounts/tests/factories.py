"""Users, exchange accounts and credentials for tests."""

from __future__ import annotations

import secrets
from typing import Any

from factory.declarations import LazyAttribute, LazyFunction, Sequence, SubFactory
from factory.django import DjangoModelFactory, Password

from accounts.models import ApiCredential, BybitAccount, User

PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory[User]):
    """A user without any rights, who logs in with PASSWORD."""

    class Meta:
        model = User

    username = Sequence(lambda n: f"user{n}")
    email = LazyAttribute(lambda user: f"{user.username}@example.com")
    password = Password(PASSWORD)


class BybitAccountFactory(DjangoModelFactory[BybitAccount]):
    """An enabled account in the sandbox."""

    class Meta:
        model = BybitAccount

    user = SubFactory(UserFactory)
    account_name = Sequence(lambda n: f"account {n}")
    environment = BybitAccount.Environment.SANDBOX


class ApiCredentialFactory(DjangoModelFactory[ApiCredential]):
    """An active credential; `secret` is sealed, and random unless it is given."""

    class Meta:
        model = ApiCredential

    account = SubFactory(BybitAccountFactory)
    api_key = LazyFunction(lambda: secrets.token_urlsafe(13))
    secret = LazyFunction(lambda: secrets.token_urlsafe(27))

    @classmethod
    def _create(cls, model_class: type[ApiCredential], *args: Any, **kwargs: Any) -> ApiCredential:
        secret = kwargs.pop("secret")
        credential = model_class(**kwargs)
        credential.seal_secret(secret)
        credential.save()
        return credential
