"""The marketdata app."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class MarketdataConfig(AppConfig):
    """What happened: public and private facts, and what is known to be missing."""

    name = "marketdata"
    verbose_name = "Market data"

    def ready(self) -> None:
        """Have a new SQLite file made so that it can give back what is deleted."""
        from marketdata.prune.space import make_shrinkable

        pre_migrate.connect(make_shrinkable, sender=self)
