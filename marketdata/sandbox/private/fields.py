"""Reading the body of a request to trade: fields of the documented kinds, on the symbol's grid.

Sources: V5 "Place Order", "Amend Order", "Get Instruments Info". Figures are strings, as
documented; a number in their place is refused, so that a client that sends floats is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from marketdata.sandbox.instruments import MAX_STEPS, MAX_TICKS, Instrument
from marketdata.sandbox.private.refusals import Refused, wrong

LINK = re.compile(r"[0-9A-Za-z_-]{1,36}")
FIGURE = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
# Conditional orders and their like are not to be had here, and are not to be taken for others.
NOT_HERE = (
    "triggerPrice", "takeProfit", "stopLoss", "trailingStop", "slippageTolerance", "orderIv",
    "bboSideType", "closeOnTrigger", "mmp",
)  # fmt: skip


class Fields:
    """The fields of a body, or of one order in a batch. Everything raises Refused."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def text(self, name: str) -> str:
        """A string, empty when there is none."""
        value = self._body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(name)
        return value

    def choice(self, name: str, options: Sequence[str], default: str = "") -> str:
        """One of these strings."""
        value = self.text(name) or default
        if value not in options:
            raise wrong(name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false when there is none."""
        value = self._body.get(name)
        if value is not None and type(value) is not bool:
            raise wrong(name)
        return bool(value)

    def whole(self, name: str, options: Sequence[int], default: int | None = None) -> int:
        """One of these integers."""
        value = self._body.get(name, default)
        if type(value) is not int or value not in options:
            raise wrong(name)
        return value

    def figure(self, name: str) -> Decimal | None:
        """A figure above zero; None when there is none."""
        text = self.text(name)
        if not text:
            return None
        if not FIGURE.fullmatch(text) or not (value := Decimal(text)):
            raise wrong(name)
        return value

    def linear(self) -> None:
        """Only linear contracts are traded here."""
        if self.text("category") != "linear":
            raise Refused(10001, "params error: Category is invalid")

    def link(self) -> str:
        """The client's own id of the order."""
        link = self.text("orderLinkId")
        if link and not LINK.fullmatch(link):
            raise wrong("orderLinkId")
        return link

    def plain(self) -> None:
        """Refuse what would make it another kind of order than the sandbox knows."""
        for name in NOT_HERE:
            if self._body.get(name) not in (None, "", "0", 0):
                raise Refused(10001, f"params error: {name} is not supported by the sandbox")


def read_price(fields: Fields, one: Instrument) -> Decimal | None:
    """A price on the grid."""
    price = fields.figure("price")
    if price is None:
        return None
    if price % one.tick_size:
        raise wrong("price")
    if not one.tick_size <= price <= one.tick_size * MAX_TICKS:
        raise Refused(110003)
    return price


def read_qty(fields: Fields, one: Instrument, most: int = MAX_STEPS) -> Decimal | None:
    """A quantity on the grid, of so many steps at most."""
    qty = fields.figure("qty")
    if qty is not None and (qty % one.qty_step or qty > one.qty_step * most):
        raise wrong("qty")
    return qty
