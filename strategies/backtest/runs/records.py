"""The result of a backtest as rows: what is stored, what is reported, and how it is stored."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction

import gridcore
from gridcore import Grid
from gridcore.instrument import Scale
from strategies.backtest.metrics import Metrics
from strategies.backtest.results import BacktestResult
from strategies.backtest.runs.jobs import Job
from strategies.backtest.terms import Contract, time_of
from strategies.backtest.trades import Trades
from strategies.models import BacktestSummary, EquityPoint, FundingPayment, Run, SimulatedFill

BATCH = 1000
# A picture is no wider: so many prices tell of the market.
MOST_BARS = 1500
BAR_MS = [s * 1000 for s in (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)]
# What the summary names in another way than the metrics.
RENAMED = {"trades": "fills"}

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class Records:
    """A result and its summary, a row that is not stored yet."""

    name: str
    summary: BacktestSummary
    result: BacktestResult


def records_of(
    job: Job,
    result: BacktestResult,
    trades: Trades,
    contract: Contract,
    *,
    window: tuple[datetime, datetime],
    data_fingerprint: str,
    assumptions: Mapping[str, Any],
    coverage: Mapping[str, Any],
) -> Records:
    """Return the rows of a result; `trades` are those that it was traded on."""
    market = trades.on_book()
    scale = Scale(contract.info.tick_size)
    summary = BacktestSummary(
        symbol=contract.info.symbol,
        since=window[0],
        until=window[1],
        code_version=code_version(),
        data_fingerprint=data_fingerprint,
        no_fills_because=result.no_fills_because,
        orders_placed=result.placed,
        public_trades=result.trades,
        assumptions=plain(assumptions),
        coverage=plain(coverage),
        refusals=plain(result.refusals),
        missing_funding=plain(result.missing_funding),
        liquidation=plain(asdict(result.liquidation)) if result.liquidation else None,
        price_bars=bars(market.up_to(result.trades), scale),
        grid=plain(grids(job, result, market, scale)),
        **_figures(result.metrics),
    )
    return Records(job.name, summary, result)


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back: Decimals as texts, times as ISO 8601."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def _figures(metrics: Metrics) -> dict[str, Any]:
    figures = {
        RENAMED.get(field.name, field.name): getattr(metrics, field.name)
        for field in fields(metrics)
    }
    fall = figures.pop("max_drawdown")
    if fall is not None:
        figures |= {"max_drawdown" if k == "share" else k: v for k, v in asdict(fall).items()}
    return figures


def code_version() -> str:
    """Return gridcore's version and, in a checkout, the commit that runs."""
    version = f"gridcore {gridcore.__version__}"
    git = shutil.which("git")
    if git is None:
        return version
    described = subprocess.run(  # noqa: S603 - nothing of it comes from a user
        [git, "describe", "--always", "--dirty", "--tags"],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"{version}, {described.stdout.strip()}" if described.returncode == 0 else version


def bars(trades: Trades, scale: Scale) -> list[list[float]]:
    """Return the market for a picture: start in ms, low, high and last price of equal stretches."""
    if not len(trades):
        return []
    first, last = int(trades.times[0]), int(trades.times[-1])
    length = next((ms for ms in BAR_MS if last // ms - first // ms < MOST_BARS), BAR_MS[-1])
    numbers = trades.times // length
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    ends = np.append(starts[1:], len(trades)) - 1
    columns = (
        np.minimum.reduceat(trades.prices, starts),
        np.maximum.reduceat(trades.prices, starts),
        trades.prices[ends],
    )
    return [
        [at * length, *(float(scale.value(ticks)) for ticks in prices)]
        for at, *prices in zip(
            numbers[starts].tolist(), *(c.tolist() for c in columns), strict=True
        )
    ]


def grids(job: Job, result: BacktestResult, market: Trades, scale: Scale) -> dict[str, Any]:
    """Return the levels, side and price each, as they were built and as they were left."""
    if not len(market):
        return {}
    config = job.config.grid
    first = Grid(scale.step, config.grid_count, config.grid_step, config.rebalance_threshold)
    first.build_grid(scale.value(int(market.prices[0])))
    return {
        name: [[str(level["side"]), level["price"]] for level in levels]
        for name, levels in (("start", first.grid), ("end", result.final["engine"]["grid"]))
    }


# --- Storing ------------------------------------------------------------------------------


def save(records: Records, job: Job, *, started_at: datetime, ended_at: datetime) -> Run:
    """Store a result under the job's account, all of it or nothing; return its run."""
    assert job.account is not None  # noqa: S101 - who asks has looked
    owner = {"account": job.account, "user_id": job.account.user_id}
    result = records.result
    with transaction.atomic():
        run = Run(
            account=job.account,
            strategy=job.strategy,
            run_type=Run.RunType.BACKTEST,
            status=Run.Status.COMPLETED,
            gridcore_version=gridcore.__version__,
            config=job.config_json,
            started_at=started_at,
            ended_at=ended_at,
        )
        run.save()
        summary = records.summary
        summary.run, summary.account = run, job.account
        summary.save()
        of = {"run": run, **owner}
        _insert(SimulatedFill, (SimulatedFill(**of, **_columns(fill)) for fill in result.fills))
        _insert(FundingPayment, (FundingPayment(**of, **_columns(each)) for each in result.funding))
        _insert(
            EquityPoint,
            (
                EquityPoint(**of, time=time_of(at), equity=equity, low=low, high=high)
                for at, equity, low, high in result.curve
            ),
        )
    return run


def _columns(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _insert(model: type[Row], rows: Iterable[Row]) -> None:
    waiting: Iterator[Row] = iter(rows)
    while batch := list(islice(waiting, BATCH)):
        model._default_manager.bulk_create(batch)
