"""Django settings, all from the environment or the `.env` file beside manage.py.

Every name is declared in gridbot_site.configuration. Nothing here has a usable secret as its default:
a missing key ends the program at start with one sentence.
"""

from __future__ import annotations

import os
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from accounts.secret import Secret
from gridbot_site.configuration.of_data import Capture, Demo, Exchange, Retention, Spool
from gridbot_site.configuration.of_site import Health, Logs, Process, Secrets, Web
from gridbot_site.databases import database_from_environment, folder_beside
from gridbot_site.listed_secrets import NOTIFY_URLS, credential_keys, listed
from gridbot_site.settings_file import read_settings_file
from marketdata.bybit.environments import Endpoints, Environment

BASE_DIR = Path(__file__).resolve().parent.parent

_named = Process.GRIDBOT_ENV_FILE.name in os.environ
_file = Process.GRIDBOT_ENV_FILE.read()
GRIDBOT_SETTINGS_FILE = _file if _named else str(BASE_DIR / _file)
_of_process = frozenset(os.environ)
if GRIDBOT_SETTINGS_FILE and Path(GRIDBOT_SETTINGS_FILE).is_file():
    read_settings_file(Path(GRIDBOT_SETTINGS_FILE))
elif _named and GRIDBOT_SETTINGS_FILE:
    raise ImproperlyConfigured(
        f"{Process.GRIDBOT_ENV_FILE.name} names {GRIDBOT_SETTINGS_FILE!r}, which is no file."
    )
# What the file has set; of what both set, the process environment's word counts.
GRIDBOT_SET_BY_FILE = frozenset(os.environ) - _of_process

# --- Django -------------------------------------------------------------------------------
DEBUG = Web.GRIDBOT_DEBUG.read()
SECRET_KEY = Secrets.SECRET_KEY.read()
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. `make .env` (or `python -m gridbot_site.make_env`) writes a .env "
        "with fresh secrets."
    )
ALLOWED_HOSTS = Web.GRIDBOT_ALLOWED_HOSTS.read()
ROOT_URLCONF = "gridbot_site.urls"
WSGI_APPLICATION = "gridbot_site.wsgi.application"
ASGI_APPLICATION = "gridbot_site.asgi.application"
INSTALLED_APPS = [
    "gridbot_site.apps.GridbotAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "auditlog",
    "axes",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "accounts",
    "strategies",
    "marketdata",
    # Last: its admin takes the place of pages that apps above register.
    "gridbot_site.apps.GridbotSiteConfig",
]
MIDDLEWARE = [
    # Outermost, so that redirects and errors of the others carry their headers, too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "gridbot_site.middleware.private_pages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "gridbot_site.middleware.audited",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "gridbot_site.middleware.without_nul",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of the apps: Django's admin looks up its frame here.
        "DIRS": [BASE_DIR / "gridbot_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": database_from_environment(os.environ, base_dir=BASE_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Set by what serves pages, for none else: a migration may take its time.
GRIDBOT_WEB_STATEMENT_SECONDS = Web.GRIDBOT_WEB_STATEMENT_SECONDS.read()
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# Where collectstatic puts what `manage.py web` serves beside the pages.
STATIC_ROOT = BASE_DIR / "static"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "strategies.report.static_files.PlotlyFinder",
]
if not DEBUG:
    # Names with a hash in them, which browsers may keep for ever; runserver needs none.
    MIDDLEWARE.insert(
        MIDDLEWARE.index("gridbot_site.middleware.private_pages"),
        "whitenoise.middleware.WhiteNoiseMiddleware",
    )
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    WHITENOISE_ALLOW_ALL_ORIGINS = False
    # A page without charts is better than none: plotly is in requirements-backtest.txt.
    WHITENOISE_MANIFEST_STRICT = False

# --- Sign-in (docs/security.md) -----------------------------------------------------------
LOGIN_URL = "admin:login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    # Hashes from before; each is made anew at its user's next sign-in.
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "accounts.backends.ActiveUsersBackend",
]
# How many reverse proxies of one's own stand before the site. Each appends to X-Forwarded-For;
# with none, what a client says of itself there is not believed.
GRIDBOT_PROXIES = Web.GRIDBOT_PROXIES.read()
AXES_CLIENT_IP_CALLABLE = "gridbot_site.addresses.guesser_address"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
# A tenant behind the address of a guesser waits for 15 minutes, not for as long as it guesses.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "code", "otp_token"]
# Sign-ins are in the audit log, and the page of what is counted is our own.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
# Staff give a one-time code; on a machine of one's own they may.
GRIDBOT_REQUIRE_OTP = not DEBUG
OTP_TOTP_ISSUER = "gridbot"
# A header of the client's is no fact to keep.
AUDITLOG_CID_HEADER = None

# --- What browsers are told ---------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
if not DEBUG:
    # Browsers take a cookie of such a name only over https, from this very host.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
if GRIDBOT_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DEFAULT_EXCEPTION_REPORTER_FILTER = "gridbot_site.error_pages.ReporterFilter"
# Off only for plain http on this machine, which is what DEBUG is for.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
# Probes of this machine speak plain http; these two say nothing to anybody that is a secret.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "gridbot_site.log_lines.LineFormatter"},
        "json": {"()": "gridbot_site.log_lines.JsonFormatter"},
    },
    "filters": {
        "not_ready": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: (
                getattr(record, "status_code", 0) != HTTPStatus.SERVICE_UNAVAILABLE
            ),
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": Logs.GRIDBOT_LOG_FORMAT.read(),
        }
    },
    "root": {"handlers": ["stderr"], "level": Logs.GRIDBOT_LOG_LEVEL.read()},
    # Django's own handler, for DEBUG, would write each line once more, and as it is.
    # websocket's ERROR lines repeat what the supervisor already records; the rest can hold a key.
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        # What strangers ask for is in the web server's log, and a probe asks again and again.
        "django.request": {"level": "ERROR", "filters": ["not_ready"]},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "websocket": {"level": "CRITICAL"},
        "pybit": {"level": "WARNING"},
        "urllib3": {"level": "ERROR"},
    },
}

# --- gridbot ------------------------------------------------------------------------------
# The first key seals, all of them open. Apart from SECRET_KEY, so that each can be rotated.
GRIDBOT_CREDENTIAL_KEYS = credential_keys(os.environ)

# Where rows wait on disk while the database is away, and how much of it they may take.
_spool = Spool.GRIDBOT_SPOOL_DIR.read()
GRIDBOT_SPOOL_DIR = (
    BASE_DIR / _spool if _spool else folder_beside(DATABASES["default"], base_dir=BASE_DIR)
)
GRIDBOT_SPOOL_MAX_BYTES = Spool.GRIDBOT_SPOOL_MAX_BYTES.read()
GRIDBOT_SPOOL_AFTER_SECONDS = Spool.GRIDBOT_SPOOL_AFTER_SECONDS.read()
GRIDBOT_SPOOL_ROWS = Spool.GRIDBOT_SPOOL_ROWS.read()

# Who is told of health (docs/health.md): where capture serves it, who else may read the site's
# metrics than superusers, and when the site calls itself unready.
GRIDBOT_METRICS_ADDRESS = Health.GRIDBOT_METRICS_ADDRESS.read()
GRIDBOT_METRICS_TOKEN = Health.GRIDBOT_METRICS_TOKEN.read()
GRIDBOT_METRICS_NETWORKS = Health.GRIDBOT_METRICS_NETWORKS.read()
GRIDBOT_READY_STALE_SECONDS = Health.GRIDBOT_READY_STALE_SECONDS.read()
GRIDBOT_READY_GAP_SECONDS = Health.GRIDBOT_READY_GAP_SECONDS.read()

# How long `manage.py prune` keeps what is the operator's (docs/prune.md). Tenants' rows have no
# setting: they are pruned by name alone.
_kept = {
    "trades": Retention.GRIDBOT_RETENTION_TRADES.read(),
    "tickers": Retention.GRIDBOT_RETENTION_TICKERS.read(),
    "quarantine": Retention.GRIDBOT_RETENTION_QUARANTINE.read(),
}
GRIDBOT_RETENTION = {kind: age for kind, age in _kept.items() if age}
# Where the operator is told what is wrong (docs/notifications.md): addresses with tokens in them.
GRIDBOT_NOTIFY_URLS = tuple(Secret(url) for url in listed(NOTIFY_URLS, os.environ))

# The exchange environment of the public streams; EVENTSAVER_ENVIRONMENT wins over _TESTNET.
_testnet = Capture.EVENTSAVER_TESTNET.read()
EVENTSAVER_ENVIRONMENT = Capture.EVENTSAVER_ENVIRONMENT.read() or Environment.parse(
    "", testnet=_testnet
)
EVENTSAVER_SYMBOLS = Capture.EVENTSAVER_SYMBOLS.read()
EVENTSAVER_BATCH_SIZE = Capture.EVENTSAVER_BATCH_SIZE.read()
EVENTSAVER_FLUSH_INTERVAL = Capture.EVENTSAVER_FLUSH_INTERVAL.read()
EVENTSAVER_TICKER_INTERVAL_MS = Capture.EVENTSAVER_TICKER_INTERVAL_MS.read()
EVENTSAVER_GAP_THRESHOLD_SECONDS = Capture.EVENTSAVER_GAP_THRESHOLD_SECONDS.read()
EVENTSAVER_SWEEP_INTERVAL = Capture.EVENTSAVER_SWEEP_INTERVAL.read()
EVENTSAVER_AUDIT_INTERVAL = Capture.EVENTSAVER_AUDIT_INTERVAL.read()
EVENTSAVER_RECONNECT_DELAY = Capture.EVENTSAVER_RECONNECT_DELAY.read()
EVENTSAVER_MAX_RECONNECT_DELAY = Capture.EVENTSAVER_MAX_RECONNECT_DELAY.read()
EVENTSAVER_LEASE_SECONDS = Capture.EVENTSAVER_LEASE_SECONDS.read()
BYBIT_ENDPOINTS = Endpoints(
    rest=Exchange.BYBIT_REST_URL.read(),
    ws_public=Exchange.BYBIT_WS_PUBLIC_URL.read(),
    ws_private=Exchange.BYBIT_WS_PRIVATE_URL.read(),
)
DEMO_SECONDS = Demo.DEMO_SECONDS.read()

# Held, so that no line of the log shows any of them: see accounts.redaction.
_secrets = [
    Secret(text)
    for text in (
        *(SECRET_KEY, DATABASES["default"].get("PASSWORD"), GRIDBOT_METRICS_TOKEN),
        DATABASES["default"].get("OPTIONS", {}).get("password"),
        *GRIDBOT_CREDENTIAL_KEYS,
    )
    if text
]
