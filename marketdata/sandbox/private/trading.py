"""What a client may do on its account: the rules of the exchange before its matching book.

An accepted request is answered at once and means no more than that; what becomes of it is told on
the streams. Sources: V5 "Trade" and "Position" pages, "Error Codes". Not modelled: conditional
orders, take profit and stop loss, price limits around the mark price, self-match prevention,
liquidation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from gridcore.matching import InvalidOrder, NothingToReduce
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.instruments import (
    LEVERAGE_STEP,
    MAX_LEVERAGE,
    MAX_MARKET_STEPS,
    MAX_STEPS,
    MIN_LEVERAGE,
    MIN_NOTIONAL,
    Instrument,
)
from marketdata.sandbox.private.book import LOOK_BACK_MS, TAKER_FEE, Account, Outcome
from marketdata.sandbox.private.fields import Fields, read_price, read_qty
from marketdata.sandbox.private.legs import LONG, ONE_WAY, SHORT
from marketdata.sandbox.private.orders import BUY, SELL, Order
from marketdata.sandbox.private.refusals import Refused, wrong

Answer = dict[str, Any]

MAX_ORDERS = 500
MODE_MISMATCH = "position idx not match position mode"
UNCHANGED = "The order remains unchanged as the parameters entered match the existing ones."
TOO_LATE_TO_REPLACE = "order not exists or too late to replace"
ONE_WAY_MODE, HEDGE_MODE = 0, 3
SELF_MATCH_PREVENTIONS = ("None", "CancelMaker", "CancelTaker", "CancelBoth")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
# How far from the market a market order goes at most: the exchange makes a limit order of it.
MARKET_REACH = Decimal("0.05")


class Trader:
    """An account's orders and settings; everything raises Refused and then has changed nothing."""

    def __init__(
        self,
        account: Account,
        exchange: Exchange,
        new_id: Callable[[], str],
        available: Callable[[], Decimal],
        tell: Callable[[Outcome], None],
    ) -> None:
        self._account = account
        self._exchange = exchange
        self._new_id = new_id
        self._available = available
        self._tell = tell

    # --- orders ------------------------------------------------------------------------------

    def create(self, body: Mapping[str, Any]) -> Answer:
        """Take a new order in; its ids."""
        order = self._read_order(Fields(body))
        one = self._exchange.instruments[order.symbol]
        self._check_worth(order, order.price, order.qty)
        if len(self._account.orders_in(one.symbol)) >= MAX_ORDERS:
            raise Refused(110020)
        if self._account.opens(order):
            cost = order.price * order.qty
            self._check_funds(cost / self._account.leg(order).leverage + cost * TAKER_FEE)
        try:
            touch = self._exchange.touch(one.symbol)
            outcome = self._account.place(order, touch, self._exchange.clock())
        except NothingToReduce:
            raise Refused(110017) from None
        self._tell(outcome)
        return _ids(order)

    def amend(self, body: Mapping[str, Any]) -> Answer:
        """Change an open order's price, its quantity, or both."""
        fields = Fields(body)
        fields.plain()
        one = self._symbol(fields)
        order = self._open(fields, one.symbol, TOO_LATE_TO_REPLACE)
        price, qty = read_price(fields, one), read_qty(fields, one)
        price, qty = price or order.price, qty or order.qty
        if (price, qty) == (order.price, order.qty):
            raise Refused(10001, UNCHANGED)
        self._check_worth(order, price, qty)
        if self._account.opens(order):
            value, before = price * (qty - order.cum_qty), order.price * order.leaves
            self._check_funds((value - before) / self._account.leg(order).leverage)
        touch = self._exchange.touch(one.symbol)
        try:
            outcome = self._account.amend(order, price, qty, touch, self._exchange.clock())
        except InvalidOrder:
            raise wrong("qty") from None
        self._tell(outcome)
        return _ids(order)

    def cancel(self, body: Mapping[str, Any]) -> Answer:
        """End an open order."""
        fields = Fields(body)
        order = self._open(fields, self._symbol(fields).symbol)
        self._tell(self._account.cancel(order.symbol, [order], self._exchange.clock()))
        return _ids(order)

    def cancel_all(self, body: Mapping[str, Any]) -> Answer:
        """End all open orders of a symbol, a base coin, or a settlement coin."""
        ended = []
        for symbol in self._symbols(Fields(body)):
            if orders := self._account.orders_in(symbol):
                self._tell(self._account.cancel(symbol, orders, self._exchange.clock()))
                ended += orders
        return {"list": [_ids(order) for order in ended], "success": "1"}

    # --- settings ----------------------------------------------------------------------------

    def switch_mode(self, body: Mapping[str, Any]) -> Answer:
        """Choose one-way or hedge mode of a symbol, or of all that are settled in a coin."""
        fields = Fields(body)
        fields.linear()
        hedge = fields.whole("mode", (ONE_WAY_MODE, HEDGE_MODE)) == HEDGE_MODE
        symbols = [self._symbol(fields).symbol] if fields.text("symbol") else self._coin(fields)
        account = self._account
        others = [symbol for symbol in symbols if account.is_hedged(symbol) != hedge]
        if not others:
            raise Refused(110025)
        if any(leg.size for symbol in others for leg in account.legs_of(symbol)):
            raise Refused(110024)
        if any(map(account.has_orders, others)):
            raise Refused(110028)
        for symbol in others:
            account.switch(symbol, hedge=hedge)
            self._tell(account.event(symbol, self._exchange.clock()))
        return {}

    def set_leverage(self, body: Mapping[str, Any]) -> Answer:
        """Choose the leverage of a symbol; under cross margin both sides have the same."""
        fields = Fields(body)
        symbol = self._symbol(fields).symbol
        leverage = fields.figure("buyLeverage")
        if leverage is None or leverage != fields.figure("sellLeverage"):
            raise wrong("leverage")
        if leverage > MAX_LEVERAGE:
            raise Refused(110013)
        if leverage < MIN_LEVERAGE or leverage % LEVERAGE_STEP:
            raise wrong("leverage")
        if leverage == self._account.legs_of(symbol)[0].leverage:
            raise Refused(110043)
        self._account.set_leverage(symbol, leverage)
        self._tell(self._account.event(symbol, self._exchange.clock()))
        return {}

    # --- reading -----------------------------------------------------------------------------

    def _read_order(self, fields: Fields) -> Order:
        """A new order as it was asked for. Its link is known from now on only if it is taken."""
        fields.plain()
        # It says how a take profit is filled, of which there is none.
        fields.choice("tpslMode", ("", "Full", "Partial"))
        one = self._symbol(fields)
        link, side = fields.link(), fields.choice("side", (BUY, SELL))
        market = fields.choice("orderType", ("Limit", "Market")) == "Market"
        qty = read_qty(fields, one, MAX_MARKET_STEPS if market else MAX_STEPS)
        price = self._reach(one, side) if market else read_price(fields, one)
        if qty is None:
            raise wrong("qty")
        if price is None:
            raise wrong("price")
        in_force = fields.choice("timeInForce", TIMES_IN_FORCE, "IOC" if market else "GTC")
        if market and in_force == "PostOnly":
            raise wrong("timeInForce")
        index = fields.whole("positionIdx", (ONE_WAY, LONG, SHORT), ONE_WAY)
        if self._account.is_hedged(one.symbol) != (index != ONE_WAY):
            raise Refused(10001, MODE_MISMATCH)
        if link in self._account.links:
            raise Refused(110072)
        created = self._exchange.clock() - LOOK_BACK_MS
        return Order(
            symbol=one.symbol,
            order_id=self._new_id(),
            link_id=link,
            side=side,
            position_idx=index,
            qty=qty,
            price=price,
            order_type="Market" if market else "Limit",
            time_in_force="IOC" if market and in_force == "GTC" else in_force,
            reduce_only=fields.flag("reduceOnly"),
            smp_type=fields.choice("smpType", SELF_MATCH_PREVENTIONS, "None"),
            last_price=self._exchange.quote(one.symbol),
            created_ms=created,
            updated_ms=created,
        )

    def _reach(self, one: Instrument, side: str) -> Decimal:
        """The worst price that a market order takes, on the grid."""
        bid, ask = self._exchange.touch(one.symbol)
        price = ask * (1 + MARKET_REACH) if side == BUY else bid * (1 - MARKET_REACH)
        rounding = ROUND_CEILING if side == BUY else ROUND_FLOOR
        ticks = (price / one.tick_size).to_integral_value(rounding)
        return max(ticks, Decimal(1)) * one.tick_size

    def _symbol(self, fields: Fields) -> Instrument:
        fields.linear()
        one = self._exchange.instruments.get(fields.text("symbol"))
        if one is None:
            raise wrong("symbol")
        return one

    def _symbols(self, fields: Fields) -> list[str]:
        """The symbols that a request without an order is about."""
        if fields.text("symbol"):
            return [self._symbol(fields).symbol]
        fields.linear()
        if base := fields.text("baseCoin"):
            return [
                one.symbol for one in self._exchange.instruments.values() if one.base_coin == base
            ]
        if not fields.text("settleCoin"):
            raise Refused(10001, "params error: symbol, baseCoin or settleCoin is required")
        return list(self._exchange.instruments) if fields.text("settleCoin") == "USDT" else []

    def _coin(self, fields: Fields) -> list[str]:
        if fields.text("coin") != "USDT":
            raise wrong("symbol")
        return list(self._exchange.instruments)

    def _open(self, fields: Fields, symbol: str, message: str = "") -> Order:
        """The open order that is meant; the exchange's own id wins over the client's."""
        order_id, link = fields.text("orderId"), fields.text("orderLinkId")
        if not (order_id or link):
            raise Refused(10001, "params error: orderId or orderLinkId is required")
        for order in self._account.orders_in(symbol):
            if order.order_id == order_id if order_id else order.link_id == link:
                return order
        raise Refused(110001, message)

    def _check_worth(self, order: Order, price: Decimal, qty: Decimal) -> None:
        if self._account.opens(order) and price * qty < MIN_NOTIONAL:
            raise Refused(110094)

    def _check_funds(self, cost: Decimal) -> None:
        if cost > 0 and cost > self._available():
            raise Refused(110007)


def _ids(order: Order) -> Answer:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}
