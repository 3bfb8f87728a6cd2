"""Capture end to end: a bare sender, real pybit, the real `manage.py capture`, PostgreSQL.

`python -m benchmarks.capture --seconds 60 --trades 20000 --tickers 2000` runs all of it on this
machine: the sender (`benchmarks.sender`) and the capture are processes of their own. Every state
of a ticker is stored, so that every message is a row (`EVENTSAVER_TICKER_INTERVAL_MS=0`), and rows
wait 0.2 s at most (`EVENTSAVER_FLUSH_INTERVAL`).

The lag of a row is the time of its transaction's commit, as PostgreSQL notes it
(`track_commit_timestamp`), less its exchange time, which is the moment when the sender made its
frame; all rows count, the first ones too. Lost is what was received and is not in the table, told by
ids; unread is what still waited in the sockets when the capture was told to stop, a minute after
the sender. The sender itself is late when the machine is busy, and what it sent is what counts. A rate holds when p99
of the trades' lag and of the tickers' is under a second, the sender kept it within 2 %, and
nothing was lost, unread, stored twice or set aside. `--rates` tries several and names the highest that holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.ingest import empty, setup
from gridbot_site.testing import postgresql

PROGRESS_SECONDS = 10
DRAIN_SECONDS = 60.0
POLL_SECONDS = 0.1
LIMIT_MS = 1000.0
KEPT_SHARE = 0.98
TICKS = os.sysconf("SC_CLK_TCK")
LAGS = """
SELECT count(*), percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY
    extract(epoch FROM pg_xact_commit_timestamp(xmin) - exchange_ts) * 1000)
FROM {table}
"""


def stat(pid: int | str) -> tuple[int, float]:
    """A process's parent, and the seconds of CPU it has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


def server_cpu_seconds() -> float:
    """What all processes of the database server that live have used."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = stat(cursor.fetchone()[0])[0]
    used = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent, seconds = stat(folder.name)
            used += seconds if parent == postmaster else 0
    return used


class Child:
    """A process that speaks in lines of JSON; it is killed with the block that made it."""

    def __init__(self, *command: str, environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *command], env=environment, text=True, stderr=errors,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip

    def hear(self) -> dict[str, Any]:
        """The next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a child ended early; its log is above")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def nudge(self) -> None:
        """Give it its next word."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def cpu_seconds(self) -> float:
        """What it has used so far."""
        return stat(self._process.pid)[1]

    def peak_mib(self) -> float:
        """The most memory it had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024

    def kill(self) -> None:
        """End it if it lives."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


@contextmanager
def child(*command: str, environment: dict[str, str], log: Path) -> Iterator[Child]:
    """A child for the time of the block; its log is shown when the block fails."""
    process = Child(*command, environment=environment, log=log)
    try:
        yield process
    except BaseException:
        process.kill()
        print(log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        process.kill()


def stored() -> int:
    """Rows in the tables."""
    from marketdata.models import PublicTrade, TickerSnapshot

    return PublicTrade.objects.count() + TickerSnapshot.objects.count()


def lags(table: str) -> dict[str, float]:
    """How many rows there are, and their lag in milliseconds."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(LAGS.format(table=table))
        rows, values = cursor.fetchone()
    p50, p99, most = map(float, values or (0, 0, 0))
    return {"rows": rows, "p50_ms": p50, "p99_ms": p99, "max_ms": most}


def environment_of(port: int, symbols: list[str], folder: Path) -> dict[str, str]:
    """What the capture is told."""
    from django.conf import settings

    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "gridbot_site.settings",
        "GRIDBOT_ENV_FILE": "",
        "SECRET_KEY": settings.SECRET_KEY,
        "GRIDBOT_CREDENTIAL_KEYS": ",".join(settings.GRIDBOT_CREDENTIAL_KEYS),
        "GRIDBOT_SPOOL_DIR": str(folder / "spool"),
        "EVENTSAVER_ENVIRONMENT": "sandbox",
        "EVENTSAVER_SYMBOLS": ",".join(symbols),
        "EVENTSAVER_TICKER_INTERVAL_MS": "0",
        "EVENTSAVER_FLUSH_INTERVAL": "0.2",
        "EVENTSAVER_BATCH_SIZE": "1000",
        # Ten seconds of rows may wait in memory before any go to disk and back.
        "GRIDBOT_SPOOL_ROWS": "200000",
        "BYBIT_REST_URL": f"http://127.0.0.1:{port}",
        "BYBIT_WS_PUBLIC_URL": f"ws://127.0.0.1:{port}/v5/public/linear",
    }


def run(options: argparse.Namespace, trades: int, folder: Path) -> dict[str, Any]:
    """One rate, on empty tables."""
    for table in ("public_trades", "ticker_snapshots", "capture_gaps", "coverage_intervals"):
        empty(f"{table} CASCADE")
    flow = ("--symbols", options.symbols, "--trades", trades, "--tickers", options.tickers)
    arguments = [*map(str, flow), "--per-frame", str(options.per_frame)]
    log = folder / f"{trades}.log"
    with child(
        "-m", "benchmarks.sender", *arguments, environment=dict(os.environ), log=log
    ) as sender:
        hello = sender.hear()
        environment = environment_of(hello["port"], hello["symbols"], folder)
        with child(
            "manage.py", "capture", "--no-private", "--json", environment=environment, log=log
        ) as capture:
            sender.hear()
            used, server = capture.cpu_seconds(), server_cpu_seconds()
            sender.nudge()
            load, progress = sample(options.seconds)
            sender.nudge()
            sent = sender.hear()
            drain(sent["trades"] + sent["tickers"])
            used, server = capture.cpu_seconds() - used, server_cpu_seconds() - server
            peak = capture.peak_mib()
            capture.terminate()
            report = capture.hear()
            sender.nudge()
    return judged(options, trades, sent, report) | {
        "rows_per_second": progress,
        "capture_cpu_seconds": round(used, 1),
        "server_cpu_seconds": round(server, 1),
        "sender_cpu_seconds": round(sent["cpu_seconds"], 1),
        "peak_memory_mib": round(peak),
        "load_average": load,
    }


def sample(seconds: int) -> tuple[float, list[int]]:
    """The machine's load halfway, and the rows stored a second of each ten seconds."""
    began, rows, rates, load = time.monotonic(), stored(), [], os.getloadavg()[0]
    for mark in range(PROGRESS_SECONDS, seconds + 1, PROGRESS_SECONDS):
        time.sleep(max(0.0, began + mark - time.monotonic()))
        now = stored()
        rates.append((now - rows) // PROGRESS_SECONDS)
        rows = now
        print(f"  {mark:4d} s: {rates[-1]:7,d} rows stored a second", flush=True)
        load = os.getloadavg()[0] if mark <= seconds // 2 else load
    return load, rates


def drain(rows: int) -> None:
    """Wait until all that was sent is stored, for so long at most."""
    until = time.monotonic() + DRAIN_SECONDS
    while stored() < rows and time.monotonic() < until:
        time.sleep(POLL_SECONDS)


def judged(
    options: argparse.Namespace, trades: int, sent: dict[str, Any], report: dict[str, Any]
) -> dict[str, Any]:
    """What became of all that was sent."""
    from django.db import connection

    found = {"trades": lags("public_trades"), "tickers": lags("ticker_snapshots")}
    with connection.cursor() as cursor:
        # What is not a trade of the sender's does not make up for one that is missing.
        cursor.execute(
            "SELECT count(DISTINCT trade_id) FROM public_trades WHERE sequence < %s AND "
            "trade_id = lpad(to_hex(sequence >> 20), 8, '0') || '-5ca1-4bad-8bad-' || "
            "lpad(to_hex(sequence), 12, '0')",
            [sent["trades"]],
        )
        there = cursor.fetchone()[0]
    missing = sent["trades"] - there + max(0, sent["tickers"] - int(found["tickers"]["rows"]))
    received = sum(stream["received"] for stream in report["streams"].values())
    unread = min(missing, max(0, sent["trades"] + sent["tickers"] - received))
    twice = int(found["trades"]["rows"]) - there
    offered = {"trades": trades, "tickers": options.tickers}
    kept = min(sent[name] / options.seconds / rate for name, rate in offered.items() if rate)
    in_time = all(each["p99_ms"] < LIMIT_MS for each in found.values())
    clean = not (missing or twice or report["exit_code"])
    return {
        "offered": offered,
        "sent": {name: sent[name] for name in ("trades", "tickers", "frames")},
        "sent_share": round(kept, 3),
        "lag": {name: {key: round(ms) for key, ms in each.items()} for name, each in found.items()},
        "lost": missing - unread,
        "unread": unread,
        "stored_twice": twice,
        "exit_code": report["exit_code"],
        "holds": in_time and clean and kept >= KEPT_SHARE,
    }


def show(result: dict[str, Any], seconds: int) -> None:
    """Print one rate's result."""
    sent = result["sent"]
    print(
        f"{result['offered']['trades']:,} trades/s + {result['offered']['tickers']:,} tickers/s for "
        f"{seconds} s: sent {sent['trades']:,} + {sent['tickers']:,} in {sent['frames']:,} frames, "
        f"{result['sent_share']:.1%} of the rate\n"
        f"  lost {result['lost']}, unread {result['unread']}, stored twice {result['stored_twice']}, exit code "
        f"{result['exit_code']}; seconds of CPU: capture {result['capture_cpu_seconds']}, PostgreSQL "
        f"{result['server_cpu_seconds']}, sender {result['sender_cpu_seconds']}; capture's peak "
        f"memory {result['peak_memory_mib']} MiB; load average {result['load_average']:.1f}"
    )
    for name, each in result["lag"].items():
        print(
            f"  {name}: lag p50 {each['p50_ms']} ms, p99 {each['p99_ms']} ms, most {each['max_ms']} ms"
        )
    print("  holds" if result["holds"] else "  does NOT hold", flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--trades", type=int, default=20_000, help="a second")
    parser.add_argument("--tickers", type=int, default=2_000, help="messages a second")
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--per-frame", type=int, default=10, help="trades in one frame")
    parser.add_argument("--rates", type=int, nargs="+", help="several rates of trades, in turn")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    options = parser.parse_args()
    with postgresql(track_commit_timestamp="on") as url:
        os.environ["DATABASE_URL"] = url
        setup()
        results = []
        with tempfile.TemporaryDirectory(prefix="gridbot-capture-") as folder:
            for trades in options.rates or [options.trades]:
                results.append(run(options, trades, Path(folder)))
                show(results[-1], options.seconds)
        from django.db import connections

        connections.close_all()
    highest = max((each["offered"]["trades"] for each in results if each["holds"]), default=None)
    if options.rates:
        print(f"the highest rate that holds: {highest} trades/s")
    if options.json:
        print(json.dumps({"highest": highest, "runs": results} if options.rates else results[0]))


if __name__ == "__main__":
    main()
