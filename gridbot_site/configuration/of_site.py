"""Settings of the site, of logs, health and notifications, and of the process itself."""

from __future__ import annotations

from gridbot_site.configuration.kinds import (
    flag,
    log_level,
    number,
    one_of,
    seconds,
    text,
    token,
    whole_number,
    words,
)
from gridbot_site.configuration.own_kinds import FILE, NETWORKS
from gridbot_site.configuration.setting import Section, Setting


class Secrets(Section):
    """Nothing starts without SECRET_KEY and a credential key; `make .env` makes both."""

    title = "Secrets"
    page = "docs/credentials.md"

    SECRET_KEY = Setting(
        kind=text("50 random characters or more"),
        purpose="Signs sessions and recovery codes.",
        secret=True,
        written=True,
    )
    GRIDBOT_CREDENTIAL_KEYS = Setting(
        kind=text("base64 of 32 random bytes each, comma separated"),
        purpose="Seals exchange secrets: the first key seals, all of them open. Lose it and every "
        "stored exchange secret has to be entered again.",
        secret=True,
        written=True,
    )
    GRIDBOT_CREDENTIAL_KEYS_FILE = Setting(
        kind=FILE,
        purpose="Instead of GRIDBOT_CREDENTIAL_KEYS: a file (chmod 600) with one key on each line. "
        "systemd's LoadCredential= needs neither, if it gives the file the name "
        "gridbot-credential-keys.",
    )


class Web(Section):
    """The admin, as browsers reach it."""

    title = "Web"
    page = "docs/security.md"

    GRIDBOT_DEBUG = Setting(
        kind=flag(),
        default="false",
        purpose="Shows tracebacks, allows plain http and makes one-time codes optional: for this "
        "machine only.",
        written=True,
    )
    GRIDBOT_ALLOWED_HOSTS = Setting(
        kind=words("host names"),
        default="127.0.0.1,localhost,[::1]",
        purpose="The names that the admin answers to.",
        written=True,
    )
    GRIDBOT_PROXIES = Setting(
        kind=whole_number(least=0),
        default="0",
        purpose="How many reverse proxies of one's own stand before the site. Their "
        "X-Forwarded-For and X-Forwarded-Proto are believed, and nobody else's.",
        written=True,
    )
    GRIDBOT_WEB_STATEMENT_SECONDS = Setting(
        kind=number(least=0, most=3600),
        default="30",
        purpose="For how many seconds PostgreSQL works on one statement of a page before it is cut "
        "off; 0 for any time. Commands and services have no such limit.",
    )


class Logs(Section):
    """One line for each event."""

    title = "Logs"
    page = "docs/logs.md"

    GRIDBOT_LOG_LEVEL = Setting(
        kind=log_level(),
        default="INFO",
        purpose="From which level on events are told.",
    )
    GRIDBOT_LOG_FORMAT = Setting(
        kind=one_of(("text", "json")),
        default="text",
        purpose="How they are told: as key=value, or as an object of JSON.",
    )


class Health(Section):
    """Who is told how gridbot is, and when it calls itself unready."""

    title = "Health"
    page = "docs/health.md"

    GRIDBOT_METRICS_ADDRESS = Setting(
        kind=text("host:port on loopback"),
        purpose="Where capture serves /metrics, /healthz and /readyz; empty for nowhere. "
        "`capture --metrics-address` wins.",
        example="127.0.0.1:9464",
    )
    GRIDBOT_METRICS_TOKEN = Setting(
        kind=token(),
        purpose='Whoever shows it as "Authorization: Bearer ..." may read the site\'s /metrics, as '
        "superusers may.",
        secret=True,
    )
    GRIDBOT_METRICS_NETWORKS = Setting(
        kind=NETWORKS,
        purpose="Whoever comes from there may read the site's /metrics.",
        example="10.0.0.0/24",
    )
    GRIDBOT_READY_STALE_SECONDS = Setting(
        kind=seconds(),
        default="60.0",
        purpose="The site's /readyz fails, and `watch` tells of it, when a stream has had nothing "
        "new for so long.",
    )
    GRIDBOT_READY_GAP_SECONDS = Setting(
        kind=seconds(),
        default="300.0",
        purpose="The same, when a gap has gone on, or waited for REST, for so long.",
    )


class Notifications(Section):
    """Where `manage.py watch` tells what is wrong."""

    title = "Notifications"
    page = "docs/notifications.md"

    GRIDBOT_NOTIFY_URLS = Setting(
        kind=text("addresses of apprise, with blanks between them"),
        purpose="Whom `watch` tells, for example tgram://TOKEN/CHAT or "
        "mailtos://USER:PASSWORD@example.com.",
        secret=True,
    )
    GRIDBOT_NOTIFY_URLS_FILE = Setting(
        kind=FILE,
        purpose="Instead of GRIDBOT_NOTIFY_URLS: a file (chmod 600) with one address on each line, "
        "or systemd's LoadCredential= under the name gridbot-notify-urls.",
    )


class Process(Section):
    """From the process environment alone: these cannot stand in `.env`.

    systemd sets all but the first by itself.
    """

    title = "Around the process"
    page = "docs/install.md"
    in_file = False

    GRIDBOT_ENV_FILE = Setting(
        kind=FILE,
        default=".env",
        purpose="Where the other settings are read from; the default lies beside manage.py. Set "
        "and empty, no file is read.",
    )
    CREDENTIALS_DIRECTORY = Setting(
        kind=text("the path of a folder"),
        purpose="Where systemd puts what LoadCredential= names, each in a file.",
    )
    NOTIFY_SOCKET = Setting(
        kind=text("a socket"),
        purpose="Where capture and watch tell systemd that they are ready, alive, or stopping.",
    )
    WATCHDOG_USEC = Setting(
        kind=text("a number of microseconds"),
        purpose="How long systemd waits for a sign of life.",
    )
    WATCHDOG_PID = Setting(kind=text("the id of a process"), purpose="From which process.")
