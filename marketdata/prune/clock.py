"""Whether this machine's clock can be believed before rows go by it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Max

from marketdata.coverage.report import TABLES
from marketdata.exits import ConfigurationError

MOST_AHEAD = timedelta(days=1)


def refuse_clock_ahead(now: datetime) -> None:
    """Raise ConfigurationError where the exchange's newest time is long before `now`.

    By a clock that is a year ahead a year more would go. The exchange's own times do not depend
    on it, so as long as anything is captured they tell how late it may be.
    """
    times = (
        table._default_manager.aggregate(at=Max("exchange_ts"))["at"] for table in TABLES.values()
    )
    newest = max((at for at in times if at is not None), default=now)
    if now - newest > MOST_AHEAD:
        raise ConfigurationError(
            f"It is {now:%Y-%m-%d %H:%M} UTC by this clock, and the newest row is of "
            f"{newest:%Y-%m-%d %H:%M}: a clock that is ahead would have too much deleted. "
            "Set it, or pass --idle where nothing was captured since."
        )
