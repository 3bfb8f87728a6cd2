"""The demo's database: a file of its own, made anew each time, or one that is safe to use."""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from accounts.models import BybitAccount, User
from marketdata.bybit.environments import Environment
from marketdata.capture.startup import check_database_answers
from marketdata.exits import ConfigurationError
from marketdata.models import EnvironmentStamp
from strategies.models import Strategy

DEMO_FILE = "demo.sqlite3"
DEMO_USER = "demo"


def prepare_database() -> None:
    """Make the demo's database ready. Raises ConfigurationError when it holds anything else."""
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
            "The demo writes only into an empty database or one that holds sandbox data; this one "
            "is neither. Unset DATABASE_URL, or let it name an empty database."
        )


def make_tenant() -> str:
    """Make the demo's tenant, who may see everything, or give it a new password: which one."""
    password = secrets.token_urlsafe(12)
    user, _ = User.objects.get_or_create(
        username=DEMO_USER, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    account, _ = BybitAccount.objects.get_or_create(
        user=user, account_name="demo", defaults={"environment": BybitAccount.Environment.SANDBOX}
    )
    Strategy.objects.get_or_create(
        account=account,
        name="demo grid",
        defaults={"symbol": "BTCUSDT", "config": {"grid_count": 50, "grid_step": 0.2}},
    )
    return password
