"""What a backtest came to and what it took for granted, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from strategies.models import BacktestSummary

MOST_HOLES = 50
FILL_MODELS = {
    "strict_cross": "when a public trade goes through its price: below a Buy, above a Sell. A "
    "trade at the very price fills nothing, as though everybody else had stood before it.",
    "trade_through_at_limit": "when a public trade is at its price or beyond, as though it had "
    "stood first in the queue.",
    "last_cross": "when the last price crosses from the far side of its price to it or beyond.",
}

# Why the broker of a backtest declines an order (strategies.backtest.broker).
REFUSALS = {
    "reduce_only": "they would have closed more than the position was",
    "margin": "the free margin did not carry them",
    "quantity": "nothing was left of their quantity",
}


class Figure(NamedTuple):
    """A figure as a person reads it; `tone` is gain, loss or nothing."""

    name: str
    text: str
    tone: str = ""


def money(value: Decimal, *, sign: bool = False) -> str:
    """Return USDT to the cent, or to the first digits of what is less than a cent."""
    places = 2 if not value or abs(value) >= Decimal("0.01") else 8
    return f"{value:{'+' if sign else ''},.{places}f} USDT"


def percent(share: Decimal | float, *, sign: bool = False) -> str:
    """Return a share as percent."""
    return f"{share * 100:{'+' if sign else ''},.3f} %"


def span(time: timedelta) -> str:
    """Return a duration in days, hours, minutes and seconds, from the largest that there is."""
    seconds = round(time.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min")]
    said = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(said) or f"{seconds} s"


def figures_in_words(of: BacktestSummary) -> list[Figure]:
    """Return the figures, the gravest first."""
    unknown = "undefined"

    def number(value: float | None) -> str:
        return unknown if value is None else f"{value:,.2f}"

    fall = unknown if of.max_drawdown is None else percent(of.max_drawdown)
    return [
        Figure("Return", percent(of.return_share, sign=True), _tone(of.return_share)),
        Figure("Starting balance", money(of.starting_balance)),
        Figure("Final equity", money(of.final_equity)),
        _amount("Realised, before fees", of.realised),
        _amount("Unrealised", of.unrealised),
        _amount("Fees", -of.fees),
        _amount("Funding", of.funding),
        *([_amount("Debt forgiven", of.forgiven)] if of.forgiven else []),
        Figure("Deepest drawdown, of the peak then", "none" if fall == unknown else fall),
        Figure("Under water", f"{span(of.under_water)} ({percent(of.under_water_share)})"),
        Figure("Longest under water", span(of.longest_under_water)),
        Figure("Sharpe, hourly, annualised", number(of.sharpe)),
        Figure("Sortino, hourly, annualised", number(of.sortino)),
        Figure("Fills", f"{of.fills:,}"),
        Figure("Closing fills", f"{of.closing_trades:,}"),
        Figure(
            "Win rate of closing fills", unknown if of.win_rate is None else percent(of.win_rate)
        ),
        Figure("Turnover", f"{money(of.turnover)} ({of.turnover_share:,.2f} balances)"),
        Figure("Peak initial margin", money(of.peak_margin)),
        Figure(
            "Least distance to liquidation",
            "never in reach"
            if of.distance_to_liquidation is None
            else percent(of.distance_to_liquidation),
        ),
        Figure("Orders placed", f"{of.orders_placed:,}"),
        Figure("Public trades", f"{of.public_trades:,}"),
    ]


def _amount(name: str, value: Decimal) -> Figure:
    return Figure(name, money(value, sign=bool(value)), _tone(value))


def _tone(value: Decimal) -> str:
    return "gain" if value > 0 else "loss" if value < 0 else ""


def refusals_in_words(refusals: Mapping[str, int]) -> list[str]:
    """Return a sentence for each reason for which orders were declined."""
    return [
        f"{count:,} orders were declined at least once: {REFUSALS.get(reason, reason)}."
        for reason, count in refusals.items()
    ]


# --- Coverage -----------------------------------------------------------------------------


def holes_in_words(coverage: Mapping[str, Any]) -> list[str]:
    """Return a line for each stream of the window, and one for each hole in it."""
    lines = []
    for stream, feed in coverage.get("feeds", {}).items():
        holes = feed["holes"]
        if not holes:
            lines.append(f"The {stream} of the window are complete.")
            continue
        # Rounding must not make an incomplete window look whole.
        share = min(feed["share"], 0.99999)
        lines.append(
            f"The {stream} of the window are {share:.3%} complete: {_holes(len(holes))}, "
            f"{feed['missing_seconds']:,.3f} s."
        )
        lines += [
            f"  {stream} missing from {_time(hole['from'])} to {_time(hole['to'])}, "
            f"{hole['state']}: {hole['reason']}"
            for hole in holes[:MOST_HOLES]
        ]
        if len(holes) > MOST_HOLES:
            lines.append(f"  and {len(holes) - MOST_HOLES} more.")
    return lines


def _holes(count: int) -> str:
    return "1 hole" if count == 1 else f"{count:,} holes"


def _time(text: str) -> str:
    return text.replace("T", " ").replace("+00:00", "")


# --- Assumptions --------------------------------------------------------------------------


def assumptions_in_words(of: BacktestSummary) -> list[str]:
    """Return what was taken for granted, a sentence each."""
    said = of.assumptions
    source = said["source"]
    recorded = said["fundings_recorded"]
    lines = [
        "The public trades are "
        + ("those in the database." if source == "db" else f"those of {', '.join(source)}.")
        + " Block trades are left out.",
        f"A resting order is filled {FILL_MODELS[said['fill_model']]} It is filled whole, at its "
        "own price.",
        "There is no queue, no latency and no limit to depth; an order can be filled from the next "
        "trade on, and no fill moves the market.",
        f"Fees are {percent(Decimal(said['maker_fee']))} as maker and "
        f"{percent(Decimal(said['taker_fee']))} as taker.",
        f"Prices step by {said['tick_size']}, quantities by {said['qty_step']}; an order is of at "
        f"least {said['min_qty']} and worth at least {said['min_notional']} USDT.",
        f"The account is in hedge mode with cross margin and a leverage of {said['leverage']}, "
        "flat at the start, and trades nothing else. Risk tiers are those that gridcore knows.",
        "The mark price is taken to be the price of the last trade. When equity falls to the "
        "maintenance margin, both legs are closed at that trade's price, and the run ends.",
        f"Funding is due every {said['funding_interval_minutes']} minutes, at the last rate and "
        f"mark price recorded before: {recorded} settlements of the window are recorded"
        + (
            f", {len(of.missing_funding)} are not and cost nothing."
            if of.missing_funding
            else ", and none is missing."
        ),
    ]
    if said["every_trade"]:
        lines.append("Every trade was looked at.")
    return lines
