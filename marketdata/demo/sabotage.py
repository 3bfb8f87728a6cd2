"""Writers that do wrong on purpose, to show that the verdict notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from marketdata.bybit.records import TradeRecord
from marketdata.capture.public_writers import TradeWriter

ONE_IN = 10_000


def _drop(row: TradeRecord) -> list[TradeRecord]:
    return []


def _double(row: TradeRecord) -> list[TradeRecord]:
    return [row, row._replace(exchange_ts=row.exchange_ts + timedelta(milliseconds=1))]


def _alter(row: TradeRecord) -> list[TradeRecord]:
    return [row._replace(price=row.price + Decimal("0.1"))]


WAYS: dict[str, Callable[[TradeRecord], list[TradeRecord]]] = {
    "drop": _drop,
    "double": _double,
    "alter": _alter,
}


def sabotaged_writer(way: str) -> type[TradeWriter]:
    """A TradeWriter that treats one row in ten thousand in the way that `way` names."""
    spoil = WAYS[way]

    class SabotagedTradeWriter(TradeWriter):
        """Spoils the first row and each ten-thousandth after it."""

        _passed = 0

        def write(self, records: Sequence[TradeRecord], account_id: UUID | None = None) -> None:
            """Write `records`, some of them spoilt."""
            kept: list[TradeRecord] = []
            for record in records:
                kept += spoil(record) if self._passed % ONE_IN == 0 else [record]
                self._passed += 1
            super().write(kept, account_id)

    return SabotagedTradeWriter
