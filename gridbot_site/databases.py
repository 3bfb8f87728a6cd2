"""The database from the environment: a URL first, its parts next, SQLite last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from accounts.redaction import without_secrets
from gridbot_site.configuration.of_data import Database

# IMMEDIATE takes the write lock when a transaction begins: a deferred one that reads and
# then writes fails at once with "database is locked", whatever the timeout.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
}
# A server that falls silent answers no one, and refuses no one either: a connection to it fails
# within seconds instead of waiting for ever, also one that only reads (PostgreSQL docs, "Parameter
# Key Words"; seconds, tcp_user_timeout in ms). Statements may take their time: each part that is
# in a hurry says so itself.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "tcp_user_timeout": 10_000,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
}
SCHEMES = frozenset({"sqlite", "postgresql", "postgres", "psql", "pgsql"})


def database_from_environment(environment: Mapping[str, str], *, base_dir: Path) -> dict[str, Any]:
    """Django's settings of the default database, by the settings of `Database`.

    The first of its URLs that is given, else its parts, else `gridbot.db`. Raises
    ImproperlyConfigured when what is given names no database that gridbot runs on.
    """
    # What is set to nothing is not given.
    given = {name: text for name, text in environment.items() if text}
    urls = (Database.DATABASE_URL, Database.EVENTSAVER_DATABASE_URL)
    setting = next((each for each in urls if each.name in given), None)
    config = _from_url(setting.read(given), setting.name) if setting else _from_parts(given)
    if config["ENGINE"] == ENGINES["sqlite"]:
        if config["NAME"] != ":memory:":
            config["NAME"] = str(base_dir / config["NAME"])
        config["OPTIONS"] = SQLITE_OPTIONS | config.get("OPTIONS", {})
    else:
        config["OPTIONS"] = POSTGRESQL_OPTIONS | config.get("OPTIONS", {})
        config.setdefault("CONN_HEALTH_CHECKS", True)
    return config


def limit_statements(config: dict[str, Any], seconds: float) -> None:
    """Have PostgreSQL cancel what takes longer, on each connection that is made by `config`.

    0 limits nothing. What the operator has put into `options`, or PGOPTIONS, counts more. SQLite
    has no such limit.
    """
    if config["ENGINE"] != ENGINES["postgresql"] or not seconds:
        return
    options = config["OPTIONS"]
    # In the start packet: whoever sets a limit of their own resets it to this one.
    limit = f"-c statement_timeout={max(1, round(seconds * 1000))}"
    # libpq reads PGOPTIONS only where the parameter is not given.
    own = options.get("options", os.environ.get("PGOPTIONS", ""))
    options["options"] = f"{limit} {own}".strip()


def folder_beside(config: Mapping[str, Any], *, base_dir: Path) -> Path:
    """The folder of what belongs to a database and lies outside of it.

    Beside an SQLite file, with its name; in `base_dir` where the database is elsewhere.
    """
    if config["ENGINE"] == ENGINES["sqlite"] and config["NAME"] != ":memory:":
        return Path(f"{config['NAME']}.spool")
    return base_dir / "gridbot.spool"


def without_password(url: str) -> str:
    """A database's URL as it may be shown: the password is left out, and so are parameters.

    One of them may be a password, too (libpq docs, "Parameter Key Words").
    """
    config = _from_url(url, "The URL")
    scheme = url.partition("://")[0]
    if config["ENGINE"] == ENGINES["sqlite"]:
        return url.partition("?")[0]
    user, host = config["USER"], config["HOST"]
    place = f"{user}@{host}" if user else host
    port = f":{config['PORT']}" if config["PORT"] else ""
    # libpq takes a name with "=" in it for a list of parameters, and a password may be one.
    return f"{scheme}://{place}{port}/{without_secrets(config['NAME'])}"


def _from_url(url: str, name: str) -> dict[str, Any]:
    # The URL holds a password: what is wrong is said without repeating it. The scheme is
    # looked at first, because django-environ warns of an unknown one with the whole of it.
    if url.partition("://")[0] not in SCHEMES:
        raise ImproperlyConfigured(
            f"{name} must begin with sqlite:// or postgresql://; gridbot runs on these two."
        )
    try:
        config: dict[str, Any] = environ.Env.db_url_config(url)
        if config["ENGINE"] == ENGINES["postgresql"]:
            _refuse_misplaced_password(config)
    except (ValueError, KeyError):
        raise ImproperlyConfigured(
            f"{name} cannot be read; write sqlite:///file or "
            "postgresql://user:password@host:5432/name (percent-encode @ : / # % in the password)."
        ) from None
    if not config.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database.")
    return config


def _refuse_misplaced_password(config: Mapping[str, Any]) -> None:
    # What stands behind the first of its own @ : / that is not encoded would be taken for a part
    # that is shown: of user:12/34@host/name the host is "user", and the database "34@host/name".
    if "@" in config["NAME"] or ":" in config["USER"]:
        raise ValueError


def _from_parts(given: Mapping[str, str]) -> dict[str, Any]:
    kind, name = Database.GRIDBOT_DB_TYPE.read(given), Database.GRIDBOT_DB_NAME.read(given)
    if kind == "sqlite":
        return {"ENGINE": ENGINES[kind], "NAME": name or "gridbot.db"}
    return {
        "ENGINE": ENGINES[kind],
        "NAME": name or "gridbot",
        "HOST": Database.GRIDBOT_DB_HOST.read(given),
        "PORT": Database.GRIDBOT_DB_PORT.read(given),
        "USER": Database.GRIDBOT_DB_USER.read(given),
        "PASSWORD": Database.GRIDBOT_DB_PASSWORD.read(given),
    }
