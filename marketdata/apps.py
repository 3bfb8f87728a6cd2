"""The marketdata app."""

from __future__ import annotations

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    """What happened: public and private facts, and what is known to be missing."""

    name = "marketdata"
    verbose_name = "Market data"
