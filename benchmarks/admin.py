"""The list of trades in the admin, on a table of millions: milliseconds a page.

`python -m gridbot_site.testing python -m benchmarks.admin --rows 20000000` fills an empty database
with trades of three symbols, a trade every 43 ms, and asks for pages: each in turn, ROUNDS times,
through Django's test client (the whole of Django, no network) and, where chromium and playwright
are installed, from a live server on this machine to the load event in the browser. On SQLite it
runs without the prefix.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.ingest import setup

ROUNDS = 7
CHUNK = 1_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
LIST = "/admin/marketdata/publictrade/"
# Trades by the server itself: the ids are as random as those of the exchange.
POSTGRESQL = """
INSERT INTO public_trades (symbol, exchange_ts, local_ts, trade_id, side, price, size,
    is_block_trade, is_rpi, sequence)
SELECT (ARRAY['BTCUSDT', 'ETHUSDT', 'SOLUSDT'])[1 + n %% 3], at, at + interval '40 ms',
    md5(n::text)::uuid::text, CASE WHEN n %% 2 = 0 THEN 'Buy' ELSE 'Sell' END,
    60000.1 + (n %% 1000) / 10.0, (n %% 997 + 1) / 1000.0, false, n %% 11 = 0, 814547787693 + n
FROM (SELECT n, timestamptz '2026-01-01 00:00+00' + n * interval '43 ms' AS at
      FROM generate_series(%s::bigint, %s) AS n) AS r
"""


def fill(rows: int) -> None:
    """Make the trades that are not there yet."""
    from django.db import connection

    from marketdata.models import PublicTrade

    if connection.vendor != "postgresql":
        from benchmarks.ingest import make_records

        records = make_records(rows)
        PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in records])  # type: ignore[misc]
        return
    stored = PublicTrade.objects.count()
    began = time.perf_counter()
    with connection.cursor() as cursor:
        for start in range(stored, rows, CHUNK):
            cursor.execute(POSTGRESQL, [start, min(start + CHUNK, rows) - 1])
        # Statistics and the summaries of the index of ids, as autovacuum would make them.
        cursor.execute("VACUUM ANALYZE public_trades")
        cursor.execute(
            "SELECT indexrelid::regclass::text, pg_size_pretty(pg_relation_size(indexrelid)) "
            "FROM pg_index WHERE indrelid = 'public_trades'::regclass ORDER BY 1"
        )
        sizes = ", ".join(f"{name} {size}" for name, size in cursor.fetchall())
    print(f"{rows - stored:,} rows made in {time.perf_counter() - began:.0f} s; indexes: {sizes}")


def pages() -> dict[str, str]:
    """What is asked for, and its query string."""
    from marketdata.models import PublicTrade

    trades = PublicTrade.objects.order_by("pk")
    first, last = trades[0], trades.reverse()[0]
    middle = trades.filter(pk__gte=(first.pk + last.pk) // 2)[0]
    day = f"{middle.exchange_ts:%Y-%m-%d}"
    return {
        "first page": "",
        "middle page": f"?at={middle.exchange_ts:%Y-%m-%dT%H:%M:%S}",
        "last page": "?oldest=1",
        "symbol and day": f"?symbol={middle.symbol}&day={day}",
        "symbol and day, oldest page": f"?symbol={middle.symbol}&day={day}&oldest=1",
        "search by symbol": f"?q={middle.symbol}",
        "search by id": f"?q={middle.trade_id}",
        "search by symbol and id": f"?q={middle.symbol}+{middle.trade_id}",
        "search by an id that is not there": f"?q={middle.symbol}+00000000-0000-4000-8000-000000000000",
    }


def measure(asked: dict[str, str], get: Callable[[str], None]) -> dict[str, list[float]]:
    """Milliseconds of each, in turn; the first round is the cold one."""
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, query in asked.items():
            began = time.perf_counter()
            get(query)
            taken[name].append((time.perf_counter() - began) * 1000)
    return taken


def through_the_client(user: Any) -> Callable[[str], None]:
    """Ask Django itself."""
    from django.test import Client

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)

    def get(query: str) -> None:
        answer = client.get(LIST + query)
        if answer.status_code != 200:
            raise SystemExit(f"{query} was answered with {answer.status_code}")

    return get


@contextmanager
def through_a_browser(user: Any) -> Iterator[Callable[[str], None] | None]:
    """Ask from chromium, until the page has loaded; None where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield None
        return
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        yield None
        return
    from gridbot_site.live_server import CHROMIUM_ARGUMENTS, LiveServer, session_cookie

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright runs a loop in this thread
    with LiveServer() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS)
        )
        page = browser.new_page()
        page.context.add_cookies([session_cookie(user, server.url)])

        def get(query: str) -> None:
            answer = page.goto(server.url + LIST + query, wait_until="load")
            if answer is None or answer.status != 200:
                raise SystemExit(f"{query} was not answered")

        yield get
        browser.close()


def report(title: str, taken: dict[str, list[float]]) -> dict[str, Any]:
    """Print a line for each page."""
    print(f"\n{title}: ms, median of {ROUNDS - 1} (min to max), and the first time")
    for name, times in taken.items():
        cold, *warm = times
        print(
            f"  {name:36} {statistics.median(warm):7.1f} "
            f"({min(warm):.1f} to {max(warm):.1f})  {cold:7.1f}"
        )
    return {name: round(statistics.median(times[1:]), 1) for name, times in taken.items()}


def export(user: Any, query: str) -> None:
    """Print how fast a list leaves as CSV, and by how much this process grows over it."""
    import resource

    from django.test import Client

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    content: Any = client.get(f"{LIST}export/{query}")
    first = time.perf_counter() - began
    rows = sum(part.count(b"\r\n") for part in content) - 1
    taken = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"\nexport of a symbol and day: {rows:,} rows in {taken:.1f} s, {rows / taken:,.0f} rows/s; "
        f"answered after {first * 1000:.0f} ms; peak memory grew by {grown:.1f} MiB"
    )


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    # Over plain http on this machine; no cookie is secure there.
    os.environ["GRIDBOT_DEBUG"] = "true"
    setup()
    from django.db import connection

    from accounts.models import User

    fill(arguments.rows)
    user, _ = User.objects.get_or_create(username="olivia", is_staff=True, is_superuser=True)
    asked = pages()
    print(f"{connection.vendor}, {arguments.rows:,} trades of {len(SYMBOLS)} symbols")
    result = {"client": report("Django's client", measure(asked, through_the_client(user)))}
    export(user, asked["symbol and day"])
    with through_a_browser(user) as get:
        if get is None:
            print("\nNo chromium or no playwright here: the browser's figures are left out.")
        else:
            result["browser"] = report("chromium, to the load event", measure(asked, get))
    if arguments.json:
        print(json.dumps({connection.vendor: result}))


if __name__ == "__main__":
    main()
