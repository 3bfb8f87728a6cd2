"""`manage.py sandbox`: an exchange of one's own on this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.management.teaching import TeachingCommand
from marketdata.exits import ExitCode
from marketdata.sandbox import Address, SandboxConfig, environment, read_accounts, serve
from marketdata.sandbox.faults import parse_order, summary

HELP = """\
Run a Bybit V5 server on this machine: the public streams and the market endpoints, with trades
made up from a seed or played from a recording, and for the accounts in a file the private stream,
the lists, and trading: any client can place orders. No key of a real account, no network, no
database.

  manage.py sandbox                                  three symbols, 500 trades a second
  manage.py sandbox --seed 7 --rate 50 --symbols BTCUSDT
  manage.py sandbox --market replay monday.jsonl --speed 10 --paused
  manage.py sandbox --accounts accounts.json         a file that nobody else may read

It prints the environment that points a capture at it; copy that line and put the command
behind it, in another terminal. Then, for instance, break all its connections:

  curl -X POST http://127.0.0.1:8765/sandbox/break -d '{"how": "reset"}'

With an account {"name": "alice", "api_key": "k", "api_secret": "s"} in the file, buy something:

  now=$(date +%s%3N); body='{"category":"linear","symbol":"BTCUSDT","side":"Buy",
  "positionIdx":1,"orderType":"Market","qty":"0.01"}'
  sign=$(printf '%s' "${now}k5000$body" | openssl dgst -sha256 -hmac s -r | cut -d' ' -f1)
  curl http://127.0.0.1:8765/v5/order/create -d "$body" -H 'X-BAPI-API-KEY: k' \\
    -H "X-BAPI-TIMESTAMP: $now" -H 'X-BAPI-RECV-WINDOW: 5000' -H "X-BAPI-SIGN: $sign"

Also pause, resume, drain, send, refuse, account (POST), status and ledger (GET). The ledger holds
every row that was sent, and every private row. The file of accounts is a JSON list of objects with
name, api_key, api_secret and, if you like, rate (events a second), hedge_mode, read_only, refusal,
key (what the exchange says of it, as {"permissions": {"Wallet": ["Withdraw"]}}).
A recording is JSON lines: {"ms": 1, "channel": "public", "frame": {...}}.
Ctrl-C ends it. Exit codes: 0 ok, 1 the port is taken, 2 usage or a file that cannot be read.

Faults, for --fault and for POST /sandbox/fault {"name": "freeze", "seconds": 5}; GET lists those
that are on, DELETE ends them. docs/sandbox.md has their parameters.

  manage.py sandbox --fault reset:every=20 --fault late:probability=0.1,delay=3

""" + summary()


class Command(TeachingCommand):
    """The sandbox."""

    help = HELP
    requires_system_checks = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--port", type=int, default=8765, help="0 lets the system choose")
        parser.add_argument(
            "--market",
            nargs="+",
            default=["random"],
            metavar=("random|replay", "FILE"),
            help="random (the default), or replay with the files to play one after the other, "
            "from the first subscription on",
        )
        parser.add_argument("--symbols", metavar="A,B", help="comma separated USDT perpetuals")
        parser.add_argument("--rate", type=float, default=500.0, help="trades a second, all told")
        parser.add_argument("--speed", type=float, default=1.0, help="times as fast")
        parser.add_argument("--seed", type=int, default=1, help="same seed, same market")
        parser.add_argument(
            "--accounts",
            type=Path,
            metavar="FILE",
            help="accounts with their keys, JSON, chmod 600",
        )
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME[:KEY=VALUE,…]",
            help="a fault from the beginning on; repeatable; drawn from the seed",
        )
        parser.add_argument(
            "--funding-minutes", type=int, default=480, metavar="N", help="between two fundings"
        )
        parser.add_argument("--paused", action="store_true", help="begin with POST /sandbox/resume")
        parser.add_argument("--ledger", type=Path, metavar="FILE", help="a new file that stays")
        parser.add_argument("--no-ledger", action="store_true", help="record nothing")
        parser.add_argument(
            "--with-parent",
            action="store_true",
            help="end with the process that started it",
        )
        parser.add_argument(
            "--json", action="store_true", help="one machine-readable line when it is ready"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Build, run, report."""
        report = self._report_json if options["json"] else self._report_text
        try:
            serve(_config(options), report, with_parent=options["with_parent"])
        except ValueError as exc:
            raise CommandError(str(exc), returncode=ExitCode.USAGE) from exc
        except OSError as exc:
            raise CommandError(str(exc), returncode=ExitCode.ERROR) from exc

    def _report_json(self, address: Address) -> None:
        ledger = str(address.ledger) if address.ledger else None
        urls = {
            "rest": address.rest_url,
            "ws_public": address.ws_public_url,
            "ws_private": address.ws_private_url,
        }
        self.stdout.write(json.dumps({"ready": True, **urls, "ledger": ledger}))
        self.stdout.flush()

    def _report_text(self, address: Address) -> None:
        assignments = " ".join(f"{key}={value}" for key, value in environment(address).items())
        self.stdout.write(
            f"REST             {address.rest_url}\n"
            f"Public stream    {address.ws_public_url}\n"
            f"Private stream   {address.ws_private_url}\n"
            f"Ledger           {address.ledger or 'off'}\n\n"
            f"Point a capture at it, in another terminal, with\n\n  {assignments} \\\n"
            "    python manage.py capture\n\nCtrl-C ends it."
        )
        self.stdout.flush()


def _config(options: dict[str, Any]) -> SandboxConfig:
    kind, *files = options["market"]
    if (kind, bool(files)) not in {("random", False), ("replay", True)}:
        raise ValueError("--market is random, or replay with one or more files.")
    if options["symbols"] is not None and not options["symbols"].strip(" ,"):
        raise ValueError("--symbols names none.")
    symbols = options["symbols"].split(",") if options["symbols"] else ()
    return SandboxConfig(
        port=options["port"],
        recordings=tuple(map(Path, files)),
        symbols=tuple(symbol.strip().upper() for symbol in symbols),
        rate=options["rate"],
        speed=options["speed"],
        seed=options["seed"],
        funding_minutes=options["funding_minutes"],
        paused=options["paused"],
        ledger=options["ledger"],
        record=not options["no_ledger"],
        accounts=read_accounts(options["accounts"]) if options["accounts"] else (),
        faults=tuple(map(parse_order, options["fault"])),
    )
