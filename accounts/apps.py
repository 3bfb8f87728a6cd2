"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who: users, exchange accounts and their sealed credentials."""

    name = "accounts"

    def ready(self) -> None:
        from accounts import checks  # noqa: F401
