"""When something is told: pure rules over what each look has found.

Each condition has an entry with three levels of the same thing: what the last look *saw*, what is
*believed* because it stayed so, and what was *told*. None is "nothing is wrong".

- Seen becomes believed when it has stayed the same for `steady`: what comes and goes between two
  looks wakes nobody, and a recovery is one that lasts.
- Believed is told when it differs from what was told: at once when it is worse, and when it is
  over. What was told within `quiet` is not told again, unless it has become worse; what came and
  went meanwhile is counted, and the count is told with the next message about the condition, or by
  a message of its own when `quiet` has passed.
- What lasts is told again every so often.

`look` takes in what was seen, `speak` decides what is said. Whoever delivers keeps the entries that
`speak` returns if somebody took the messages; else those that `look` returned, so that all is
decided again, and what is said then is what is so then. A kind that nobody can judge now is left as
it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gridbot_site.notifications.conditions import Condition, Key, Kind, Severity

AGAIN: Final = {Severity.CRITICAL: timedelta(hours=4), Severity.WARNING: timedelta(hours=24)}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long what is seen must last, and how often the same is told."""

    steady: timedelta = timedelta(seconds=20)
    quiet: timedelta = timedelta(minutes=15)


class What(StrEnum):
    """What a message says of a condition."""

    BEGAN = "began"
    WORSE = "worse"
    BETTER = "better"
    LASTS = "lasts"
    OVER = "over"
    CAME_AND_WENT = "came and went"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing to be said: how long it has lasted, and how often it came and went unsaid before."""

    what: What
    key: Key
    severity: Severity
    text: str
    lasted: timedelta
    suppressed: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.what in (What.OVER, What.CAME_AND_WENT)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one condition."""

    text: str
    seen: Severity | None
    seen_since: datetime
    believed: Severity | None = None
    began: datetime
    told: Severity | None = None
    # The last alert: how bad it was, and when. A recovery is none.
    alerted: Severity | None = None
    alerted_at: datetime | None = None
    suppressed: int = 0

    def not_after(self, now: datetime) -> Entry:
        """The entry without times to come: a clock that was set back must not silence anything."""
        alerted_at = min(self.alerted_at, now) if self.alerted_at else None
        return replace(
            self,
            seen_since=min(self.seen_since, now),
            began=min(self.began, now),
            alerted_at=alerted_at,
        )


Entries = Mapping[Key, Entry]


def look(
    entries: Entries,
    found: Mapping[Key, Condition],
    unknown: Collection[Kind],
    now: datetime,
    limits: Limits,
) -> dict[Key, Entry]:
    """The entries after a look that found these conditions, and could not judge `unknown`."""
    after: dict[Key, Entry] = {}
    for key in entries.keys() | found.keys():
        entry, condition = entries.get(key), found.get(key)
        if entry is not None:
            entry = entry.not_after(now)
        if key.kind in unknown:
            if entry is not None:
                after[key] = entry
            continue
        after[key] = _believed(_seen(entry, condition, now), now, limits)
    return after


def speak(entries: Entries, now: datetime, limits: Limits) -> tuple[dict[Key, Entry], list[Event]]:
    """What is to be said, the gravest first, and the entries when it was; what is done is dropped."""
    after, events = {}, []
    for key, entry in entries.items():
        what = _to_say(entry, now, limits)
        if what is not None:
            events.append(_event(what, key, entry, now))
            entry = _said(what, entry, now)
        if not _is_done(entry, now, limits):
            after[key] = entry
    return after, sorted(events, key=lambda event: (event.is_over, -event.severity, event.key))


def _seen(entry: Entry | None, condition: Condition | None, now: datetime) -> Entry:
    seen = condition.severity if condition else None
    if entry is None:
        assert condition is not None  # noqa: S101 - a key is in one of the two
        return Entry(text=condition.text, seen=seen, seen_since=now, began=now)
    if seen != entry.seen:
        began = now if entry.believed is None and entry.seen is None else entry.began
        entry = replace(entry, seen=seen, seen_since=now, began=began)
    return replace(entry, text=condition.text) if condition else entry


def _believed(entry: Entry, now: datetime, limits: Limits) -> Entry:
    if entry.seen == entry.believed or now - entry.seen_since < limits.steady:
        return entry
    unsaid = entry.seen is None and entry.told is None
    return replace(entry, believed=entry.seen, suppressed=entry.suppressed + unsaid)


def _to_say(entry: Entry, now: datetime, limits: Limits) -> What | None:
    is_quiet = entry.alerted_at is not None and now - entry.alerted_at < limits.quiet
    believed, told = entry.believed, entry.told
    if believed is None:
        if told is not None:
            return What.OVER
        return What.CAME_AND_WENT if entry.suppressed and not is_quiet else None
    if told is None:
        is_worse = entry.alerted is not None and believed > entry.alerted
        return What.BEGAN if is_worse or not is_quiet else None
    if believed > told:
        return What.WORSE
    if believed < told:
        return None if is_quiet else What.BETTER
    since = now - entry.alerted_at if entry.alerted_at else AGAIN[believed]
    return What.LASTS if since >= AGAIN[believed] else None


def _event(what: What, key: Key, entry: Entry, now: datetime) -> Event:
    return Event(
        what=what,
        key=key,
        severity=entry.believed or entry.told or Severity.WARNING,
        text=entry.text,
        lasted=(now if entry.believed else entry.seen_since) - entry.began,
        suppressed=entry.suppressed,
    )


def _said(what: What, entry: Entry, now: datetime) -> Entry:
    entry = replace(entry, told=entry.believed, suppressed=0)
    return (
        entry if entry.believed is None else replace(entry, alerted=entry.believed, alerted_at=now)
    )


def _is_done(entry: Entry, now: datetime, limits: Limits) -> bool:
    """Whether nothing is wrong, nothing is to be said, and nothing keeps the next from being."""
    if (entry.seen, entry.believed, entry.told) != (None, None, None) or entry.suppressed:
        return False
    return entry.alerted_at is None or now - entry.alerted_at >= limits.quiet
