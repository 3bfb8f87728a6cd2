"""`manage.py import_trades`: the exchange's daily trade archives into the database."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.management.teaching import TeachingCommand
from marketdata.bybit.environments import Environment
from marketdata.capture.startup import check_database, exact_digits, stamp_environment
from marketdata.capture.writers import DatabaseUnavailable
from marketdata.coverage.archive import ArchiveImporter, ChangedFile, ImportReport
from marketdata.coverage.archive_display import Begin, as_json, imports_table, progress
from marketdata.coverage.archive_format import Archive, check
from marketdata.coverage.archive_gaps import day_of, feed_of
from marketdata.coverage.archive_lines import RefusedFile
from marketdata.coverage.pruned import pruned_spans, reopen
from marketdata.exits import ConfigurationError, ExitCode, Unavailable
from marketdata.models import EnvironmentStamp

HELP = """\
Import daily trade archives of linear symbols, as they are at https://public.bybit.com/trading/,
plain or gzip: store the trades that are missing, compare the others, close the gaps.

  manage.py import_trades BTCUSDT2026-01-31.csv.gz
  manage.py import_trades --dry-run BTCUSDT2026-01-*.csv.gz    compare, store nothing
  manage.py import_trades --environment sandbox made.csv       not of the exchange's mainnet
  manage.py import_trades --restore BTCUSDT2025-01-*.csv.gz    bring back what was pruned

All files are read to their end before anything is stored; if one is cut, damaged or of another
format, nothing is. Importing a file again changes nothing. A file of a day that `prune` has deleted
is refused without --restore; the next `prune` by the same policy deletes it once more.
Exit codes: 0 ok, 1 a file changed while it was read, 2 usage, 4 configuration or a refused file,
6 rows are in conflict with what is stored or cannot be read (they are in quarantine), 75 the
database cannot be reached."""


class Command(TeachingCommand):
    """Import archives."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="compare and store nothing")
        parser.add_argument(
            "--environment",
            choices=[str(environment) for environment in Environment],
            default=str(Environment.MAINNET),
            help="where the trades are from; the default is mainnet, where the archives are from",
        )
        parser.add_argument(
            "--restore", action="store_true", help="bring back what of these days was pruned"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check all, import all, report."""
        check_database()
        environment, dry_run = Environment(options["environment"]), options["dry_run"]
        _check_stamp(environment)
        try:
            with progress(sys.stdout, quiet=options["json"]) as begin:
                archives = [_checked(path, begin) for path in options["files"]]
                if not options["restore"]:
                    _refuse_pruned(archives)
                if not dry_run:
                    stamp_environment(environment)
                reports = _imported(archives, begin, dry_run=dry_run)
        except (ChangedFile, RefusedFile) as error:
            # Every file was sound when it was checked.
            raise CommandError(f"A file has changed meanwhile: {error}.") from None
        except DatabaseUnavailable as error:
            raise Unavailable(f"The database is busy or away: {error}.") from None
        code = _exit_code(reports)
        if options["json"]:
            files = [as_json(report) for report in reports]
            self.stdout.write(json.dumps({"files": files, "dry_run": dry_run, "exit_code": code}))
        else:
            imports_table(sys.stdout, reports, dry_run=dry_run)
        if code:
            sys.exit(code)


def _check_stamp(environment: Environment) -> None:
    stamp = EnvironmentStamp.objects.filter(pk=1).first()
    if stamp is not None and stamp.environment != environment:
        raise ConfigurationError(
            f"This database holds {stamp.environment} data, and the files are taken to be from "
            f"{environment}: set DATABASE_URL to another database, or say --environment "
            f"{stamp.environment} if they are from there."
        )


def _checked(path: Path, begin: Begin) -> Archive:
    try:
        size = path.stat().st_size if path.exists() else 0
        return check(path, datetime.now(UTC), exact_digits(), begin(f"checking {path.name}", size))
    except RefusedFile as error:
        raise ConfigurationError(f"{path} is refused: {error}. Nothing was stored.") from None


def _refuse_pruned(archives: Sequence[Archive]) -> None:
    for archive in archives:
        if pruned := pruned_spans(feed_of(archive), day_of(archive)):
            raise ConfigurationError(
                f"{archive.name} is refused: {archive.symbol} was pruned up to "
                f"{pruned[-1].end:%Y-%m-%d %H:%M:%S} UTC of that day. --restore brings it back. "
                "Nothing was stored."
            )


def _imported(archives: Sequence[Archive], begin: Begin, *, dry_run: bool) -> list[ImportReport]:
    importer, verb = ArchiveImporter(dry_run=dry_run), "comparing" if dry_run else "importing"
    reports = []
    for archive in archives:
        if not dry_run:
            # Before its rows: a prune at work deletes what is declared, and nothing else.
            reopen(feed_of(archive), day_of(archive))
        reports.append(importer.run(archive, begin(f"{verb} {archive.name}", archive.size)))
    return reports


def _exit_code(reports: Sequence[ImportReport]) -> ExitCode:
    if not all(report.is_accounted for report in reports):
        return ExitCode.ERROR
    if any(report.conflicts or report.bad for report in reports):
        return ExitCode.DATA_INCOMPLETE
    return ExitCode.OK
