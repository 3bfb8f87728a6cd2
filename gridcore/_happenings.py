"""What happens to orders in the book: fills and cancellations, as values.

The reasons of a cancellation are spelt as Bybit V5 spells its `cancelType` (the first two) and
`rejectReason`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from gridcore._fill_models import Order
from gridcore.events import EventType, ExecutionEvent

BY_USER = "CancelByUser"
BY_REDUCE_ONLY = "CancelByReduceOnly"
WOULD_TAKE = "EC_PostOnlyWillTakeLiquidity"
NO_MARKET = "EC_NoEnoughQtyToFill"
NOT_AT_ONCE = "EC_NoImmediateQtyToFill"
NOT_IN_FULL = "EC_CancelForNoFullFill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """An order was filled, in part or wholly, and why.

    `price`, `trade_price` and `previous_price` in quote coin per coin, quantities in coins,
    money in quote coin. `closed_pnl` is gross; a negative `fee` is a rebate. `rule` is the name
    of the fill model, with the trade that it was asked about and the price of the trade before
    (None: there was none); or `taker`, with the price of the touch as `trade_price`.
    """

    order_id: str
    side: str
    direction: str
    price: Decimal
    qty: Decimal
    leaves_qty: Decimal
    fee: Decimal
    is_maker: bool
    closed_size: Decimal
    closed_pnl: Decimal
    reduce_only: bool
    rule: str
    trade_price: Decimal
    previous_price: Decimal | None = None
    trade_id: str = ""

    def __str__(self) -> str:
        trade = f"trade {self.trade_id}" if self.trade_id else "trade"
        cause = f"{self.rule}, {trade} at {self.trade_price:f}"
        if not self.is_maker:
            cause = f"{self.rule}, touch at {self.trade_price:f}"
        elif self.previous_price is not None:
            cause += f" after {self.previous_price:f}"
        return (
            f"{self.order_id}: {self.side} {self.qty:f} {self.direction} at {self.price:f}"
            f" ({cause}), leaves {self.leaves_qty:f}, closed {self.closed_size:f}"
            f" for {self.closed_pnl:f}, fee {self.fee:f}"
        )

    def to_event(
        self, symbol: str, exchange_ts: datetime, exec_id: str, local_ts: datetime | None = None
    ) -> ExecutionEvent:
        """Return the fill as the engine is told it; our order id serves as both ids."""
        return ExecutionEvent(
            event_type=EventType.EXECUTION,
            symbol=symbol,
            exchange_ts=exchange_ts,
            local_ts=local_ts or exchange_ts,
            exec_id=exec_id,
            order_id=self.order_id,
            order_link_id=self.order_id,
            side=self.side,
            price=self.price,
            qty=self.qty,
            fee=self.fee,
            closed_pnl=self.closed_pnl,
            closed_size=self.closed_size,
            leaves_qty=self.leaves_qty,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """An order is over with `leaves_qty` unfilled; `price` is 0 for a market order."""

    order_id: str
    side: str
    direction: str
    price: Decimal
    qty: Decimal
    leaves_qty: Decimal
    reduce_only: bool
    reason: str

    @classmethod
    def of(cls, order: Order, reason: str) -> Cancelled:
        """Say of an order that it is over, and why."""
        return cls(
            order_id=order.order_id,
            side=order.side,
            direction=order.direction,
            price=order.price,
            qty=order.qty,
            leaves_qty=order.leaves_qty,
            reduce_only=order.reduce_only,
            reason=reason,
        )

    def __str__(self) -> str:
        return (
            f"{self.order_id}: {self.side} {self.direction} at {self.price:f} cancelled"
            f" ({self.reason}), {self.leaves_qty:f} of {self.qty:f} unfilled"
        )


Happening: TypeAlias = Fill | Cancelled
