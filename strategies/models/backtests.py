"""What a backtest came to: its figures, its simulated fills and fundings, its equity.

Names and meanings are those of `strategies.backtest.results` and `metrics`: money in USDT,
quantities in coins, prices in USDT per coin, shares as fractions. All hang on a run.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from accounts.tenancy import TenantOwned
from strategies.models.fields import ExactDecimalField
from strategies.models.strategies import Run


def json_field(**kwargs: Any) -> Any:
    """Decimals as texts, times as ISO 8601."""
    return models.JSONField(encoder=DjangoJSONEncoder, **kwargs)


class OfBacktest(TenantOwned):
    """A row of a run of type backtest; of the run's account, whatever else is said."""

    run: Any

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse a row of one account for a run of another."""
        if self.run.account_id != self.account_id:
            raise ValidationError({"run": "The run belongs to another account."})
        super().save(*args, **kwargs)


class BacktestSummary(OfBacktest):
    """The figures of a backtest, what it was made of, and what it took for granted."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="backtest")
    symbol = models.CharField(max_length=32)
    since = models.DateTimeField(help_text="The first instant of the window.")
    until = models.DateTimeField(help_text="The end of the window, which is not part of it.")
    code_version = models.CharField(max_length=100, help_text="gridcore, and the code's commit.")
    data_fingerprint = models.CharField(
        max_length=64, help_text="SHA-256 of the trades and fundings that were used."
    )
    no_fills_because = models.TextField(blank=True, help_text="Empty when there are fills.")

    # --- The figures ----------------------------------------------------------------------
    starting_balance = ExactDecimalField()
    final_equity = ExactDecimalField()
    return_share = ExactDecimalField(help_text="Final equity over starting balance, less 1.")
    realised = ExactDecimalField(help_text="Before fees.")
    unrealised = ExactDecimalField(help_text="Before fees.")
    fees = ExactDecimalField(help_text="Positive: paid.")
    funding = ExactDecimalField(help_text="Positive: received.")
    forgiven = ExactDecimalField(help_text="A debt that a liquidation left.")
    max_drawdown = ExactDecimalField(null=True, help_text="Share of the peak at the time.")
    peak = ExactDecimalField(null=True, help_text="Equity before the deepest fall.")
    peak_time = models.DateTimeField(null=True)
    trough = ExactDecimalField(null=True, help_text="Equity at the end of the deepest fall.")
    trough_time = models.DateTimeField(null=True)
    under_water = models.DurationField(help_text="Time below a former peak, all together.")
    under_water_share = models.FloatField()
    longest_under_water = models.DurationField()
    sharpe = models.FloatField(null=True, help_text="Of hourly returns, annualised.")
    sortino = models.FloatField(null=True, help_text="Of hourly returns, annualised.")
    fills = models.PositiveIntegerField()
    closing_trades = models.PositiveIntegerField(help_text="Fills that closed something.")
    win_rate = models.FloatField(null=True, help_text="Of the fills that closed something.")
    turnover = ExactDecimalField()
    turnover_share = ExactDecimalField(help_text="Of the starting balance.")
    peak_margin = ExactDecimalField(help_text="The highest initial margin of the positions.")
    distance_to_liquidation = models.FloatField(
        null=True, help_text="The least share by which the price had to move on."
    )
    orders_placed = models.PositiveIntegerField()
    public_trades = models.PositiveBigIntegerField(help_text="In the run, without block trades.")

    # --- What it was made of --------------------------------------------------------------
    assumptions = json_field(default=dict)
    coverage = json_field(default=dict, help_text="Of the window, and its gaps.")
    refusals = json_field(default=dict, help_text="Orders declined at least once, by reason.")
    missing_funding = json_field(default=list, help_text="Settlements without a recorded rate.")
    liquidation = json_field(null=True)
    price_bars = json_field(default=list, help_text="Start in ms, low, high, last.")
    grid = json_field(default=dict, help_text="Levels at the start and at the end.")

    class Meta:
        db_table = "backtest_summaries"
        verbose_name_plural = "backtest summaries"

    def __str__(self) -> str:
        return f"backtest of {self.symbol} from {self.since:%Y-%m-%d %H:%M}"


class SimulatedFill(OfBacktest):
    """A fill that a backtest simulated, and its cause: the public trade and the rule."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="simulated_fills")
    exec_id = models.CharField(max_length=64)
    time = models.DateTimeField()
    trade_index = models.PositiveBigIntegerField(
        help_text="The public trade that caused it, counted from 0 in the window."
    )
    order_id = models.CharField(max_length=64)
    level = models.IntegerField(null=True, help_text="From the anchor; none for a liquidation.")
    direction = models.CharField(max_length=5)
    side = models.CharField(max_length=4)
    opens = models.BooleanField(help_text="It made the position larger.")
    price = ExactDecimalField()
    qty = ExactDecimalField()
    fee = ExactDecimalField(help_text="Positive: paid.")
    is_maker = models.BooleanField()
    closed_size = ExactDecimalField()
    closed_pnl = ExactDecimalField(help_text="Before fees.")
    rule = models.CharField(max_length=32, help_text="The fill model, or taker.")
    trade_price = ExactDecimalField(help_text="Of the public trade.")
    previous_price = ExactDecimalField(null=True, help_text="Of the public trade before.")
    equity = ExactDecimalField(help_text="After the fill, at the public trade's price.")

    class Meta:
        db_table = "simulated_fills"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "run", "exec_id"], name="simulated_fill_once"
            )
        ]
        # The admin's list, the newest first.
        indexes: ClassVar = [models.Index(fields=["time"], name="simulated_fills_by_time")]

    def __str__(self) -> str:
        return f"{self.direction} {self.side} {self.qty} at {self.price}"


class FundingPayment(OfBacktest):
    """A funding settlement of a backtest."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="funding_payments")
    time = models.DateTimeField()
    rate = ExactDecimalField(help_text="As a fraction.")
    mark_price = ExactDecimalField()
    long_size = ExactDecimalField()
    short_size = ExactDecimalField()
    amount = ExactDecimalField(help_text="Positive: received.")

    class Meta:
        db_table = "funding_payments"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "run", "time"], name="funding_payment_once")
        ]
        indexes: ClassVar = [models.Index(fields=["time"], name="funding_payments_by_time")]

    def __str__(self) -> str:
        return f"{self.amount} at {self.time:%Y-%m-%d %H:%M}"


class EquityPoint(OfBacktest):
    """Equity at a fill, a funding or a full minute, with its extremes since the point before."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="equity_points")
    time = models.DateTimeField()
    equity = ExactDecimalField()
    low = ExactDecimalField()
    high = ExactDecimalField()

    class Meta:
        db_table = "equity_points"

    def __str__(self) -> str:
        return f"{self.equity} at {self.time:%Y-%m-%d %H:%M}"
