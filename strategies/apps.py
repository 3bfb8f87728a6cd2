"""The strategies app."""

from __future__ import annotations

from django.apps import AppConfig


class StrategiesConfig(AppConfig):
    """What a tenant decided: strategies, and the runs that carried them out."""

    name = "strategies"

    def ready(self) -> None:
        from accounts.audit import audited
        from strategies.models import Strategy

        audited(Strategy)
