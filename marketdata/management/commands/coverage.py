"""`manage.py coverage`: which spans are complete, which are not, and why."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from marketdata.bybit.errors import BybitError
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.startup import check_database, check_endpoints, check_stamp
from marketdata.coverage.listing import as_json, is_complete, print_coverage
from marketdata.coverage.report import PUBLIC_STREAMS, FeedReport, known_feeds, report_on
from marketdata.coverage.verify import Verification, verify
from marketdata.exits import ConfigurationError, ExitCode, Unavailable
from marketdata.management.arguments import (
    accounts_in_scope,
    add_scope,
    check_window,
    demand_scope,
    time_argument,
)
from marketdata.models import Stream

HELP = """\
Say of each stream of each symbol and account which share of a span is complete, and name each
hole in it: its bounds, its state, its reason.

  manage.py coverage                          every symbol
  manage.py coverage --all                    every symbol, and every account of every user
  manage.py coverage --since 7d --symbol BTCUSDT --stream trades
  manage.py coverage --since 2026-01-31 --until 2026-02-01 --symbol BTCUSDT --verify
  manage.py coverage --account alice/main --stream executions --json

Accounts are looked at when it is said whose: --account, --user or --all. With a symbol, or with
accounts of somebody, nothing else is looked at.
Without --since from the first row that was captured; without --until as far as anything is
known; with --until 0s up to now, whether capture runs or not.
--verify adds up the captured volume of each covered minute and compares it with the exchange's
one-minute klines.
Exit codes: 0 complete, 2 usage, 4 configuration, 6 something is missing (gaps that are open,
filled in part, or cannot be filled, and spans that nothing vouches for), a minute differs or
there is none to verify, 75 the exchange or the database cannot be reached."""


class Command(TeachingCommand):
    """Coverage."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        time = time_argument(datetime.now(UTC))
        parser.add_argument("--since", type=time, help="2h, 7d, or an ISO time (UTC)")
        parser.add_argument("--until", type=time, help="the same; 0s is now")
        parser.add_argument(
            "--symbol", action="append", default=[], help="public streams of it; repeatable"
        )
        add_scope(parser, required=False)
        parser.add_argument(
            "--stream", action="append", choices=Stream.values, help="repeatable; default: all"
        )
        parser.add_argument(
            "--verify", action="store_true", help="compare trades with the exchange's klines"
        )
        parser.add_argument(
            "--json", action="store_true", help="one machine-readable line and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, look, report."""
        check_window(options)
        check_database()
        private = set(options["stream"] or ()) - set(PUBLIC_STREAMS)
        demand_scope(options, sorted(private))
        reports = _reports(options)
        if not reports:
            raise ConfigurationError("Nothing was captured of that, and nothing is known of it.")
        verifications = _verified(reports) if options["verify"] else None
        if options["json"]:
            self.stdout.write(as_json(reports, verifications))
        else:
            print_coverage(sys.stdout, reports, verifications)
        if not is_complete(reports, verifications):
            sys.exit(ExitCode.DATA_INCOMPLETE)


def _reports(options: dict[str, Any]) -> list[FeedReport]:
    now = datetime.now(UTC)
    feeds = known_feeds(
        options["stream"] or Stream.values, _symbols(options), accounts_in_scope(options)
    )
    found = (
        report_on(feed, subject, options["since"], options["until"], now) for feed, subject in feeds
    )
    return [report for report in found if report is not None]


def _symbols(options: dict[str, Any]) -> list[str] | None:
    """The symbols that are meant, None for all: who names accounts alone means those alone."""
    if options["account"] or options["user"] or options["symbol"]:
        return [symbol.upper() for symbol in options["symbol"]]
    return None


def _verified(reports: Sequence[FeedReport]) -> list[Verification]:
    environment, endpoints = settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS
    check_endpoints(environment, endpoints)
    check_stamp(environment)
    trades = [report for report in reports if report.feed.stream == Stream.TRADES]
    try:
        with closing(BybitRestClient(environment=environment, endpoints=endpoints)) as client:
            return [verify(client, report.feed.symbol, report.covered) for report in trades]
    except BybitError as error:
        raise Unavailable(f"The exchange gave no klines: {error}") from None
