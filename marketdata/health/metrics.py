"""Every metric that gridbot exports: name, kind, labels, meaning.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels are kinds of things of
which there are a handful: no metric has one for each symbol, account or order, however many there
are. docs/health.md holds these tables as `as_markdown` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Sample = tuple[Sequence[str], float | None]


@dataclass(frozen=True)
class Described:
    """One metric; `labels` are the names of its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Counters end in _total and only ever rise while a process lives; all else is a gauge."""
        return "counter" if self.name.endswith("_total") else "gauge"

    def family(self, samples: Iterable[Sample]) -> Metric:
        """The metric with its values; one that is not known (None) is left out."""
        made = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family: CounterMetricFamily | GaugeMetricFamily
        family = made(self.name, self.meaning, labels=self.labels)
        for labels, value in samples:
            if value is not None:
                family.add_metric(labels, value)
        return family

    def single(self, value: float | None) -> Metric:
        """The metric without labels."""
        return self.family([((), value)])


def as_markdown(described: Iterable[Described]) -> str:
    """The metrics as a table."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for each in described:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.meaning} |")
    return "\n".join(lines)


# --- Of the capture process -------------------------------------------------------------------

_OF = ("stream",)
READY = Described(
    "gridbot_capture_ready", "1 when all that is served was repaired once, or could not be."
)
DATABASE_UP = Described(
    "gridbot_capture_database_up", "1 while the database takes what capture writes."
)
MESSAGE_AGE = Described(
    "gridbot_capture_last_message_age_seconds",
    "Since the last frame of the stream, of any symbol or account; of a public one that had none "
    "since capture began.",
    _OF,
)
LAG = Described(
    "gridbot_capture_lag_seconds",
    "From the exchange's time of a row to its commit, of the last batch; the slowest account's.",
    _OF,
)
RECEIVED = Described(
    "gridbot_capture_rows_received_total", "Rows that arrived, or were taken over from disk.", _OF
)
ROWS = Described(
    "gridbot_capture_rows_total",
    "Rows that are settled, by outcome: stored, updated, duplicate, conflated, quarantined, dropped.",
    (*_OF, "outcome"),
)
QUEUE = Described("gridbot_capture_queue_rows", "Rows that wait in memory for the database.", _OF)
SPOOLED = Described("gridbot_capture_spooled_rows", "Rows that wait on disk for the database.", _OF)
SPOOL_BYTES = Described("gridbot_capture_spool_bytes", "Bytes of rows that wait on disk.")
SPOOL_LIMIT = Described(
    "gridbot_capture_spool_limit_bytes", "Bytes that they may take: GRIDBOT_SPOOL_MAX_BYTES."
)
SPOOL_ASIDE = Described(
    "gridbot_capture_spool_set_aside_files",
    "Pieces of the spool that were set aside and are not in the database.",
)
DISK_FREE = Described(
    "gridbot_capture_spool_disk_free_bytes", "Bytes that are free on the disk of the spool."
)
GAPS = Described(
    "gridbot_capture_gaps_total",
    "Gaps that have opened, one for each symbol or account of a stream.",
)
OPEN_GAPS = Described(
    "gridbot_capture_open_gaps",
    "Gaps that go on: symbols or accounts of the stream that are not captured now, but for accounts "
    "that are set aside.",
    _OF,
)
OPEN_GAP_AGE = Described(
    "gridbot_capture_open_gap_seconds",
    "How long the oldest of them has lasted; 0 without one.",
    _OF,
)
CONNECTIONS = Described(
    "gridbot_capture_connections",
    "WebSocket connections by kind (public, private) and state (up, down).",
    ("kind", "state"),
)
SILENCE = Described(
    "gridbot_capture_connection_silent_seconds",
    "Since the last frame or pong of the connection that has been silent for longest.",
    ("kind",),
)
RECONNECTS = Described(
    "gridbot_capture_reconnects_total",
    "Attempts to build a lost connection anew, by kind (public, private).",
    ("kind",),
)
REST_CALLS = Described(
    "gridbot_capture_rest_calls_total",
    "REST calls by retCode, 0 for success; without one: rate_limited, unavailable, malformed, other.",
    ("code",),
)
CLOCK_SKEW = Described(
    "gridbot_capture_clock_skew_seconds",
    "By how much this machine's clock was ahead of the exchange's at the last REST answer.",
)
ACCOUNTS = Described(
    "gridbot_capture_accounts",
    "Accounts that are served, and that are set aside, as their key may not do what is needed.",
    ("state",),
)
PROGRESS = Described(
    "gridbot_capture_part_silent_seconds",
    "For how long a part at work has made no progress: reader, flusher, reconciler, service.",
    ("part",),
)

CAPTURE = (
    READY, DATABASE_UP, MESSAGE_AGE, LAG, RECEIVED, ROWS, QUEUE, SPOOLED, SPOOL_BYTES, SPOOL_LIMIT,
    SPOOL_ASIDE, DISK_FREE, GAPS, OPEN_GAPS, OPEN_GAP_AGE, CONNECTIONS, SILENCE, RECONNECTS,
    REST_CALLS, CLOCK_SKEW, ACCOUNTS, PROGRESS,
)  # fmt: skip

# --- Of the web process, from the database ----------------------------------------------------

STORE_UP = Described(
    "gridbot_database_up", "1 when the database answers in time; without it the others are missing."
)
STORE_BYTES = Described(
    "gridbot_database_size_bytes", "Size of the database; of SQLite the file with its log."
)
MIGRATIONS = Described("gridbot_migrations_pending", "Migrations that the database lacks.")
RUNNING = Described("gridbot_capture_running", "1 while a capture holds the lease of the database.")
ROW_AGE = Described(
    "gridbot_stream_last_row_age_seconds", "Since the exchange's time of the newest row.", _OF
)
VOUCHED_AGE = Described(
    "gridbot_stream_vouched_age_seconds",
    "Since the last instant that is vouched complete, of the symbol or account that is furthest.",
    _OF,
)
FEEDS = Described(
    "gridbot_stream_feeds",
    "Symbols or accounts of which something is vouched within the last 24 hours.",
    _OF,
)
COVERED = Described(
    "gridbot_stream_covered_seconds",
    "What is vouched complete of the last 24 hours, over all symbols or accounts.",
    _OF,
)
MISSING = Described(
    "gridbot_stream_missing_seconds",
    "What lies in gaps that are not filled, of the last 24 hours, over all symbols or accounts.",
    _OF,
)
STORED_GAPS = Described(
    "gridbot_gaps",
    "Gaps since the beginning, by state: open, filled, partial, unfillable, pruned.",
    (*_OF, "state"),
)
GAP_SECONDS = Described(
    "gridbot_gap_seconds",
    "Their length together; one that goes on counts until now.",
    (*_OF, "state"),
)
QUARANTINE = Described("gridbot_quarantined_messages", "Different messages in quarantine.")
STORED_ACCOUNTS = Described(
    "gridbot_accounts", "Exchange accounts by status: enabled, disabled, error.", ("status",)
)

WEB = (
    STORE_UP, STORE_BYTES, MIGRATIONS, RUNNING, ROW_AGE, VOUCHED_AGE, FEEDS, COVERED, MISSING,
    STORED_GAPS, GAP_SECONDS, QUARANTINE, STORED_ACCOUNTS,
)  # fmt: skip
