"""Which settings are in effect, and who has set them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from accounts.redaction import without_secrets
from gridbot_site.configuration.of_data import Database
from gridbot_site.configuration.registry import SECTIONS
from gridbot_site.configuration.setting import Section, Setting
from gridbot_site.databases import without_password
from gridbot_site.listed_secrets import LISTS, listed_with_source

ENVIRONMENT, DEFAULT = "environment", "default"
URLS = (Database.DATABASE_URL, Database.EVENTSAVER_DATABASE_URL)


@dataclass(frozen=True, kw_only=True)
class InEffect:
    """A setting as it is now. `value` is fit to be shown: of a secret, whether it is set."""

    section: type[Section]
    setting: Setting[Any]
    value: str
    source: str
    changed: bool


def in_effect(environment: Mapping[str, str] | None = None) -> Iterator[InEffect]:
    """Every setting, in the order of the sections."""
    given = os.environ if environment is None else environment
    for section in SECTIONS:
        for setting in section.settings():
            yield _look(section, setting, given)


def database_in_effect() -> str:
    """The database that the settings come to, without its password."""
    of = settings.DATABASES["default"]
    kind, name = of["ENGINE"].rpartition(".")[2], of["NAME"]
    place = ":".join(str(of[part]) for part in ("HOST", "PORT") if of.get(part))
    user = f" as {of['USER']}" if of.get("USER") else ""
    # libpq takes a name with "=" in it for a list of parameters, and a password may be one.
    return without_secrets(f"{kind} {name}{f' at {place}' if place else ''}{user}")


def _look(section: type[Section], setting: Setting[Any], given: Mapping[str, str]) -> InEffect:
    text = given.get(setting.name, setting.default).strip()
    own_file, winner = _own_file(setting, given), _winner(setting, given)
    return InEffect(
        section=section,
        setting=setting,
        value=_shown(setting, text, is_set=bool(text or own_file)),
        source=own_file or (f"not read: {winner} is set" if winner else _source(setting, given)),
        changed=bool(own_file)
        or (not winner and setting.parse(text) != setting.parse(setting.default)),
    )


def _own_file(setting: Setting[Any], given: Mapping[str, str]) -> str:
    """What names the file that a list of secrets comes from, where it does."""
    lists = (listed_with_source(what, given) for what in LISTS if setting is what.variable)
    return next((source for found, source in lists if found and source != setting.name), "")


def _winner(setting: Setting[Any], given: Mapping[str, str]) -> str:
    """The URL of a database because of which this setting is not read."""
    before = takewhile(lambda each: each is not setting, URLS)
    if setting not in Database.settings():
        return ""
    return next((each.name for each in before if given.get(each.name)), "")


def _source(setting: Setting[Any], given: Mapping[str, str]) -> str:
    if setting.name not in given:
        return DEFAULT
    by_file = setting.name in settings.GRIDBOT_SET_BY_FILE
    return str(settings.GRIDBOT_SETTINGS_FILE) if by_file else ENVIRONMENT


def _shown(setting: Setting[Any], text: str, *, is_set: bool) -> str:
    if setting.secret:
        return "set" if is_set else "not set"
    if setting in URLS and text:
        try:
            return without_password(text)
        except ImproperlyConfigured:
            # Only of one that is not read: the other would have ended the start.
            return "set, and cannot be read"
    if text or not setting.by_default:
        return without_secrets(text)
    # Some defaults are computed: what they came to is the setting of Django's with this name.
    return str(getattr(settings, setting.name, setting.by_default))
