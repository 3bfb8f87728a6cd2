"""`manage.py reconcile`: ask the exchange for what capture has missed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from accounts.models import BybitAccount
from marketdata.capture.accounts import OpenedSecrets, full_name, read_roster
from marketdata.capture.startup import (
    check_database,
    check_endpoints,
    check_stamp,
    resolve_symbols,
)
from marketdata.capture.writers import DatabaseUnavailable
from marketdata.coverage.display import findings_json, findings_table
from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.reconciler import GapReconciler
from marketdata.exits import ConfigurationError, ExitCode, Unavailable
from marketdata.management.arguments import (
    accounts_in_scope,
    add_scope,
    check_window,
    demand_scope,
    has_scope,
    time_argument,
)
from marketdata.models import Stream

PRIVATE = (Stream.EXECUTIONS, Stream.ORDERS)
STREAMS = (Stream.TRADES, *PRIVATE)
HELP = """\
Ask the exchange by REST for what capture has missed, store it, and say what is still missing.

  manage.py reconcile --since 2h                   trades
  manage.py reconcile --since 2h --all             and what is of accounts, of all users
  manage.py reconcile --since 2026-01-31T12:00 --until 2026-01-31T14:00 --stream orders --user alice
  manage.py reconcile --since 1d --account alice/main --symbol BTCUSDT
  manage.py reconcile --since 2h --all --json

Trades: the exchange shows the last 1000 of a symbol; what lies before them stays an open gap.
Executions: two years back. Orders: the last state of each, cancelled ones for a day.
--json: for each stream of a symbol or account the gaps it had and what became of them, rows found,
added and refused, the state (complete, incomplete, or failed where the exchange did not answer),
the span that stays missing, and the note of what failed.
Exit codes: 0 nothing is missing, 2 usage, 4 configuration, 6 something stays missing, 75 the
exchange or the database cannot be reached."""


class Command(TeachingCommand):
    """Reconcile."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        now = datetime.now(UTC)
        time = time_argument(now)
        parser.add_argument(
            "--since", required=True, type=time, help="2h, 7d, or an ISO time (UTC)"
        )
        parser.add_argument("--until", default=now, type=time, help="the default is now")
        parser.add_argument(
            "--symbol",
            action="append",
            help="of trades; repeatable; the default is EVENTSAVER_SYMBOLS",
        )
        add_scope(parser, required=False)
        parser.add_argument(
            "--stream",
            action="append",
            choices=STREAMS,
            help="repeatable; the default is all three, trades alone where no account is meant",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, ask, report."""
        check_window(options)
        check_database()
        try:
            findings = _ask(options, Span(options["since"], options["until"]))
        except DatabaseUnavailable as error:
            raise Unavailable(f"The database is busy or away: {error}.") from None
        code = _exit_code(findings)
        if options["json"]:
            self.stdout.write(findings_json(findings, exit_code=code))
        else:
            findings_table(sys.stdout, findings)
        if code:
            sys.exit(code)


def _exit_code(findings: Sequence[Finding]) -> ExitCode:
    if not any(finding.missing for finding in findings):
        return ExitCode.OK
    if all(finding.unreachable for finding in findings):
        return ExitCode.UNAVAILABLE
    return ExitCode.DATA_INCOMPLETE


def _ask(options: dict[str, Any], asked: Span) -> list[Finding]:
    reconciler = GapReconciler(settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS)
    streams = options["stream"] or _streams_meant(options)
    demand_scope(options, [stream for stream in PRIVATE if stream in streams])
    chosen = accounts_in_scope(options)
    findings: list[Finding] = []
    if Stream.TRADES in streams:
        findings += [reconciler.trades(symbol, asked) for symbol in _symbols(options)]
    if chosen and not set(streams).isdisjoint(PRIVATE):
        accounts = _ask_accounts(reconciler, chosen, asked, streams)
        if not accounts and not options["all"]:
            raise ConfigurationError(f"{', '.join(map(full_name, chosen))}: not enabled.")
        findings += accounts
    if not findings:
        raise ConfigurationError("There is no enabled account to ask for.")
    return findings


def _ask_accounts(
    reconciler: GapReconciler, chosen: list[BybitAccount], asked: Span, streams: Collection[str]
) -> list[Finding]:
    ask = {Stream.EXECUTIONS: reconciler.executions, Stream.ORDERS: reconciler.orders}
    ids = [str(account.pk) for account in chosen]
    roster = read_roster(ids, secrets=OpenedSecrets("reconcile"))
    findings: list[Finding] = []
    for stream in (stream for stream in PRIVATE if stream in streams):
        findings += [ask[stream](context, asked) for context in roster.contexts]
        findings += [
            Finding(stream, roster.names[account_id], asked, missing=asked, note=reason)
            for account_id, reason in roster.set_aside.items()
        ]
    return findings


def _streams_meant(options: dict[str, Any]) -> tuple[Stream, ...]:
    """Without accounts trades; who names accounts alone means what is theirs."""
    if not has_scope(options):
        return (Stream.TRADES,)
    if options["symbol"] or options["all"]:
        return STREAMS
    return PRIVATE


def _symbols(options: dict[str, Any]) -> list[str]:
    environment, endpoints = settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS
    check_endpoints(environment, endpoints)
    check_stamp(environment)
    return resolve_symbols(options["symbol"] or settings.EVENTSAVER_SYMBOLS, environment, endpoints)
