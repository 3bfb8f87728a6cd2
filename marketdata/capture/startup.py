"""What must hold before capture begins; each failure is one sentence and an exit code."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import closing

from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.errors import BybitError
from marketdata.bybit.records import InstrumentRecord
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.exits import ConfigurationError, Unavailable, first_line
from marketdata.log_events import SYMBOLS_UNCHECKED
from marketdata.models import EnvironmentStamp, Instrument

logger = logging.getLogger(__name__)

ALL_SYMBOLS = "ALL"
SYMBOL = re.compile(r"[A-Z0-9-]{2,32}")
# SQLite stores a decimal as a double; PostgreSQL as it is.
EXACT_DIGITS = {"sqlite": 15, "postgresql": 30}


def exact_digits() -> int:
    """How many significant digits the database keeps of a decimal."""
    return EXACT_DIGITS[connection.vendor]


def check_database_answers() -> None:
    """Raise Unavailable when the database does not answer."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise Unavailable(f"The database cannot be reached: {first_line(error)}") from None


def check_database() -> None:
    """Raise Unavailable when the database does not answer, ConfigurationError when it is bare."""
    check_database_answers()
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if pending:
        raise ConfigurationError(
            f"The database lacks {len(pending)} migrations: run `manage.py migrate` first."
        )


def check_endpoints(environment: Environment, endpoints: Endpoints) -> None:
    """Raise ConfigurationError when the sandbox environment is chosen and not located."""
    if environment == Environment.SANDBOX and not (endpoints.rest and endpoints.ws_public):
        raise ConfigurationError(
            "The sandbox environment needs BYBIT_REST_URL and BYBIT_WS_PUBLIC_URL; "
            "`manage.py sandbox` prints both."
        )


def check_stamp(environment: Environment) -> None:
    """Raise ConfigurationError when the database holds another environment's data."""
    stamp = EnvironmentStamp.objects.filter(pk=1).first()
    if stamp is not None and stamp.environment != environment:
        raise ConfigurationError(
            f"This database holds {stamp.environment} data and would be mixed with {environment}: "
            "set DATABASE_URL to another database, or EVENTSAVER_ENVIRONMENT to "
            f"{stamp.environment}."
        )


def stamp_environment(environment: Environment) -> None:
    """Claim the database for `environment`, once. Raises ConfigurationError if it has another."""
    with transaction.atomic():
        EnvironmentStamp.objects.get_or_create(pk=1, defaults={"environment": environment})
        check_stamp(environment)


def resolve_symbols(
    wanted: Sequence[str], environment: Environment, endpoints: Endpoints
) -> list[str]:
    """The symbols to capture, checked against the exchange's list of trading contracts.

    When the exchange does not answer, named symbols are taken as they are (each subscription
    is confirmed anyway), and ALL means the instruments that are known from before.
    Raises ConfigurationError for no or unknown symbols, Unavailable when ALL means nothing.
    """
    symbols = list(dict.fromkeys(symbol.strip().upper() for symbol in wanted if symbol.strip()))
    if not symbols:
        raise ConfigurationError(
            "No symbols to capture: set EVENTSAVER_SYMBOLS or pass --symbols, for example "
            "BTCUSDT,ETHUSDT, or ALL."
        )
    if odd := [symbol for symbol in symbols if not SYMBOL.fullmatch(symbol)]:
        raise ConfigurationError(f"{odd[0]!r} is no symbol; write for example BTCUSDT,ETHUSDT.")
    try:
        with closing(BybitRestClient(environment=environment, endpoints=endpoints)) as client:
            instruments = client.get_instruments()
    except BybitError as error:
        text, why = "symbols are not checked, the exchange's list is missing: %s", str(error)
        SYMBOLS_UNCHECKED.log(logger, text, why, reason=why)
        return _without_list(symbols)
    store_instruments(instruments)
    trading = [record.symbol for record in instruments]
    if symbols == [ALL_SYMBOLS]:
        return sorted(trading)
    if unknown := sorted(set(symbols) - set(trading)):
        raise ConfigurationError(
            f"{', '.join(unknown)}: not a trading linear perpetual on {environment}."
        )
    return symbols


def _without_list(symbols: list[str]) -> list[str]:
    if symbols != [ALL_SYMBOLS]:
        return symbols
    known = sorted(Instrument.objects.filter(status="Trading").values_list("symbol", flat=True))
    if not known:
        raise Unavailable("ALL symbols are wanted, and the exchange's list cannot be had.")
    return known


def store_instruments(records: Sequence[InstrumentRecord]) -> None:
    """Refresh the instruments' rules."""
    columns = [name for name in InstrumentRecord._fields if name != "symbol"]
    Instrument.objects.bulk_create(
        [Instrument(**record._asdict()) for record in records],
        update_conflicts=True,
        unique_fields=["symbol"],
        update_fields=[*columns, "updated_at"],
    )
