"""Words and limits of Bybit's V5 protocol (https://bybit-exchange.github.io/docs/v5/intro)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

CATEGORY: Final = "linear"
SETTLE_COIN: Final = "USDT"
LINEAR_PERPETUAL: Final = "LinearPerpetual"

TRADE_TOPIC: Final = "publicTrade."
TICKER_TOPIC: Final = "tickers."

EXECUTION: Final = "execution"
ORDER: Final = "order"
POSITION: Final = "position"
WALLET: Final = "wallet"
PRIVATE_TOPICS: Final = (EXECUTION, ORDER, POSITION, WALLET)

BUY: Final = "Buy"
SELL: Final = "Sell"

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Bybit opened in 2018: an earlier time is an error, and so is one further ahead of our clock
# than two clocks may honestly differ.
EARLIEST_MS: Final = 1_514_764_800_000
CLOCK_ALLOWANCE_MS: Final = 60_000
# Funding is settled at most every 8 hours; a month leaves room for contracts still to come.
FUNDING_AHEAD_MS: Final = 31 * 86_400_000

# What a DecimalField(max_digits=30, decimal_places=12) holds; SQLite keeps 15 significant
# digits of it.
MAX_DIGITS: Final = 30
SQLITE_DIGITS: Final = 15
MAX_DECIMALS: Final = 12
MAX_WHOLE_DIGITS: Final = 18

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

# No row of the exchange is nested deeper than five levels, and JSON may be by a thousand.
MAX_DEPTH: Final = 16

RECENT_TRADES_LIMIT: Final = 1000
INSTRUMENTS_LIMIT: Final = 1000
KLINES_LIMIT: Final = 1000
EXECUTIONS_LIMIT: Final = 100
ORDERS_LIMIT: Final = 50
POSITIONS_LIMIT: Final = 200
