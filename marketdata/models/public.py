"""Public facts: trades, tickers, instruments, and which exchange environment they are of."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from marketdata.models.fields import Side, decimal_field, plain, symbol_field
from marketdata.queries import FactManager, PublicTradeManager


class PublicTrade(models.Model):
    """One public trade, as the exchange printed it."""

    symbol = symbol_field()
    exchange_ts = models.DateTimeField(help_text="When the exchange matched it.")
    local_ts = models.DateTimeField(help_text="When its message arrived here.")
    trade_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4, choices=Side, help_text="The taker's side.")
    price = decimal_field()
    size = decimal_field(help_text="In contracts of the base coin.")
    is_block_trade = models.BooleanField(help_text="Printed off the book, at an agreed price.")
    is_rpi = models.BooleanField(help_text="Against a retail price improvement order.")
    sequence = models.BigIntegerField(
        null=True, blank=True, help_text="The exchange's cross sequence: shared, not dense."
    )

    objects = PublicTradeManager()

    class Meta:
        db_table = "public_trades"
        constraints: ClassVar = [
            # One index for dedup and for range reads; it begins with (symbol, time), so that
            # inserts stay local at any size of the table.
            models.UniqueConstraint(fields=["symbol", "exchange_ts", "trade_id"], name="trade_once")
        ]
        # The admin's list of all symbols, newest first.
        indexes: ClassVar = [models.Index(fields=["exchange_ts"], name="trades_by_time")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {plain(self.size)} at {plain(self.price)}"


class TickerSnapshot(models.Model):
    """The merged ticker of a symbol at one time."""

    symbol = symbol_field()
    exchange_ts = models.DateTimeField()
    local_ts = models.DateTimeField()
    last_price = decimal_field()
    mark_price = decimal_field(null=True)
    index_price = decimal_field(null=True)
    bid1_price = decimal_field(null=True)
    bid1_size = decimal_field(null=True)
    ask1_price = decimal_field(null=True)
    ask1_size = decimal_field(null=True)
    funding_rate = decimal_field(null=True, help_text="Of the coming settlement, as a fraction.")
    next_funding_time = models.DateTimeField(null=True)
    open_interest = decimal_field(null=True, help_text="In contracts of the base coin.")

    objects = FactManager()

    class Meta:
        db_table = "ticker_snapshots"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["symbol", "exchange_ts"], name="ticker_once")
        ]
        indexes: ClassVar = [models.Index(fields=["exchange_ts"], name="tickers_by_time")]

    def __str__(self) -> str:
        return f"{self.symbol} last {plain(self.last_price)}"


class Instrument(models.Model):
    """A contract's rules, refreshed from the exchange at each start of capture."""

    symbol = symbol_field(primary_key=True)
    status = models.CharField(max_length=32)
    base_coin = models.CharField(max_length=32)
    quote_coin = models.CharField(max_length=32)
    tick_size = decimal_field(help_text="Step of prices.")
    qty_step = decimal_field(help_text="Step of quantities.")
    min_qty = decimal_field()
    min_notional = decimal_field(null=True, help_text="Least value of an order, in quote coin.")
    funding_interval_minutes = models.PositiveIntegerField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "instruments"

    def __str__(self) -> str:
        return str(self.symbol)


class EnvironmentStamp(models.Model):
    """The one exchange environment whose public facts this database holds."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    environment = models.CharField(max_length=10)
    stamped_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "environment_stamp"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="environment_stamp_is_one_row")
        ]

    def __str__(self) -> str:
        return self.environment
