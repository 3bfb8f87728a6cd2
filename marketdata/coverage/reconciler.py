"""The reconciler: asks the exchange for what a gap may hide, and stores it like everything else.

The same for start-up, for reconnections and for `manage.py reconcile`. Rows go through capture's
own writers, so a row that is there already is a duplicate and nothing more.
"""

from __future__ import annotations

from datetime import datetime

from marketdata.capture.accounts import AccountContext
from marketdata.coverage.accounts import AccountReconciler
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.trades import TradeReconciler


class GapReconciler(TradeReconciler, AccountReconciler):
    """Fills gaps; one for a whole reconciliation, from one thread."""

    def reconcile_public_trades(self, symbol: str, gap_start: datetime, gap_end: datetime) -> int:
        """Ask for the trades of a span; how many were new."""
        return self.trades(symbol, Span(gap_start, gap_end)).new

    def reconcile_executions(
        self, context: AccountContext, gap_start: datetime, gap_end: datetime
    ) -> int:
        """Ask for the executions of a span; how many were new."""
        return self.executions(context, Span(gap_start, gap_end)).new
