"""The dashboard on tables of millions: queries and milliseconds a page.

`python -m gridbot_site.testing python -m benchmarks.dashboard --rows 20000000` fills an empty
PostgreSQL with trades of three symbols (as benchmarks.admin does), and with tickers, and facts of
ten accounts, a tenth of as many each; then a ledger of a month in which every feed has a gap an
hour. It asks for both pages as an operator, as long ago as the trades end.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import datetime, timedelta
from typing import Any

from benchmarks.admin import SYMBOLS, fill
from benchmarks.ingest import setup

ROUNDS = 7
ACCOUNTS = 10
SPANS = 720
TICKERS = """
INSERT INTO ticker_snapshots (symbol, exchange_ts, local_ts, last_price, mark_price)
SELECT (ARRAY['BTCUSDT', 'ETHUSDT', 'SOLUSDT'])[1 + n %% 3], at, at + interval '40 ms', 60000, 60001
FROM (SELECT n, %s::timestamptz - n * interval '340 ms' AS at
      FROM generate_series(1, %s) AS n) AS r
"""
FACT = "exchange_ts, local_ts, raw_json, account_id, user_id"
FROM_ACCOUNTS = """
FROM (SELECT n, n / 10 AS nth, %s::timestamptz - n * interval '400 ms' AS at
      FROM generate_series(1, %s) AS n) AS r
JOIN (SELECT id, user_id, row_number() OVER (ORDER BY id) - 1 AS number FROM bybit_accounts) AS a
    ON a.number = r.n %% 10
"""
VALUES = "at, at + interval '40 ms', '{}'::jsonb, a.id, a.user_id"
FACTS = (
    f"INSERT INTO wallet_snapshots ({FACT}, coin, digest, wallet_balance, total_equity) "
    f"SELECT {VALUES}, 'USDT', md5(n::text), 1000, 1000 + nth %% 97 {FROM_ACCOUNTS}",
    f"INSERT INTO position_snapshots ({FACT}, symbol, position_idx, digest, side, size, liq_price, "
    "mark_price) "
    f"SELECT {VALUES}, (ARRAY['BTCUSDT', 'ETHUSDT', 'SOLUSDT'])[1 + nth %% 3], 1 + nth %% 2, "
    f"md5(n::text), 'Buy', 1, 50000, 60000 {FROM_ACCOUNTS}",
    f"INSERT INTO orders ({FACT}, run_id, symbol, order_id, order_link_id, side, status, order_type, "
    "time_in_force, price, qty, cum_exec_qty, reduce_only, cancel_type, reject_reason) "
    f"SELECT {VALUES}, (SELECT id FROM runs WHERE account_id = a.id LIMIT 1), 'BTCUSDT', "
    "(nth / 2)::text, '', 'Buy', CASE WHEN nth %% 2 = 0 THEN 'Filled' ELSE 'New' END, 'Limit', '', "
    f"60000, 1, 0, false, '', '' {FROM_ACCOUNTS}",
    f"INSERT INTO private_executions ({FACT}, run_id, symbol, exec_id, order_id, order_link_id, side, "
    "exec_type, order_type, exec_price, exec_qty, exec_fee, fee_currency) "
    f"SELECT {VALUES}, (SELECT id FROM runs WHERE account_id = a.id LIMIT 1), 'BTCUSDT', n::text, "
    f"nth::text, '', 'Buy', 'Trade', 'Limit', 60000, 1, 0, 'USDT' {FROM_ACCOUNTS}",
)


def fill_accounts(rows: int, end: datetime) -> None:
    """Tickers, and facts of the accounts, so many of each kind, up to `end`."""
    from django.db import connection

    from accounts.models import BybitAccount, User
    from strategies.models import Run

    for number in range(ACCOUNTS):
        user = User.objects.create(username=f"tenant{number}")
        account = BybitAccount.objects.create(user=user, account_name="main", environment="sandbox")
        Run.objects.create(account=account, run_type=Run.RunType.LIVE, started_at=end)
    with connection.cursor() as cursor:
        for statement in (TICKERS, *FACTS):
            cursor.execute(statement, [end, rows])
        cursor.execute("VACUUM ANALYZE")


def fill_ledger(end: datetime) -> int:
    """Intervals and gaps of every feed, in turn, back from `end`; how many."""
    from accounts.models import BybitAccount
    from marketdata.models import CaptureGap, CoverageInterval, Stream

    accounts = list(BybitAccount.objects.unscoped())
    feeds: list[dict[str, Any]] = [
        {"stream": stream, "symbol": symbol}
        for stream in (Stream.TRADES, Stream.TICKERS)
        for symbol in SYMBOLS
    ]
    feeds += [
        {"stream": stream, "account": account}
        for stream in (Stream.EXECUTIONS, Stream.ORDERS, Stream.POSITIONS, Stream.WALLET)
        for account in accounts
    ]
    minute = timedelta(minutes=1)
    intervals, gaps = [], []
    for feed in feeds:
        for n in range(SPANS):
            at = end - (n + 1) * 60 * minute
            intervals.append(
                CoverageInterval(**feed, started_at=at, ended_at=at + 59 * minute, source="live")
            )
            gaps.append(
                CaptureGap(
                    **feed, started_at=at + 59 * minute, ended_at=at + 60 * minute, state="partial"
                )
            )
    CoverageInterval.objects.bulk_create(intervals, batch_size=5_000)
    CaptureGap.objects.bulk_create(gaps, batch_size=5_000)
    return len(intervals) + len(gaps)


def measure(url: str, user: Any) -> str:
    """Queries and milliseconds of a page, and its slowest query."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    taken, computed = [], []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        answer = client.get(url)
        taken.append((time.perf_counter() - began) * 1000)
        computed.append((time.process_time() - used) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"{url} was answered with {answer.status_code}")
    with CaptureQueriesContext(connection) as asked:
        client.get(url)
    cold, *warm = taken
    slowest = max(asked.captured_queries, key=lambda query: float(query["time"]))
    return (
        f"{len(asked):3} queries, {statistics.median(warm):7.1f} ms ({min(warm):.1f} to "
        f"{max(warm):.1f}, first {cold:.1f}), of it {statistics.median(computed):.1f} ms CPU of "
        f"Django, slowest query {float(slowest['time']) * 1000:.0f} ms: "
        f"{' '.join(slowest['sql'].split())[:90]}"
    )


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    setup()
    from django.db import connection

    from accounts.models import BybitAccount, User
    from marketdata.models import PublicTrade

    if connection.vendor != "postgresql":
        raise SystemExit("It fills PostgreSQL: prefix it with python -m gridbot_site.testing.")
    fill(rows)
    end = PublicTrade.objects.order_by("-exchange_ts")[0].exchange_ts
    fill_accounts(rows // 10, end)
    ledger = fill_ledger(end)
    user = User.objects.create(username="olivia", is_staff=True, is_superuser=True)
    account = BybitAccount.objects.unscoped()[0]
    print(f"{rows:,} trades, {rows // 10:,} of each other kind, {ledger:,} rows of the ledger")
    at = f"until={end:%Y-%m-%dT%H:%M:%S}"
    for last in ("6h", "7d"):
        print(f"  first page, {last}:   {measure(f'/admin/?last={last}&{at}', user)}")
        page = f"/admin/accounts/bybitaccount/{account.pk}/dashboard/?last={last}&{at}"
        print(f"  account page, {last}: {measure(page, user)}")


if __name__ == "__main__":
    main()
