"""SIGTERM at random moments: is anything lost, and how long does a stop take?

`python -m benchmarks.stops --times 100 --seed 7` starts the real command each time, against a
busy local exchange with two accounts, and sends SIGTERM at a random moment of its first seconds.
It compares the database with the exchange's ledger and prints the exit codes, what was lost, and
the seconds from the signal to the end. On PostgreSQL with `python -m gridbot_site.testing` before
it.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.ingest import setup


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=1000, help="trades a second")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    setup()
    chance = random.Random(arguments.seed)
    results = []
    for number in range(1, arguments.times + 1):
        results.append(stop_once(chance.uniform(0.0, 3.0), number, arguments.rate))
        if not results[-1]["green"]:
            print(f"stop {number} of seed {arguments.seed}: {results[-1]}")
        elif number % 10 == 0:
            print(f"{number} stops", flush=True)
    taken = sorted(result["seconds"] for result in results)
    codes = dict(collections.Counter(result["code"] for result in results))
    cuts = statistics.quantiles(taken, n=100)
    lost = sum(result["lost"] for result in results)
    rows = sum(result["rows"] for result in results)
    print(
        f"{len(results)} stops, {rows:,} rows: exit codes {codes}, lost {lost}, "
        f"green {sum(result['green'] for result in results)}; "
        f"time to stop p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s"
    )
    if arguments.json:
        print(json.dumps({"codes": codes, "lost": lost, "p50": cuts[49], "p99": cuts[98]}))


def stop_once(moment: float, seed: int, rate: float) -> dict[str, Any]:
    """One capture, stopped `moment` seconds after its streams began."""
    from django.conf import settings

    from marketdata.bybit.environments import Environment
    from marketdata.capture.config import CaptureConfig
    from marketdata.demo.database import make_tenants
    from marketdata.demo.ledger import Ledger
    from marketdata.demo.sandbox_process import SandboxProcess
    from marketdata.demo.verdict import Judge, Watermark

    accounts = make_tenants()[:2]
    symbols = ("BTCUSDT", "ETHUSDT")
    options = ("--symbols", ",".join(symbols), "--seed", str(seed), "--rate", str(rate))
    with SandboxProcess(*options, accounts=accounts, rate=20) as sandbox:
        before = Watermark()
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "gridbot_site.settings",
            "GRIDBOT_ENV_FILE": "",
            "DATABASE_URL": os.environ.get("DATABASE_URL")
            or f"sqlite:///{settings.DATABASES['default']['NAME']}",
            "EVENTSAVER_ENVIRONMENT": "sandbox",
            "BYBIT_REST_URL": sandbox.endpoints.rest,
            "BYBIT_WS_PUBLIC_URL": sandbox.endpoints.ws_public,
            "BYBIT_WS_PRIVATE_URL": sandbox.endpoints.ws_private,
            "GRIDBOT_LOG_LEVEL": "ERROR",
        }
        names = [option for account in accounts for option in ("--account", account.name)]
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "capture", "--json"]
        child = subprocess.Popen(
            [*command, "--symbols", ",".join(symbols), *names],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for_connections(sandbox, 1)
        threading.Event().wait(moment)
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=120)
        seconds = time.monotonic() - began
        ledger = Ledger.read(sandbox.ledger())
    config = CaptureConfig(
        symbols=symbols, environment=Environment.SANDBOX, ticker_interval_ms=1000
    )
    verdict = Judge(ledger, report_of(out), config, before).judge()
    # A stop in the first moments may come before a stream has had a row.
    problems = [each for each in verdict.problems if not each.startswith("nothing stored of")]
    return {
        "code": child.returncode,
        "seconds": seconds,
        "lost": verdict.lost,
        "rows": sum(verdict.stored.values()),
        "green": not problems and child.returncode == 0,
        "problems": problems,
    }


def wait_for_connections(sandbox: Any, count: int) -> None:
    """Until the capture is there."""
    while len(sandbox.status()["connections"]) < count:
        threading.Event().wait(0.05)


def report_of(text: str) -> Any:
    """The report that the command printed, as the verdict wants it."""
    from marketdata.capture.report import CaptureReport, StreamStatus
    from marketdata.exits import ExitCode

    report = json.loads(text.splitlines()[-1])
    streams = []
    for name, counts in report["streams"].items():
        stream, _, account = name.partition(" of ")
        streams.append(
            StreamStatus(
                stream=stream, account=account, counts=counts, lag_seconds=None, silent_seconds=None
            )
        )
    return CaptureReport(
        seconds=report["seconds"],
        streams=streams,
        gaps=report["gaps"],
        reconnects=report["reconnects"],
        violations=[] if report["law_holds"] else report["problems"],
        problems=report["problems"],
        exit_code=ExitCode(report["exit_code"]),
    )


if __name__ == "__main__":
    main()
