"""Three tenants at once: a quiet one, a flooded one, a refused one; what does the quiet one pay?

`python -m benchmarks.tenants --seconds 300` captures twice from a local exchange: first with
every account at the normal rate, then with one account at 50 times of it. The third account's key
is refused all the time. It prints the quiet account's lag (exchange time to commit, the row of
each batch that waited longest) and the verdict of both runs. On PostgreSQL with
`python -m gridbot_site.testing` before it.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import threading
import time
from dataclasses import replace
from typing import Any

from benchmarks.ingest import setup

FLOOD = 50


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two runs")
    parser.add_argument("--rate", type=float, default=5, help="order events a second, normally")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    setup()
    logging.disable(logging.WARNING)
    calm = run(arguments.seconds, arguments.rate, flood=False)
    flooded = run(arguments.seconds, arguments.rate, flood=True)
    for name, result in (("calm", calm), (f"one account at {FLOOD} times", flooded)):
        print(
            f"{name}: quiet account lag p50 {result['p50']:.3f} s, p99 {result['p99']:.3f} s; "
            f"rows {result['rows']}; lost {result['lost']}, duplicated {result['duplicated']}, "
            f"mutated {result['mutated']}, problems {result['problems']}; "
            f"set aside {result['set_aside']}"
        )
    if arguments.json:
        print(json.dumps({"calm": calm, "flooded": flooded}))


def run(seconds: float, rate: float, *, flood: bool) -> dict[str, Any]:
    """One capture of `seconds`, judged."""
    from marketdata.bybit.environments import Environment
    from marketdata.capture.config import CaptureConfig
    from marketdata.capture.service import CaptureService
    from marketdata.demo.database import make_tenants
    from marketdata.demo.ledger import Ledger
    from marketdata.demo.sandbox_process import SandboxProcess
    from marketdata.demo.verdict import Judge, Watermark

    accounts = make_tenants()
    quiet, busy, refused = (account.name for account in accounts)
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    options = ("--symbols", ",".join(symbols), "--seed", "7", "--rate", "500")
    with SandboxProcess(*options, accounts=accounts, rate=rate) as sandbox:
        sandbox.set_account(refused, refusal="params")
        if flood:
            sandbox.set_account(busy, rate=rate * FLOOD)
        config = CaptureConfig(
            symbols=symbols,
            environment=Environment.SANDBOX,
            endpoints=sandbox.endpoints,
            private=True,
            accounts=(quiet, busy, refused),
            flush_interval=1.0,
            refused_delay=5.0,
            # The verdict is on the streams alone.
            repair=False,
        )
        before, stop = Watermark(), threading.Event()
        service = CaptureService(config)
        end = time.monotonic() + seconds

        def tick(service: CaptureService) -> None:
            if time.monotonic() >= end:
                sandbox.pause()
                sandbox.drain()
                stop.set()

        report = service.run(stop, on_tick=tick)
        # Nothing comes of the refused account, and the judge must not wait for any of it.
        judged = replace(config, accounts=(quiet, busy))
        verdict = Judge(Ledger.read(sandbox.ledger()), report, judged, before).judge()
    assert service.private is not None
    mine = next(key for key, name in service.private.names.items() if name == quiet)
    lags = sorted(
        lag for writer in service.private.writers for lag in writer.lags.get(writer.key(mine), ())
    )
    cuts = statistics.quantiles(lags, n=100)
    rows = {
        name: sum(s.counts["stored"] for s in report.streams if s.account == name)
        for name in (quiet, busy, refused)
    }
    return {
        "p50": cuts[49],
        "p99": cuts[98],
        "rows": rows,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "mutated": verdict.mutated,
        "problems": verdict.problems,
        "set_aside": report.set_aside,
    }


if __name__ == "__main__":
    main()
