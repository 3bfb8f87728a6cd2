"""Settings of what is captured, from where, and where it is kept."""

from __future__ import annotations

from gridbot_site.configuration.kinds import (
    flag,
    number,
    one_of,
    seconds,
    text,
    whole_number,
    words,
)
from gridbot_site.configuration.own_kinds import AGE, DIGITS, ENVIRONMENT, url
from gridbot_site.configuration.setting import Section, Setting


class Database(Section):
    """A URL, else the parts, else the SQLite file gridbot.db beside manage.py."""

    title = "Database"
    page = "docs/data-model.md"

    DATABASE_URL = Setting(
        kind=text("a URL, sqlite:// or postgresql://"),
        purpose="Where everything is stored, for example sqlite:///gridbot.db or "
        "postgresql://user:password@host:5432/name (percent-encode @ : / # % in the password, or "
        "give the parts).",
    )
    EVENTSAVER_DATABASE_URL = Setting(
        kind=text("a URL, sqlite:// or postgresql://"),
        purpose="Read when DATABASE_URL is not set.",
    )
    GRIDBOT_DB_TYPE = Setting(
        kind=one_of(("sqlite", "postgresql"), "sqlite or postgresql"),
        default="sqlite",
        purpose="The first of the parts, which are read when neither URL is set: which database.",
    )
    GRIDBOT_DB_NAME = Setting(
        kind=text("a file of SQLite, or a database of PostgreSQL"),
        purpose="The name of the database.",
        by_default="gridbot.db, or gridbot of PostgreSQL",
    )
    GRIDBOT_DB_HOST = Setting(kind=text("a host"), purpose="The server of PostgreSQL.")
    GRIDBOT_DB_PORT = Setting(kind=DIGITS, purpose="The port of that server.", by_default="5432")
    GRIDBOT_DB_USER = Setting(kind=text("a name"), purpose="The user who signs in there.")
    GRIDBOT_DB_PASSWORD = Setting(
        kind=text("any characters, as they are"), purpose="The password of that user.", secret=True
    )


class Capture(Section):
    """What is captured, and how eagerly it is stored and repaired."""

    title = "Capture"
    page = "docs/capture.md"

    EVENTSAVER_ENVIRONMENT = Setting(
        kind=ENVIRONMENT,
        purpose="The exchange environment of the public streams; wins over EVENTSAVER_TESTNET. A "
        "database holds one of them and refuses the others.",
        example="testnet",
        by_default="testnet, or mainnet with EVENTSAVER_TESTNET=false",
    )
    EVENTSAVER_TESTNET = Setting(
        kind=flag(empty=True),
        default="true",
        purpose="The testnet, or else the mainnet, where EVENTSAVER_ENVIRONMENT does not say it.",
        written=True,
    )
    EVENTSAVER_SYMBOLS = Setting(
        kind=words("symbols"),
        purpose="Which symbols; ALL for every trading linear perpetual. `capture --symbols` wins.",
        example="BTCUSDT,ETHUSDT",
        written=True,
    )
    EVENTSAVER_BATCH_SIZE = Setting(
        kind=whole_number(least=1),
        default="100",
        purpose="A writer stores when this many rows wait.",
    )
    EVENTSAVER_FLUSH_INTERVAL = Setting(
        kind=seconds(),
        default="5.0",
        purpose="It stores, too, when the oldest has waited for so long.",
    )
    EVENTSAVER_TICKER_INTERVAL_MS = Setting(
        kind=whole_number(least=0),
        default="1000",
        purpose="The last ticker state of each interval is kept, in milliseconds; 0 keeps every "
        "change.",
    )
    EVENTSAVER_GAP_THRESHOLD_SECONDS = Setting(
        kind=seconds(positive=False),
        default="5.0",
        purpose="Public outages longer than this are reconciled at once, shorter ones by the next "
        "sweep.",
    )
    EVENTSAVER_SWEEP_INTERVAL = Setting(
        kind=seconds(), default="60.0", purpose="The time between two sweeps of what is open."
    )
    EVENTSAVER_AUDIT_INTERVAL = Setting(
        kind=seconds(),
        default="300.0",
        purpose="The time between two audits of a stream that was not interrupted.",
    )
    EVENTSAVER_RECONNECT_DELAY = Setting(
        kind=seconds(),
        default="1.0",
        purpose="The first wait between two attempts to connect; it grows with each.",
    )
    EVENTSAVER_MAX_RECONNECT_DELAY = Setting(
        kind=seconds(), default="60.0", purpose="The longest wait between two attempts to connect."
    )
    EVENTSAVER_LEASE_SECONDS = Setting(
        kind=seconds(),
        default="15.0",
        purpose="One capture at a time writes to a database: how long after its last sign of life "
        "another may.",
    )


class Exchange(Section):
    """Endpoints of the sandbox environment: any server that speaks Bybit V5.

    The other environments have Bybit's own.
    """

    title = "Endpoints"
    page = "docs/sandbox.md"

    BYBIT_REST_URL = Setting(
        kind=url("https", "http"), purpose="REST.", example="http://127.0.0.1:8765"
    )
    BYBIT_WS_PUBLIC_URL = Setting(
        kind=url("wss", "ws"),
        purpose="The public streams.",
        example="ws://127.0.0.1:8765/v5/public/linear",
    )
    BYBIT_WS_PRIVATE_URL = Setting(
        kind=url("wss", "ws"),
        purpose="The streams of accounts.",
        example="ws://127.0.0.1:8765/v5/private",
    )


class Spool(Section):
    """Rows that wait on disk while the database is away."""

    title = "Spool"
    page = "docs/capture.md#the-spool"

    GRIDBOT_SPOOL_DIR = Setting(
        kind=text("the path of a folder"),
        purpose="Where they wait.",
        by_default="the SQLite file with .spool after it, else gridbot.spool beside manage.py",
    )
    GRIDBOT_SPOOL_MAX_BYTES = Setting(
        kind=whole_number(least=2**20),
        default=str(2**30),
        purpose="How much of the disk they may take, in bytes; past it tickers go first, then "
        "public trades.",
    )
    GRIDBOT_SPOOL_AFTER_SECONDS = Setting(
        kind=seconds(positive=False),
        default="5.0",
        purpose="They go to disk when the database has been away for so long.",
    )
    GRIDBOT_SPOOL_ROWS = Setting(
        kind=whole_number(least=1),
        default="20000",
        purpose="They go to disk, too, when more than this many of a stream wait.",
    )


class Retention(Section):
    """How long `manage.py prune` keeps what it is asked to prune without an age.

    What belongs to an account has no setting: it is pruned by name alone.
    """

    title = "Retention"
    page = "docs/prune.md"

    GRIDBOT_RETENTION_TRADES = Setting(
        kind=AGE, purpose="Public trades.", example="90d", by_default="for ever"
    )
    GRIDBOT_RETENTION_TICKERS = Setting(
        kind=AGE, purpose="Tickers.", example="14d", by_default="for ever"
    )
    GRIDBOT_RETENTION_QUARANTINE = Setting(
        kind=AGE,
        purpose="What of the market is in quarantine.",
        example="90d",
        by_default="for ever",
    )


class Demo(Section):
    """`manage.py demo`, which takes everything else from itself."""

    title = "Demo"
    page = "docs/commands.md#demo"

    DEMO_SECONDS = Setting(
        kind=number(least=2, most=86_400),
        default="60",
        purpose="For how many seconds it captures.",
    )
