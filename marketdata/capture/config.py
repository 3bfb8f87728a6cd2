"""What to capture, from where, and how eagerly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from marketdata.bybit.environments import Endpoints, Environment


@dataclass(frozen=True, kw_only=True)
class CaptureConfig:
    """The configuration of one capture; what is not given comes from the settings.

    `symbols` are the public streams, none for a capture of accounts alone. `private` says
    whether accounts are served: every enabled one, or those whose name or id is in `accounts`.
    `endpoints` belong to the sandbox environment.
    """

    symbols: tuple[str, ...] = ()
    private: bool = False
    accounts: tuple[str, ...] = ()
    environment: Environment = field(default_factory=lambda: settings.EVENTSAVER_ENVIRONMENT)
    endpoints: Endpoints = field(default_factory=lambda: settings.BYBIT_ENDPOINTS)
    batch_size: int = field(default_factory=lambda: settings.EVENTSAVER_BATCH_SIZE)
    flush_interval: float = field(default_factory=lambda: settings.EVENTSAVER_FLUSH_INTERVAL)
    ticker_interval_ms: int = field(default_factory=lambda: settings.EVENTSAVER_TICKER_INTERVAL_MS)
    reconnect_delay: float = field(default_factory=lambda: settings.EVENTSAVER_RECONNECT_DELAY)
    max_reconnect_delay: float = field(
        default_factory=lambda: settings.EVENTSAVER_MAX_RECONNECT_DELAY
    )
    # While the database is away for so many seconds, or so many rows of a stream wait, rows go to
    # disk, into this folder, until it holds so many bytes.
    spool_folder: Path = field(default_factory=lambda: settings.GRIDBOT_SPOOL_DIR)
    spool_max_bytes: int = field(default_factory=lambda: settings.GRIDBOT_SPOOL_MAX_BYTES)
    spool_after: float = field(default_factory=lambda: settings.GRIDBOT_SPOOL_AFTER_SECONDS)
    spool_rows: int = field(default_factory=lambda: settings.GRIDBOT_SPOOL_ROWS)
    lease_seconds: float = field(default_factory=lambda: settings.EVENTSAVER_LEASE_SECONDS)
    # Stand by while another capture holds the database, instead of giving up.
    wait: bool = False
    # Whether what streams missed is asked for by REST. Outages of public streams are repaired at
    # once above the threshold, else by the next sweep; the rest is in seconds, too: the first
    # delay before a gap that was not filled is asked for again, the time between two audits, and
    # how old a row must be to be missed by one.
    repair: bool = True
    gap_threshold: float = field(default_factory=lambda: settings.EVENTSAVER_GAP_THRESHOLD_SECONDS)
    sweep_interval: float = field(default_factory=lambda: settings.EVENTSAVER_SWEEP_INTERVAL)
    audit_interval: float = field(default_factory=lambda: settings.EVENTSAVER_AUDIT_INTERVAL)
    repair_delay: float = 60.0
    audit_lag: float = 30.0
    # How many seconds the exchange's clocks may be apart: so much later than REST's clock says
    # a gap ends whose connection is there again.
    repair_margin: float = 1.0
    # How long a row may take from the matching engine into the answers of REST: what is younger
    # is asked for once more.
    repair_settle: float = 5.0
    # How many seconds a symbol may have no trade, while other topics of its connection live, before
    # REST is asked whether there was none.
    topic_silence: float = 30.0
    # Seconds between two attempts with a key that the exchange refused, and between two looks
    # at the accounts of the database.
    refused_delay: float = 300.0
    roster_interval: float = 5.0
