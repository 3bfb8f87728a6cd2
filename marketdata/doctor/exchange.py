"""The exchange: its clock, its REST and WebSocket hosts, and what it says of each account's key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connection

from accounts.models import ApiCredential, BybitAccount, User
from accounts.vault import VaultError
from marketdata.bybit.environments import Environment
from marketdata.bybit.error_table import TIMESTAMP_CODE
from marketdata.bybit.errors import BybitError, ExchangeRejected
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.bybit.ws_client import WebSocketClient
from marketdata.bybit.ws_private import PrivateWebSocketClient
from marketdata.bybit.ws_public import PublicWebSocketClient
from marketdata.capture.accounts import OpenedSecrets, context_of, full_name
from marketdata.capture.startup import ALL_SYMBOLS
from marketdata.doctor.findings import Finding, Level, error, warning
from marketdata.exits import ExitCode, first_line
from marketdata.key_check import Checked, Outcome, check_accounts

# The exchange refuses a signed request whose time is a second ahead of its own, or five behind
# (https://bybit-exchange.github.io/docs/v5/guide, "Parameters for Authenticated Endpoints").
SKEW_WARNING, MOST_AHEAD, MOST_BEHIND = 0.5, 1.0, 5.0
PROBES: Final = 3
DEFAULT_SYMBOL: Final = "BTCUSDT"
CLOCK_ADVICE: Final = "Have NTP set this machine's clock: `timedatectl set-ntp true`, or chrony."
REACH_ADVICE: Final = (
    "Look at name resolution, firewall and proxy; the exchange does not serve every region."
)
KEY_ADVICE: Final = {
    Outcome.REFUSED: "Make a key that may neither withdraw nor transfer, and enter it.",
    Outcome.NOT_ACCEPTED: "Enter a key that the exchange knows, of the account's environment.",
    Outcome.UNUSABLE: "Enter the key and its secret anew, or bring back the credential keys.",
    Outcome.UNKNOWN: REACH_ADVICE,
}


class _Listener:
    """Takes what a connection brings, and keeps nothing."""

    def on_message(self, message: dict[str, Any], text: str, received_at: datetime) -> None:
        """Nothing."""

    def on_unreadable(self, text: str, reason: str, received_at: datetime) -> None:
        """Nothing."""


def check_exchange(accounts: list[BybitAccount]) -> list[Finding]:
    """The hosts of the public streams and of all `accounts`, and the keys of these."""
    mine = settings.EVENTSAVER_ENVIRONMENT
    environments = {mine} | {Environment(account.environment) for account in accounts}
    findings: list[Finding] = []
    # Whatever was signed by a wrong clock would be refused, and the keys would be blamed for it;
    # and where nobody answers each account would be waited for in vain.
    in_vain: dict[str, str] = {}
    for environment in sorted(environments):
        told = list(check_rest(environment))
        for each in told:
            if each.level == Level.ERROR:
                in_vain[environment] = each.advice
        findings += told
    findings.append(_public(mine))
    for where, advice in in_vain.items():
        if count := sum(account.environment == where for account in accounts):
            found = f"Of {count} accounts of {where} they are not asked for."
            findings.append(warning("keys", found, f"First: {advice}"))
    asked = [account for account in accounts if account.environment not in in_vain]
    try:
        findings.extend(_keys(asked))
    except AnyDatabaseError as problem:
        connection.close()
        found = f"What is said of them cannot be kept: {first_line(problem)}"
        advice = "Look at what is said of the database."
        findings.append(error("keys", found, advice, ExitCode.UNAVAILABLE))
    return findings


def _keys(accounts: list[BybitAccount]) -> Iterator[Finding]:
    checked = check_accounts(accounts, settings.BYBIT_ENDPOINTS)
    for account, each in zip(accounts, checked, strict=True):
        yield from _key(each)
        if each.outcome == Outcome.OK:
            yield _private(account)


def accounts_in_use() -> list[BybitAccount]:
    """The accounts that nobody has switched off. Raises DatabaseError."""
    return list(
        BybitAccount.objects.unscoped()
        .filter(user__status=User.Status.ACTIVE, user__is_active=True)
        .exclude(status=BybitAccount.Status.DISABLED)
        .select_related("user")
        .order_by("created_at", "pk")
    )


def check_rest(environment: Environment) -> Iterator[Finding]:
    """Whether REST of `environment` answers; if so, how far this machine's clock is from its own."""
    try:
        endpoints = settings.BYBIT_ENDPOINTS
        with closing(BybitRestClient(environment=environment, endpoints=endpoints)) as client:
            skew, trip = min((_probe(client) for _ in range(PROBES)), key=lambda probe: probe[1])
    except BybitError as problem:
        if isinstance(problem, ExchangeRejected) and problem.code == TIMESTAMP_CODE:
            yield error("clock", f"{environment}: {problem}", CLOCK_ADVICE, ExitCode.ERROR)
        else:
            found = f"REST of {environment}: {problem}"
            yield error("endpoints", found, REACH_ADVICE, ExitCode.UNAVAILABLE)
        return
    except ValueError as problem:
        yield error("endpoints", str(problem), "`manage.py sandbox` prints the settings.")
        return
    yield Finding("endpoints", f"REST of {environment} answers in {trip * 1000:.0f} ms.")
    yield _clock(environment, skew, trip)


def _probe(client: BybitRestClient) -> tuple[float, float]:
    """How far our clock is ahead, and how long the answer took, which bounds the error; seconds."""
    before, began = datetime.now(UTC), time.monotonic()
    theirs = client.get_server_time()
    trip = time.monotonic() - began
    return (before - theirs).total_seconds() + trip / 2, trip


def _clock(environment: Environment, skew: float, trip: float) -> Finding:
    found = f"This machine's clock is {skew:+.3f} s (± {trip / 2:.3f}) from that of {environment}."
    if not -MOST_BEHIND < skew < MOST_AHEAD:
        refused = f"{found} The exchange refuses what is signed."
        return error("clock", refused, CLOCK_ADVICE, ExitCode.ERROR)
    if abs(skew) > SKEW_WARNING:
        return warning("clock", found, CLOCK_ADVICE)
    return Finding("clock", found)


def _public(environment: Environment) -> Finding:
    symbols = [each for each in settings.EVENTSAVER_SYMBOLS if each.upper() != ALL_SYMBOLS]
    symbol = (symbols or [DEFAULT_SYMBOL])[0].upper()
    name = f"public streams of {environment}"
    try:
        client = PublicWebSocketClient(
            [symbol], _Listener(), environment=environment, endpoints=settings.BYBIT_ENDPOINTS
        )
    except ValueError as problem:
        return error("endpoints", str(problem), "`manage.py sandbox` prints the settings.")
    return _connected(client, name, f"They give {symbol}.")


def _private(account: BybitAccount) -> Finding:
    name = f"private streams of {full_name(account)}"
    credential = (
        ApiCredential.objects.for_account(account)
        .select_related("account")
        .filter(is_active=True)
        .first()
    )
    if credential is None:
        return error("endpoints", f"{name}: the key is gone just now.", "Ask again.")
    try:
        context = context_of(account, credential, OpenedSecrets("doctor"))
        client = PrivateWebSocketClient(
            context.api_key, context.api_secret, _Listener(),
            environment=context.environment, endpoints=settings.BYBIT_ENDPOINTS,
        )  # fmt: skip
    except (VaultError, ValueError) as problem:
        return error("endpoints", f"{name}: {problem}", "See docs/credentials.md.")
    return _connected(client, name, "They take the key.")


def _connected(client: WebSocketClient, name: str, well: str) -> Finding:
    problem: BybitError | None = None
    try:
        client.connect()
    except BybitError as failure:
        problem = failure
    finally:
        client.disconnect()
    if refused := "; ".join(f"{topic}: {why}" for topic, why in client.rejected_topics.items()):
        advice = "Correct EVENTSAVER_SYMBOLS, or what the key may read."
        return error("endpoints", f"The {name} refuse {refused}", advice)
    if problem is not None:
        code = ExitCode.UNAVAILABLE if problem.retryable else ExitCode.ERROR
        return error("endpoints", f"The {name}: {problem}", REACH_ADVICE, code)
    return Finding("endpoints", f"The {name} answer. {well}")


def _key(checked: Checked) -> Iterator[Finding]:
    if checked.outcome != Outcome.OK:
        advice = KEY_ADVICE[checked.outcome]
        if checked.code == TIMESTAMP_CODE:
            advice = CLOCK_ADVICE
        found = f"{checked.account}: {checked.reason}"
        yield error("keys", found, advice, checked.outcome.exit_code)
        return
    known = checked.information
    rights = "reads only" if known is not None and known.read_only else "reads and trades"
    yield Finding("keys", f"{checked.account}: the key {rights}.")
    for note in checked.warnings:
        advice = "See `manage.py check_account --help`, and make a key that fits."
        yield warning("keys", f"{checked.account}: {note}", advice)
