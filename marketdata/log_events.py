"""The events that logs name: one table. docs/logs.md holds it as `as_markdown` writes it.

An event's name never changes its meaning, so that people and programs can look for it. It is
logged when something begins or ends, never again and again while it lasts; `summary` says each
minute how things are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

# {"symbol": "BTCUSDT"} or {"s": ...} as sent, symbol='BTCUSDT' in a record; V5 calls an order orderId.
IDS: Final = {
    "symbol": re.compile(r"""\b(?:symbol|s)["']?[:=] ?["']([A-Z0-9-]{2,32})["']"""),
    "order_id": re.compile(r"""\b(?:orderId|order_id)["']?[:=] ?["']([\w-]{1,64})["']"""),
}
# What holds for everything that a thread logs meanwhile: the account, the run.
_context: ContextVar[dict[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 - never changed, only replaced


@dataclass(frozen=True)
class LogEvent:
    """One kind of event: its name, level, meaning, and the names of its fields.

    Fields that are empty or None are left out of a line.
    """

    name: str
    level: int
    meaning: str
    fields: tuple[str, ...] = ()

    def log(self, logger: logging.Logger, text: str, *args: object, **fields: object) -> None:
        """Log it: `text` for people, with `args` as logging has them, and `fields` for programs."""
        self._log(logger, text, args, fields, None)

    def log_error(
        self,
        logger: logging.Logger,
        error: BaseException,
        text: str,
        *args: object,
        **fields: object,
    ) -> None:
        """Log it, with where `error` came from."""
        self._log(logger, text, args, fields, error)

    def _log(
        self,
        logger: logging.Logger,
        text: str,
        args: tuple[object, ...],
        fields: dict[str, object],
        error: BaseException | None,
    ) -> None:
        in_order = {name: fields[name] for name in self.fields if name in fields}
        extra = {"event": self.name, "fields": in_order | fields}
        logger.log(self.level, text, *args, exc_info=error, extra=extra, stacklevel=3)


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Have everything that this thread logs in the block carry `fields`."""
    token = _context.set(_context.get() | fields)
    try:
        yield
    finally:
        _context.reset(token)


def ids_in(raw: str) -> dict[str, str]:
    """The first symbol and the first order id in what the exchange sent, or in a record of it."""
    return {
        name: found[1]
        for name, pattern in IDS.items()
        if (found := pattern.search(raw)) is not None
    }


def context_fields() -> dict[str, Any]:
    """What `log_context` has set in this thread."""
    return _context.get()


_INFO, _WARNING, _ERROR = logging.INFO, logging.WARNING, logging.ERROR

CAPTURE_STARTED: Final = LogEvent(
    "capture_started", _INFO, "Capture has begun; how many symbols, and from which environment.",
    ("symbols", "environment"),
)  # fmt: skip
CAPTURE_STOPPED: Final = LogEvent(
    "capture_stopped", _INFO, "Capture has ended; rows received in all, and left on disk.",
    ("exit_code", "seconds", "received", "left_in_spool"),
)  # fmt: skip
CAPTURE_FAILED: Final = LogEvent(
    "capture_failed", _ERROR, "Capture stops, or leaves something behind, because of this.",
    ("exit_code", "reason"),
)  # fmt: skip
PART_HUNG: Final = LogEvent(
    "part_hung", _ERROR, "A part of capture makes no progress, and systemd's watchdog is not fed.",
    ("part", "seconds"),
)  # fmt: skip
PART_MOVES: Final = LogEvent("part_moves", _WARNING, "It makes progress again.", ("part",))
PART_DIED: Final = LogEvent(
    "part_died", _ERROR, "A part of capture ended in an error; capture ends with it.", ("part",)
)
LEASE_TAKEN: Final = LogEvent("lease_taken", _INFO, "This capture alone writes now.", ("epoch",))
LEASE_AWAITED: Final = LogEvent(
    "lease_awaited", _WARNING, "This capture stands by for another one.", ("reason",)
)
LEASE_LOST: Final = LogEvent(
    "lease_lost", _ERROR, "Another capture has taken over; this one stops.", ("epoch",)
)
CONNECTED: Final = LogEvent(
    "connected", _INFO, "A connection is there and subscribed, after so many attempts.",
    ("connection", "feeds", "attempts"),
)  # fmt: skip
CONNECTION_LOST: Final = LogEvent(
    "connection_lost", _WARNING, "A connection has ended and is built anew.",
    ("connection", "feeds", "reason"),
)  # fmt: skip
CONNECTION_FAILED: Final = LogEvent(
    "connection_failed", _WARNING,
    "A connection could not be built and is tried again; said once for each reason.",
    ("connection", "reason"),
)  # fmt: skip
CONNECTION_HUNG: Final = LogEvent(
    "connection_hung", _WARNING, "A connection did not close in time and is left to itself.",
    ("connection", "seconds"),
)  # fmt: skip
SUBSCRIPTION_REFUSED: Final = LogEvent(
    "subscription_refused", _WARNING, "The exchange refused a topic.", ("topic", "reason")
)
GAP_OPENED: Final = LogEvent(
    "gap_opened", _WARNING, "Symbols, or an account, of a stream are not captured from `since` on.",
    ("stream", "symbol", "account", "gaps", "since", "reason"),
)  # fmt: skip
GAP_CLOSED: Final = LogEvent(
    "gap_closed", _INFO, "They are captured again from `until` on; repairs see to what was missed.",
    ("stream", "symbol", "account", "gaps", "since", "until", "seconds"),
)  # fmt: skip
REPAIR_DONE: Final = LogEvent(
    "repair_done", _INFO, "REST gave rows that were new; `reason` says why some are missing still.",
    ("stream", "subject", "new", "reason"),
)  # fmt: skip
REPAIR_WAITS: Final = LogEvent(
    "repair_waits", _WARNING, "REST cannot be asked for now.", ("connection", "reason")
)
REPAIR_FAILED: Final = LogEvent(
    "repair_failed", _ERROR, "A repair ended in an error of this program; its gap stays open."
)
ROWS_MISSED: Final = LogEvent(
    "rows_missed", _WARNING, "An audit found rows that the stream had not brought.",
    ("stream", "subject", "rows", "reason"),
)  # fmt: skip
DATABASE_AWAY: Final = LogEvent(
    "database_away", _WARNING,
    "The database does not take what a part has: until `database_back`, or `spool_replaying`.",
    ("part", "reason"),
)  # fmt: skip
DATABASE_BACK: Final = LogEvent(
    "database_back", _WARNING, "The database takes it again.", ("part", "seconds")
)
DATABASE_REFUSES: Final = LogEvent(
    "database_refuses", _ERROR, "The database is there and refuses what a part of capture brings.",
    ("part",),
)  # fmt: skip
SPOOL_BEGAN: Final = LogEvent("spool_began", _WARNING, "Rows of a stream go to disk.", ("stream",))
SPOOL_REPLAYING: Final = LogEvent(
    "spool_replaying", _WARNING, "The database takes rows from disk again.", ("stream", "seconds")
)
SPOOL_EMPTY: Final = LogEvent(
    "spool_empty", _WARNING, "Nothing of the stream waits on disk any more.", ("stream",)
)
SPOOL_FAILED: Final = LogEvent(
    "spool_failed", _ERROR, "The disk takes nothing, or does not give it back. Once a minute.",
    ("stream", "reason"),
)  # fmt: skip
SPOOL_DAMAGED: Final = LogEvent(
    "spool_damaged", _WARNING, "A file of an earlier capture is cut, left alone, or set aside.",
    ("path", "reason"),
)  # fmt: skip
ROWS_DROPPED: Final = LogEvent(
    "rows_dropped", _ERROR, "Rows will not reach the database; a gap declares them. Once a minute.",
    ("stream", "rows", "reason"),
)  # fmt: skip
SPOOL_SET_ASIDE: Final = LogEvent(
    "spool_set_aside", _ERROR, "Rows on disk cannot be stored, and are kept apart.",
    ("path", "reason"),
)  # fmt: skip
QUARANTINED: Final = LogEvent(
    "quarantined", _WARNING, "Something could not be stored: ten in a minute, and each thousandth.",
    ("topic", "account", "symbol", "order_id", "count", "reason"),
)  # fmt: skip
ROW_REFUSED: Final = LogEvent(
    "row_refused", _WARNING, "A row does not reach the engine.",
    ("topic", "symbol", "order_id", "reason"),
)  # fmt: skip
FRAME_FAILED: Final = LogEvent(
    "frame_failed", _ERROR,
    "A frame ended in an error of this program and is in quarantine. Once a minute for each kind.",
)  # fmt: skip
INSTRUMENT_REFUSED: Final = LogEvent(
    "instrument_refused", _WARNING, "The exchange's list has an instrument that cannot be read.",
    ("symbol", "reason"),
)  # fmt: skip
SYMBOLS_UNCHECKED: Final = LogEvent(
    "symbols_unchecked", _WARNING, "The exchange's list is missing: symbols are taken as they are.",
    ("reason",),
)  # fmt: skip
JOURNAL_FAILED: Final = LogEvent(
    "journal_failed", _WARNING,
    "The journal lacks frames, or the disk does not take them. Once a minute.",
    ("frames", "reason"),
)  # fmt: skip
ACCOUNT_SERVED: Final = LogEvent(
    "account_served", _INFO, "An account is captured from now on.",
    ("account", "environment", "run"),
)  # fmt: skip
ACCOUNT_LEFT: Final = LogEvent(
    "account_left", _INFO, "An account is captured no longer, or anew with another key.",
    ("account",),
)  # fmt: skip
ACCOUNT_SET_ASIDE: Final = LogEvent(
    "account_set_aside", _WARNING, "An account cannot be captured.", ("account", "reason")
)
SUMMARY: Final = LogEvent(
    "summary", _INFO,
    "Each minute: what became of its rows, what waits now, and what else there was.",
    ("seconds", "received", "stored", "updated", "duplicate", "conflated", "quarantined", "dropped",
     "buffered", "spooled", "lag_seconds", "gaps", "reconnects", "set_aside"),
)  # fmt: skip
ALERT: Final = LogEvent(
    "alert", _ERROR, "`manage.py watch`: something is wrong (notifications.md).",
    ("condition", "subject", "severity", "what", "suppressed"),
)  # fmt: skip
ALERT_OVER: Final = LogEvent(
    "alert_over", _INFO, "`manage.py watch`: it is over.",
    ("condition", "subject", "what", "suppressed"),
)  # fmt: skip
DELIVERY_FAILED: Final = LogEvent(
    "delivery_failed", _ERROR, "`manage.py watch`: an address did not take a message.",
    ("position", "scheme", "reason"),
)  # fmt: skip
DELIVERY_WORKS: Final = LogEvent(
    "delivery_works", _WARNING, "`manage.py watch`: it takes messages again.",
    ("position", "scheme", "failed"),
)  # fmt: skip
PAGE_CUT_OFF: Final = LogEvent(
    "page_cut_off", _WARNING,
    "The database took too long over a page of the site, which was answered with 503.", ("path",),
)  # fmt: skip
UNCAUGHT: Final = LogEvent(
    "uncaught", _ERROR, "An error that nobody caught ended the program, a thread or an object.",
    ("thread",),
)  # fmt: skip

EVENTS: Final = {each.name: each for each in list(vars().values()) if isinstance(each, LogEvent)}


def as_markdown() -> str:
    """The table."""
    lines = ["| event | level | fields | meaning |", "|---|---|---|---|"]
    for each in EVENTS.values():
        fields = ", ".join(f"`{field}`" for field in each.fields)
        level = logging.getLevelName(each.level)
        lines.append(f"| `{each.name}` | {level} | {fields} | {each.meaning} |")
    return "\n".join(lines)
