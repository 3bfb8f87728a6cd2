"""The rows of the private streams, with every documented key.

Pure: figures in, dicts out. Sources: V5 WebSocket "Execution", "Order", "Position", "Wallet". All
figures are decimal strings, without zeros at the end; "no value" is an empty string.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marketdata.sandbox.instruments import RISK_LIMIT
from marketdata.sandbox.private.book import Account, Funding
from marketdata.sandbox.private.legs import Leg
from marketdata.sandbox.private.orders import Execution, Order, money
from marketdata.sandbox.wire import Row

FINAL_STATUSES = ("Filled", "Cancelled", "Rejected", "Deactivated", "PartiallyFilledCanceled")
EMPTY_EXECUTION = {
    "category": "linear",
    "closedSize": "0",
    "execType": "Trade",
    "tradeIv": "",
    "markIv": "",
    "blockTradeId": "",
    "indexPrice": "",
    "underlyingPrice": "",
    "leavesQty": "0",
    "orderLinkId": "",
    "orderPrice": "0",
    "orderQty": "0",
    "orderType": "UNKNOWN",
    "stopOrderType": "UNKNOWN",
    "isLeverage": "0",
    "isMaker": False,
    "marketUnit": "",
    "execPnl": "0",
    "createType": "",
    "extraFees": "",
    "feeCurrency": "",
}


def plain(value: Decimal) -> str:
    """A figure as the wire writes it: fixed point, no zeros at the end."""
    return format(value.normalize(), "f") if value else "0"


def execution_row(
    *,
    symbol: str,
    side: str,
    order_id: str,
    exec_id: str,
    price: Decimal,
    qty: Decimal,
    fee: Decimal,
    fee_rate: Decimal,
    mark: Decimal,
    time_ms: int,
    seq: int,
    **more: Any,
) -> Row:
    """A row of `execution`; what is not given is as in a row without an order."""
    return {
        **EMPTY_EXECUTION,
        "symbol": symbol,
        "side": side,
        "orderId": order_id,
        "execId": exec_id,
        "execPrice": plain(price),
        "execQty": plain(qty),
        "execValue": plain(money(price * qty)),
        "execFee": plain(fee),
        "feeRate": plain(fee_rate),
        "markPrice": plain(mark),
        "execTime": str(time_ms),
        "seq": seq,
        **more,
    }


def fill_row(execution: Execution, *, exec_id: str, mark: Decimal, time_ms: int, seq: int) -> Row:
    """The row of `execution` for a fill; it does not say of which leg."""
    order = execution.order
    return execution_row(
        symbol=order.symbol,
        side=order.side,
        order_id=order.order_id,
        exec_id=exec_id,
        price=execution.price,
        qty=execution.qty,
        fee=execution.fee,
        fee_rate=execution.fee_rate,
        mark=mark,
        time_ms=time_ms,
        seq=seq,
        closedSize=plain(execution.closed),
        leavesQty=plain(execution.leaves),
        orderLinkId=order.link_id,
        orderPrice=plain(order.price),
        orderQty=plain(order.qty),
        orderType=order.order_type,
        isMaker=execution.is_maker,
        execPnl=plain(execution.pnl),
        createType="CreateByUser",
        feeCurrency="USDT",
    )


def funding_row(funding: Funding, *, order_id: str, exec_id: str, time_ms: int, seq: int) -> Row:
    """The row of `execution` for funding; a fee above zero was paid."""
    return execution_row(
        symbol=funding.leg.symbol,
        side=funding.leg.side,
        order_id=order_id,
        exec_id=exec_id,
        price=funding.mark,
        qty=funding.leg.size,
        fee=funding.fee,
        fee_rate=funding.rate,
        mark=funding.mark,
        time_ms=time_ms,
        seq=seq,
        execType="Funding",
    )


def order_row(order: Order) -> Row:
    """A row of `order`."""
    fee = plain(order.cum_fee)
    return {
        "category": "linear",
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "parentOrderLinkId": "",
        "blockTradeId": "",
        "side": order.side,
        "positionIdx": order.position_idx,
        "orderStatus": order.status,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "timeInForce": order.time_in_force,
        "isLeverage": "",
        "price": plain(order.price),
        "qty": plain(order.qty),
        "avgPrice": plain(money(order.cum_value / order.cum_qty)) if order.cum_qty else "",
        "leavesQty": plain(order.leaves),
        "leavesValue": plain(money(order.leaves * order.price)),
        "cumExecQty": plain(order.cum_qty),
        "cumExecValue": plain(order.cum_value),
        "cumExecFee": fee,
        "orderType": order.order_type,
        "stopOrderType": "",
        "orderIv": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "triggerBy": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": 0,
        "placeType": "",
        "lastPriceOnCreated": plain(order.last_price),
        "closeOnTrigger": False,
        "reduceOnly": order.reduce_only,
        "smpGroup": 0,
        "smpType": order.smp_type,
        "smpOrderId": "",
        "slLimitPrice": "0",
        "tpLimitPrice": "0",
        "tpslMode": "UNKNOWN",
        "createType": "CreateByUser",
        "marketUnit": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "feeCurrency": "",
        "closedPnl": plain(order.closed_pnl),
        "slippageTolerance": "0",
        "slippageToleranceType": "UNKNOWN",
        "cumFeeDetail": {"USDT": fee} if order.cum_fee else {},
    }


def position_row(leg: Leg, mark: Decimal) -> Row:
    """A row of `position`; a flat leg has no side."""
    value, initial = plain(leg.value), plain(leg.initial_margin)
    maintenance = plain(leg.maintenance_margin)
    return {
        "positionIdx": leg.index,
        "tradeMode": 0,
        "riskId": 1,
        "riskLimitValue": str(RISK_LIMIT),
        "symbol": leg.symbol,
        "side": leg.side,
        "size": plain(leg.size),
        "entryPrice": plain(leg.entry),
        "sessionAvgPrice": "",
        "leverage": plain(leg.leverage),
        "positionValue": value,
        "positionBalance": "0",
        "markPrice": plain(mark),
        "positionIM": initial,
        "positionMM": maintenance,
        "positionIMByMp": initial,
        "positionMMByMp": maintenance,
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(leg.unrealised(mark)),
        "cumRealisedPnl": plain(leg.cum_realised),
        "curRealisedPnl": plain(leg.cur_realised),
        "createdTime": str(leg.created_ms),
        "updatedTime": str(leg.updated_ms),
        "openTime": leg.opened_ms,
        "tpslMode": "Full",
        "liqPrice": plain(leg.liquidation) if leg.size else "",
        "breakEvenPrice": plain(leg.break_even) if leg.size else "",
        "bustPrice": "",
        "category": "linear",
        "positionStatus": "Normal",
        "adlRankIndicator": 2 if leg.size else 0,
        "autoAddMargin": 0,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "seq": leg.seq if leg.seq else "-1",
        "isReduceOnly": False,
    }


def wallet_row(account: Account, marks: Mapping[str, Decimal]) -> Row:
    """The row of `wallet`: everything in USDT, whose dollar value is one."""
    legs = [(leg, marks[leg.symbol]) for leg in account.held()]
    unrealised = sum((leg.unrealised(mark) for leg, mark in legs), Decimal())
    in_positions = sum((leg.initial_margin for leg, _ in legs), Decimal())
    in_orders = sum(map(account.margin, account.open.values()), Decimal())
    needed = sum((leg.maintenance_margin for leg, _ in legs), Decimal())
    equity, initial = account.balance + unrealised, in_positions + in_orders
    shares = {
        "accountIMRate": _rate(initial, equity),
        "accountMMRate": _rate(needed, equity),
    }
    totals = {"totalInitialMargin": plain(initial), "totalMaintenanceMargin": plain(needed)}
    return {
        **shares,
        **{f"{name}ByMp": value for name, value in shares.items()},
        "totalEquity": plain(equity),
        "totalWalletBalance": plain(account.balance),
        "totalMarginBalance": plain(equity),
        "totalAvailableBalance": plain(max(equity - initial, Decimal())),
        "totalPerpUPL": plain(unrealised),
        **totals,
        **{f"{name}ByMp": value for name, value in totals.items()},
        "coin": [
            {
                "coin": "USDT",
                "equity": plain(equity),
                "usdValue": plain(equity),
                "walletBalance": plain(account.balance),
                "availableToWithdraw": "",
                "availableToBorrow": "",
                "borrowAmount": "0",
                "accruedInterest": "0",
                "totalOrderIM": plain(in_orders),
                "totalPositionIM": plain(in_positions),
                "totalPositionMM": plain(needed),
                "unrealisedPnl": plain(unrealised),
                "cumRealisedPnl": plain(account.realised),
                "bonus": "0",
                "collateralSwitch": True,
                "marginCollateral": True,
                "colRes": "0",
                "locked": "0",
                "spotHedgingQty": "0",
                "spotBorrow": "0",
            }
        ],
        "accountLTV": "0",
        "accountType": "UNIFIED",
    }


def _rate(margin: Decimal, equity: Decimal) -> str:
    return plain((margin / equity).quantize(Decimal("0.0001"))) if equity > 0 else ""
