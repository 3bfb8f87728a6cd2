"""What every app's tests share: the cast, a real browser, and how the database is emptied."""

from __future__ import annotations

pytest_plugins = [
    "accounts.tests.cast",
    "gridbot_site.tests.browser",
    "gridbot_site.tests.emptying",
]
