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
`speak` returns if somebody took the messages; else those of `unheard`, so that all is decided
again, and what is said then is what is so then. That is tried at the next look, and then less and
less often, for somebody may have read what was not taken: one of several recipients, or one whose
server answers late. `heard` is for an answer that comes after all. A kind that nobody can judge now
is left as it was.
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
    # From the second attempt at a message to the third; it doubles up to `quiet`.
    retry: timedelta = timedelta(minutes=1)


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
    """One thing to be said: how long it has lasted, and how often it came and went unsaid before.

    `attempts` is how often that was tried in vain.
    """

    what: What
    key: Key
    severity: Severity
    text: str
    lasted: timedelta
    suppressed: int = 0
    attempts: int = 0

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
    # What was said and nobody took: how often, how bad it was, and when the last time.
    attempts: int = 0
    tried: Severity | None = None
    tried_at: datetime | None = None

    def not_after(self, now: datetime) -> Entry:
        """The entry without times to come: a clock that was set back must not silence anything."""
        return replace(
            self,
            seen_since=min(self.seen_since, now),
            began=min(self.began, now),
            alerted_at=min(self.alerted_at, now) if self.alerted_at else None,
            tried_at=min(self.tried_at, now) if self.tried_at else None,
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
                # What nobody has seen has not lasted, either.
                is_new = entry.seen != entry.believed
                after[key] = replace(entry, seen_since=now) if is_new else entry
            continue
        after[key] = _believed(_seen(entry, condition, now), now, limits)
    return after


def speak(entries: Entries, now: datetime, limits: Limits) -> tuple[dict[Key, Entry], list[Event]]:
    """What is to be said, the gravest first, and the entries when it was; what is done is dropped."""
    after, events = {}, []
    for key, entry in entries.items():
        what = _to_say(entry, now, limits)
        if what is not None and _may_be_tried(entry, now, limits):
            event = _event(what, key, entry, now)
            events.append(event)
            entry = _said(event, entry, now)
        if not _is_done(entry, now, limits):
            after[key] = entry
    return after, sorted(events, key=lambda event: (event.is_over, -event.severity, event.key))


def unheard(entries: Entries, events: Collection[Event], now: datetime) -> dict[Key, Entry]:
    """The entries when nobody took `events`."""
    tried = {
        event.key: replace(
            entries[event.key],
            attempts=event.attempts + 1,
            tried=entries[event.key].believed,
            tried_at=now,
        )
        for event in events
    }
    return {**entries, **tried}


def heard(entries: Entries, events: Collection[Event], at: datetime) -> dict[Key, Entry]:
    """The entries when somebody has taken `events`, said at that time, after all."""
    after = dict(entries)
    for event in events:
        if (entry := after.get(event.key)) is not None:
            # Over by now, and counted as one that was not told: it was.
            counted = not event.is_over and entry.told is None and entry.believed is None
            entry = replace(entry, suppressed=entry.suppressed - counted)
            after[event.key] = _said(event, entry, at)
    return after


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


def _is_worse_than_tried(entry: Entry) -> bool:
    return (entry.believed or 0) > (entry.tried or 0)


def _may_be_tried(entry: Entry, now: datetime, limits: Limits) -> bool:
    if entry.tried_at is None or entry.attempts < 2 or _is_worse_than_tried(entry):
        return True
    # More than that many doublings are beyond any `quiet`, and beyond what a timedelta holds.
    pause = limits.retry * 2 ** min(entry.attempts - 2, 16)
    return bool(now - entry.tried_at >= min(pause, limits.quiet))


def _event(what: What, key: Key, entry: Entry, now: datetime) -> Event:
    return Event(
        what=what,
        key=key,
        severity=entry.believed or entry.told or Severity.WARNING,
        text=entry.text,
        lasted=(now if entry.believed else entry.seen_since) - entry.began,
        suppressed=entry.suppressed,
        attempts=0 if _is_worse_than_tried(entry) else entry.attempts,
    )


def _said(event: Event, entry: Entry, at: datetime) -> Entry:
    told = None if event.is_over else event.severity
    suppressed = max(entry.suppressed - event.suppressed, 0)
    entry = replace(entry, told=told, suppressed=suppressed, attempts=0, tried=None, tried_at=None)
    return entry if told is None else replace(entry, alerted=told, alerted_at=at)


def _is_done(entry: Entry, now: datetime, limits: Limits) -> bool:
    """Whether nothing is wrong, nothing is to be said, and nothing keeps the next from being."""
    if (entry.seen, entry.believed, entry.told) != (None, None, None) or entry.suppressed:
        return False
    return entry.alerted_at is None or now - entry.alerted_at >= limits.quiet
