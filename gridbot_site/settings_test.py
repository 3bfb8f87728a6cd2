"""Settings of the test suite: nothing from `.env`, secrets made for the run."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path

from gridbot_site.configuration.registry import PREFIXES, all_settings

# Secrets and database that a run is given are its own; systemd's socket is a test's.
_KEPT = {"SECRET_KEY", "GRIDBOT_CREDENTIAL_KEYS", "DATABASE_URL"}
_KEPT |= {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
for _name in list(os.environ):
    if (_name in all_settings() or _name.startswith(PREFIXES)) and _name not in _KEPT:
        del os.environ[_name]
os.environ["GRIDBOT_ENV_FILE"] = ""
# Not setdefault alone: the workers of one run must agree on the keys they inherit.
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
os.environ.setdefault(
    "GRIDBOT_CREDENTIAL_KEYS", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
)
os.environ["EVENTSAVER_ENVIRONMENT"] = "sandbox"
os.environ["GRIDBOT_DEBUG"] = "true"

from gridbot_site.settings import *  # noqa: E402, F403
from gridbot_site.settings import DATABASES  # noqa: E402

DEBUG = False
# Most tests are not about signing in; those that are switch it on.
GRIDBOT_REQUIRE_OTP = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file: the shared in-memory database answers a second thread with "table is locked".
    # Its name is this process's own: two runs at a time must not meet in one file.
    DATABASES["default"]["NAME"] = "unused-by-tests.sqlite3"
    _test_file = Path(tempfile.gettempdir()) / f"gridbot-test-{os.getpid()}.sqlite3"
    DATABASES["default"]["TEST"] = {"NAME": str(_test_file)}
# Nothing is spooled across tests: those that want rows to outlive a capture name a folder.
GRIDBOT_SPOOL_DIR = Path(tempfile.gettempdir()) / f"gridbot-test-{os.getpid()}.spool"
LOGGING = {"version": 1, "disable_existing_loggers": False}
