"""What happens to an account in a backtest, each with its cause.

Money in USDT, quantities in coins, prices in USDT per coin, times aware UTC; exact Decimals,
which may have more digits than a database column.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFill:
    """A fill and its cause.

    `level` is the grid level, counted from the anchor of the grid that placed the order; None
    for a liquidation. `opens`: the fill made the position larger. `rule`: the fill model, or
    `taker`; `trade_index` and `trade_price` name the public trade, `previous_price` that of the
    trade before (None for a liquidation). `closed_pnl` is gross. `equity` is at the trade's price, after this fill.
    """

    exec_id: str
    time: datetime
    trade_index: int
    order_id: str
    level: int | None
    direction: str
    side: str
    opens: bool
    price: Decimal
    qty: Decimal
    fee: Decimal
    is_maker: bool
    closed_size: Decimal
    closed_pnl: Decimal
    rule: str
    trade_price: Decimal
    previous_price: Decimal | None
    equity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPayment:
    """A settlement: `amount` is what the wallet received, negative when it paid."""

    time: datetime
    rate: Decimal
    mark_price: Decimal
    long_size: Decimal
    short_size: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """The end of an account: `equity` and `maintenance_margin` before, `forgiven` after closing."""

    time: datetime
    price: Decimal
    equity: Decimal
    maintenance_margin: Decimal
    forgiven: Decimal
