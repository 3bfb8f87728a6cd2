"""A database to play with: a file of its own, made anew each time, or one that is safe to use."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from accounts.models import ApiCredential, BybitAccount, User
from marketdata.bybit.environments import Environment
from marketdata.capture.accounts import full_name
from marketdata.capture.startup import check_database_answers
from marketdata.exits import ConfigurationError
from marketdata.models import EnvironmentStamp
from strategies.models import Strategy

DEMO_FILE = "demo.sqlite3"
DEMO_USER = "demo"
TENANTS = ("alice", "bob", "charlie")
ACCOUNT = "demo"


def prepare_database() -> None:
    """Make the database ready. Raises ConfigurationError when it holds anything but sandbox data."""
    name = Path(str(connection.settings_dict["NAME"]))
    if connection.vendor == "sqlite" and name == settings.BASE_DIR / DEMO_FILE:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
    check_database_answers()
    tables = set(connection.introspection.table_names())
    if tables:
        _refuse_foreign(tables)
    call_command("migrate", verbosity=0, interactive=False)


def _refuse_foreign(tables: set[str]) -> None:
    stamped = (
        EnvironmentStamp._meta.db_table in tables
        and EnvironmentStamp.objects.filter(environment=Environment.SANDBOX).exists()
    )
    if not stamped:
        raise ConfigurationError(
            "This command writes only into an empty database or one that holds sandbox data; this one "
            "is neither. Unset DATABASE_URL, or let it name an empty database."
        )


@dataclass(frozen=True)
class DemoAccount:
    """An account of the demo and the key that the local exchange shall know it by."""

    name: str
    api_key: str
    api_secret: str = field(repr=False)


def make_operator() -> str:
    """Make the demo's operator, who may see everything, or give it a new password: which one."""
    password = secrets.token_urlsafe(12)
    user, _ = User.objects.get_or_create(
        username=DEMO_USER, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return password


def make_tenants() -> list[DemoAccount]:
    """Make the demo's tenants, each with an account and a key that is new at every run."""
    return [_make_tenant(username) for username in TENANTS]


def _make_tenant(username: str) -> DemoAccount:
    user, _ = User.objects.get_or_create(username=username)
    # What an earlier demo stored goes with the account: the same seed makes the same ids again.
    BybitAccount.objects.for_user(user).filter(account_name=ACCOUNT).delete()
    account = BybitAccount.objects.create(
        user=user, account_name=ACCOUNT, environment=BybitAccount.Environment.SANDBOX
    )
    Strategy.objects.create(
        account=account,
        name="demo grid",
        symbol="BTCUSDT",
        config={"grid_count": 50, "grid_step": 0.2},
    )
    key, secret = secrets.token_hex(9), secrets.token_hex(18)
    credential = ApiCredential(account=account, api_key=key)
    credential.seal_secret(secret)
    credential.save()
    return DemoAccount(full_name(account), key, secret)
