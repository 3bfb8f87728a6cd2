"""Funding: at the end of every interval each position pays or receives, and the rate is kept.

Source: V5 "Get Funding Rate History", and the `Funding` rows of the execution stream: a rate above
zero is paid by long positions to short ones, at the mark price.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.private.desk import Desks

DEFAULT_RATE = Decimal("0.0001")


class Funding:
    """When each symbol's funding falls due, and what it was."""

    def __init__(self, exchange: Exchange, desks: Desks) -> None:
        self._exchange = exchange
        self._desks = desks
        self._due = {symbol: self._next(symbol) for symbol in exchange.instruments}

    def settle_due(self) -> None:
        """Settle what has fallen due; intervals that nobody lived through are left out."""
        now = self._exchange.clock()
        for symbol, due in self._due.items():
            if now >= due:
                self.settle(symbol, due)
                self._due[symbol] = self._next(symbol)

    def settle(self, symbol: str, at_ms: int) -> None:
        """Let all positions of a symbol pay or receive now."""
        rate = self._rate(symbol)
        for desk in self._desks:
            desk.fund(symbol, rate)
        row = {
            "symbol": symbol,
            "fundingRate": format(rate, "f"),
            "fundingRateTimestamp": str(at_ms),
        }
        self._exchange.fundings[symbol].append(row)

    def _next(self, symbol: str) -> int:
        interval = self._exchange.instruments[symbol].funding_ms
        return (self._exchange.clock() // interval + 1) * interval

    def _rate(self, symbol: str) -> Decimal:
        try:
            rate = Decimal(self._exchange.tickers[symbol].state["fundingRate"])
        except (KeyError, TypeError, ValueError, InvalidOperation):
            return DEFAULT_RATE
        return rate if rate.is_finite() else DEFAULT_RATE
