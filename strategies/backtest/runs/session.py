"""One backtest command: load a market once, trade every job on it, keep what it came to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connections

from gridcore.matching import FILL_MODELS
from gridcore.pnl import MM_TIERS, MM_TIERS_DEFAULT
from strategies.backtest.results import BacktestResult
from strategies.backtest.runs.jobs import Job
from strategies.backtest.runs.loading import (
    fingerprint,
    load_trades,
    recorded_fundings,
)
from strategies.backtest.runs.progress import Positions, noted
from strategies.backtest.runs.records import Records, records_of
from strategies.backtest.runs.workers import workers
from strategies.backtest.simulation import run_backtest
from strategies.backtest.terms import Contract, Fees, Settlement
from strategies.backtest.trades import Trades


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the user decides besides the strategy."""

    balance: Decimal
    leverage: int
    fees: Fees
    fill_model: str
    every_trade: bool


@dataclass(frozen=True, kw_only=True)
class Market:
    """What is traded on: the contract, the trades and the fundings of a window."""

    contract: Contract
    since: datetime
    until: datetime
    # Empty: the database.
    files: Sequence[Path]
    trades: Trades
    funding: Sequence[Settlement]
    fingerprint: str


def load_market(
    contract: Contract,
    since: datetime,
    until: datetime,
    files: Sequence[Path] = (),
    *,
    told: Callable[[int], None] = lambda count: None,
) -> Market:
    """Load the market of a window. Raises CannotLoad."""
    symbol, tick = contract.info.symbol, contract.info.tick_size
    trades = load_trades(symbol, since, until, tick, files, told=told)
    funding = recorded_fundings(symbol, since, until)
    return Market(
        contract=contract,
        since=since,
        until=until,
        files=files,
        trades=trades,
        funding=funding,
        fingerprint=fingerprint(symbol, tick, trades, funding),
    )


def assumptions_of(job: Job, market: Market, terms: Terms) -> dict[str, Any]:
    """Return all that a result depends on besides the market, as JSON would have it."""
    contract = market.contract
    tiers = MM_TIERS.get(job.symbol, MM_TIERS_DEFAULT)
    return {
        "config": job.config_json,
        "starting_balance": terms.balance,
        "fill_model": terms.fill_model,
        "every_trade": terms.every_trade,
        "maker_fee": terms.fees.maker,
        "taker_fee": terms.fees.taker,
        "leverage": terms.leverage,
        "tick_size": contract.info.tick_size.normalize(),
        "qty_step": contract.info.qty_step.normalize(),
        "min_qty": contract.info.min_qty.normalize(),
        "min_notional": contract.min_notional.normalize(),
        "funding_interval_minutes": contract.funding_interval_minutes,
        "fundings_recorded": len(market.funding),
        "tiers": [[str(number) for number in tier] for tier in tiers],
        "source": [path.name for path in market.files] or "db",
    }


# --- Trading ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traded:
    """A job that is done."""

    job: Job
    records: Records
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class Untraded:
    """A job whose grid cannot be built at the market's price, and why."""

    job: Job
    reason: str


def trade_all(
    jobs: Sequence[Job],
    market: Market,
    terms: Terms,
    coverage: dict[str, Any],
    *,
    processes: int = 1,
    positions: Positions | None = None,
) -> Generator[Traded | Untraded, None, None]:
    """Trade each job on the market and give its result, in the order of the jobs.

    Several processes share the trades by being forked from this one, and use no database.
    `positions`, in memory that they share too, tells meanwhile how many trades each is through.
    Raises BrokenProcessPool when one of them was killed.
    """
    run = _Trading(market, terms, [0] * len(jobs) if positions is None else positions)
    if processes > 1 and len(jobs) > 1:
        # A connection that two processes use would mix their answers.
        connections.close_all()
        with workers(min(processes, len(jobs)), partial(_remembered.append, run)) as pool:
            done = [pool.submit(_trade_remembered, *each) for each in enumerate(jobs)]
            for job, each in zip(jobs, done, strict=True):
                yield _outcome(job, each.result(), run, coverage)
    else:
        for number, job in enumerate(jobs):
            yield _outcome(job, run.trade(number, job), run, coverage)


class Done(NamedTuple):
    """When a job was traded, and its result, or why there is none."""

    started_at: datetime
    result: BacktestResult | str
    ended_at: datetime


@dataclass(frozen=True)
class _Trading:
    market: Market
    terms: Terms
    positions: Positions

    def trade(self, number: int, job: Job) -> Done:
        started_at = datetime.now(UTC)
        result: BacktestResult | str
        try:
            with noted(self.positions, number) as begun:
                result = run_backtest(
                    self.market.trades,
                    self.market.contract,
                    job.config,
                    starting_balance=self.terms.balance,
                    fees=self.terms.fees,
                    funding=self.market.funding,
                    leverage=self.terms.leverage,
                    fill_model=FILL_MODELS[self.terms.fill_model],
                    every_trade=self.terms.every_trade,
                    begun=begun,
                )
        except ValueError as error:
            result = str(error)
        return Done(started_at, result, datetime.now(UTC))


def _outcome(job: Job, done: Done, run: _Trading, coverage: dict[str, Any]) -> Traded | Untraded:
    if isinstance(done.result, str):
        return Untraded(job, done.result)
    market = run.market
    records = records_of(
        job,
        done.result,
        market.trades,
        market.contract,
        window=(market.since, market.until),
        data_fingerprint=market.fingerprint,
        assumptions=assumptions_of(job, market, run.terms),
        coverage=coverage,
    )
    return Traded(job, records, done.started_at, done.ended_at)


_remembered: list[_Trading] = []


def _trade_remembered(number: int, job: Job) -> Done:
    return _remembered[-1].trade(number, job)
