"""What every app's tests share: the cast, alice, bob and charlie, and a real browser."""

from __future__ import annotations

pytest_plugins = ["accounts.tests.cast", "gridbot_site.tests.browser"]
