"""The contracts that the sandbox lists: their grids of price and size, as the exchange says them.

Prices live on a grid of `tick_size` (USDT), sizes on one of `qty_step` (base coin). Field names
are those of `/v5/market/instruments-info` for a linear perpetual.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

SYMBOL = re.compile(r"[A-Z0-9]{1,20}USDT")
DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MAX_TICKS, MAX_STEPS, MAX_MARKET_STEPS = 20_000_000, 1_000_000, 500_000
MIN_NOTIONAL = Decimal(5)
MIN_LEVERAGE, MAX_LEVERAGE, LEVERAGE_STEP = Decimal(1), Decimal(100), Decimal("0.01")
RISK_LIMIT, MAINTENANCE_MARGIN = 2_000_000, Decimal("0.005")
LAUNCHED_MS = 1_585_526_400_000
FUNDING_INTERVAL_MINUTES = 480


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """One linear USDT perpetual; `start_price` is where its random walk begins."""

    symbol: str
    tick_size: Decimal
    qty_step: Decimal
    start_price: Decimal
    funding_minutes: int = FUNDING_INTERVAL_MINUTES

    @property
    def funding_ms(self) -> int:
        """The time between two fundings."""
        return self.funding_minutes * 60_000

    @property
    def base_coin(self) -> str:
        """The coin that is traded."""
        return self.symbol.removesuffix("USDT")

    @property
    def start_ticks(self) -> int:
        """The first price in whole ticks."""
        return int(self.start_price / self.tick_size)

    def price(self, ticks: int) -> str:
        """A price on the grid, as the wire writes it."""
        return format(self.tick_size * ticks, "f")

    def size(self, steps: int) -> str:
        """A size on the grid, as the wire writes it."""
        return format(self.qty_step * steps, "f")

    def describe(self) -> dict[str, Any]:
        """The row of `/v5/market/instruments-info`."""
        return {
            "symbol": self.symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": self.base_coin,
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "launchTime": str(LAUNCHED_MS),
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": str(-int(self.tick_size.as_tuple().exponent)),
            "leverageFilter": {
                "minLeverage": str(MIN_LEVERAGE),
                "maxLeverage": f"{MAX_LEVERAGE:.2f}",
                "leverageStep": str(LEVERAGE_STEP),
            },
            "priceFilter": {
                "minPrice": self.price(1),
                "maxPrice": self.price(MAX_TICKS),
                "tickSize": self.price(1),
            },
            "lotSizeFilter": {
                "maxOrderQty": self.size(MAX_STEPS),
                "minOrderQty": self.size(1),
                "qtyStep": self.size(1),
                "postOnlyMaxOrderQty": self.size(MAX_STEPS),
                "maxMktOrderQty": self.size(MAX_MARKET_STEPS),
                "minNotionalValue": str(MIN_NOTIONAL),
            },
            "unifiedMarginTrade": True,
            "fundingInterval": self.funding_minutes,
            "copyTrading": "none",
            "upperFundingRate": "0.005",
            "lowerFundingRate": "-0.005",
            "isPreListing": False,
            "preListingInfo": None,
            "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        }

    def risk(self) -> dict[str, Any]:
        """The row of `/v5/market/risk-limit`."""
        return {
            "id": 1,
            "symbol": self.symbol,
            "riskLimitValue": str(RISK_LIMIT),
            "maintenanceMargin": str(MAINTENANCE_MARGIN),
            "initialMargin": str(1 / MAX_LEVERAGE),
            "isLowestRisk": 1,
            "maxLeverage": f"{MAX_LEVERAGE:.2f}",
            "mmDeduction": "",
        }


KNOWN = {
    "BTCUSDT": ("0.10", "0.001", "60000"),
    "ETHUSDT": ("0.01", "0.01", "3000"),
    "SOLUSDT": ("0.010", "0.1", "150"),
}
UNKNOWN = ("0.0001", "1", "2")


def instrument(symbol: str) -> Instrument:
    """The contract of that name. Raises ValueError for a name no USDT perpetual can have."""
    if not SYMBOL.fullmatch(symbol):
        raise ValueError(f"{symbol!r} is not the name of a USDT perpetual such as BTCUSDT.")
    tick_size, qty_step, start = map(Decimal, KNOWN.get(symbol, UNKNOWN))
    return Instrument(symbol=symbol, tick_size=tick_size, qty_step=qty_step, start_price=start)
