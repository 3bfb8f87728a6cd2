"""The cast that every app's tests share: alice, bob and charlie."""

from __future__ import annotations

pytest_plugins = ["accounts.tests.cast"]
