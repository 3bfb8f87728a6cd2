"""Faults that are switched on while the sandbox runs: what goes wrong, how often, and for whom.

`table` says which there are; orders, help and documents follow from it. `book` decides when one
fires and remembers that it did. `acts` do something once or again and again, `frames` change what
is pushed, `rest` what is answered. Whatever is never sent because of a fault stands in the ledger
as made, and every firing stands there, too.
"""

from __future__ import annotations

from marketdata.sandbox.faults.book import FaultBook
from marketdata.sandbox.faults.orders import FaultOrder, parse_order, read_order
from marketdata.sandbox.faults.table import FAULTS, markdown, summary

__all__ = [
    "FAULTS",
    "FaultBook",
    "FaultOrder",
    "markdown",
    "parse_order",
    "read_order",
    "summary",
]
