"""A simulation from its trades to its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, localcontext

from gridcore import MMTiers
from gridcore.instrument import Scale, to_price
from gridcore.matching import FillModel, strict_cross
from strategies.backtest.curve import History
from strategies.backtest.driver import Driver
from strategies.backtest.margins import MarginTerms
from strategies.backtest.metrics import metrics_of
from strategies.backtest.results import BacktestResult
from strategies.backtest.terms import Contract, Fees, Settlement, due_instants, time_of
from strategies.backtest.trades import Trades
from strategies.config import StrategyConfig

# The arithmetic of quotients, whatever the caller works with.
ARITHMETIC = Context(prec=28)


def run_backtest(
    trades: Trades,
    instrument: Contract,
    config: StrategyConfig,
    *,
    starting_balance: Decimal,
    fees: Fees | None = None,
    funding: Sequence[Settlement] = (),
    tiers: MMTiers | None = None,
    leverage: int = 10,
    fill_model: FillModel = strict_cross,
    strat_id: str = "backtest",
    every_trade: bool = False,
    begun: Callable[[Callable[[], int]], None] = lambda position: None,
) -> BacktestResult:
    """Trade a strategy from a flat account on the trades, and return what happened.

    `starting_balance` in USDT. `funding`: the settlements as recorded, in the order of time;
    those before the first trade or after the last are not used. `tiers`: risk tiers of the
    symbol, by default those that gridcore knows. `begun` is given a function that tells any thread
    how many trades are done with. Raises ValueError for a config without an
    amount, a grid that cannot be built at the price, and figures that make no sense.
    """
    terms = MarginTerms.of(instrument.info.symbol, tiers, leverage)
    balance = to_price(starting_balance, "starting_balance")
    market = trades.on_book()
    settlements = settlements_within(market, funding)
    with localcontext(ARITHMETIC):
        run = Driver(
            market,
            instrument,
            config,
            balance=balance,
            fees=fees or Fees(),
            terms=terms,
            fill_model=fill_model,
            strat_id=strat_id,
        )
        begun(lambda: run.position)
        run.trade_all(settlements, every_trade=every_trade)
        return _result(run, market, settlements, instrument, balance=balance, terms=terms)


def settlements_within(trades: Trades, funding: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements between the first trade and the last, in the order of time."""
    times = trades.times
    within = (each for each in funding if len(times) and times[0] < each.time_ms <= times[-1])
    return sorted(within, key=lambda each: each.time_ms)


def _result(
    run: Driver,
    trades: Trades,
    settlements: Sequence[Settlement],
    contract: Contract,
    *,
    balance: Decimal,
    terms: MarginTerms,
) -> BacktestResult:
    ledger = run.ledger
    scale = Scale(contract.info.tick_size)
    if ledger.liquidation is not None:
        # The run ends with the trade that liquidated it.
        trades = trades.up_to(ledger.changes[-1].first + 1)
    history = History(trades, ledger.changes, scale)
    known = {settlement.time_ms for settlement in settlements}
    due = due_instants(trades.times, contract.funding_interval_minutes)
    metrics = metrics_of(history, ledger, starting_balance=balance, terms=terms, scale=scale)
    refusals = run.refusals()
    return BacktestResult(
        fills=ledger.fills,
        funding=ledger.payments,
        missing_funding=[time_of(instant) for instant in due if instant not in known],
        liquidation=ledger.liquidation,
        refusals=refusals,
        placed=run.placed,
        curve=history.curve(),
        metrics=metrics,
        final=run.final(),
        trades=len(trades),
        handed_over=run.handed_over,
        no_fills_because="" if ledger.fills else why_no_fills(len(trades), run.placed, refusals),
    )


def why_no_fills(trades: int, placed: int, refusals: Mapping[str, int]) -> str:
    """Say in a sentence why a run has no fills."""
    if not trades:
        return "There are no trades in the window."
    if placed:
        return f"The price never went through any of the {placed} orders that rested."
    if not refusals:
        return "The strategy wanted no order: no level was half a step away from the price."
    reasons = ", ".join(f"{count} by {reason}" for reason, count in refusals.items())
    return f"Every order was declined: {reasons}."
