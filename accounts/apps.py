"""The accounts app."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who: users, exchange accounts and their sealed credentials."""

    name = "accounts"

    def ready(self) -> None:
        from django.contrib.auth.models import Group

        from accounts import audit, checks  # noqa: F401
        from accounts.models import ApiCredential, BybitAccount

        audit.audited_users()
        audit.audited(Group, m2m_fields=("permissions",))
        audit.audited(BybitAccount)
        audit.audited(ApiCredential)
