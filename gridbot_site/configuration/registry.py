"""Every setting, section by section, and what is no setting though it looks like one.

A setting that is added to a section is in `.env.example` and docs/configuration.md (`make pages`
writes both) and in `manage.py settings`. Who needs its value reads it, as gridbot_site.settings does.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from gridbot_site.configuration import of_data, of_site
from gridbot_site.configuration.setting import Section, Setting

SECTIONS: tuple[type[Section], ...] = (
    of_site.Secrets,
    of_site.Web,
    of_data.Database,
    of_data.Capture,
    of_data.Exchange,
    of_data.Spool,
    of_data.Retention,
    of_site.Logs,
    of_site.Health,
    of_site.Notifications,
    of_data.Demo,
    of_site.Process,
)
# What begins like this is meant for gridbot, and a mistake where gridbot does not know it.
PREFIXES = ("GRIDBOT_", "EVENTSAVER_", "BYBIT_")


def all_settings() -> dict[str, Setting[Any]]:
    """Every setting by its name."""
    return {each.name: each for section in SECTIONS for each in section.settings()}


def unknown(names: Iterable[str]) -> dict[str, str]:
    """The names that are meant for gridbot and mean nothing to it, each with the one most like it.

    That is empty where none is much like it.
    """
    known = all_settings()
    strangers = sorted(name for name in names if name.startswith(PREFIXES) and name not in known)
    return {name: next(iter(get_close_matches(name, known, 1, 0.8)), "") for name in strangers}
