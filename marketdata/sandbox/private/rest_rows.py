"""The rows of the private streams as the REST lists show them: fewer fields, some under other names.

Sources: REST "Get Trade History", "Get Order History", "Get Position Info".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marketdata.sandbox.wire import Row

# What a streamed row has and the list of the same thing has not.
ONLY_STREAMED_EXECUTION = {"category", "execPnl", "isLeverage", "marketUnit"}
ONLY_STREAMED_ORDER = {"category", "closedPnl", "feeCurrency"}


def rest_execution(row: Mapping[str, Any]) -> Row:
    """A streamed execution as `/v5/execution/list` shows it: without its profit."""
    return {name: value for name, value in row.items() if name not in ONLY_STREAMED_EXECUTION}


def rest_order(row: Mapping[str, Any]) -> Row:
    """A streamed order as the lists of orders show it."""
    shown = {name: value for name, value in row.items() if name not in ONLY_STREAMED_ORDER}
    if shown.get("avgPrice") == "":
        shown["avgPrice"] = "0"
    if shown.get("stopOrderType") == "":
        shown["stopOrderType"] = "UNKNOWN"
    return shown


def rest_position(row: Mapping[str, Any]) -> Row:
    """A streamed position as `/v5/position/list` shows it: another name for the entry price."""
    shown = {name: value for name, value in row.items() if name != "category"}
    shown["avgPrice"] = shown.pop("entryPrice")
    return shown
