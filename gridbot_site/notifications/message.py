"""Events as one message: a title and a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gridbot_site.notifications.conditions import Severity
from gridbot_site.notifications.facts import in_words
from gridbot_site.notifications.rules import Event, What

# Telegram takes 4096 characters (https://core.telegram.org/bots/api#sendmessage).
MOST_LINES, LONGEST_LINE = 20, 180
LEADS: Final = {
    What.BEGAN: "{severity} {key}: {text}",
    What.WORSE: "{severity} {key} (worse): {text}",
    What.BETTER: "{severity} {key} (better): {text}",
    What.LASTS: "{severity} {key}, for {lasted} now: {text}",
    What.OVER: "RECOVERED {key}, after {lasted}.",
    What.CAME_AND_WENT: "PASSED {key}: came and went {times} without a message.",
}


@dataclass(frozen=True)
class Message:
    """What is sent; `severity` is that of the gravest line, None where all is over."""

    title: str
    body: str
    severity: Severity | None


def message_of(events: Sequence[Event], host: str) -> Message:
    """One message of all `events`, which are not empty; `host` says whose machine it is about."""
    wrong = [event for event in events if not event.is_over]
    over = len(events) - len(wrong)
    parts = [f"{len(wrong)} wrong"] * bool(wrong) + [f"{over} recovered"] * bool(over)
    lines = [line_of(event, longest=LONGEST_LINE) for event in events[:MOST_LINES]]
    if len(events) > MOST_LINES:
        lines.append(f"... and {len(events) - MOST_LINES} more: they are in the log of the watch.")
    severity = max((event.severity for event in wrong), default=None)
    return Message(f"gridbot on {host}: {', '.join(parts)}", "\n".join(lines), severity)


def line_of(event: Event, *, longest: int | None = None) -> str:
    """One event in one line; what does not fit goes at the cost of its text alone."""
    times = "once" if event.suppressed == 1 else f"{event.suppressed} times"
    line = LEADS[event.what].format(
        severity=event.severity.name,
        key=event.key,
        text=event.text,
        lasted=in_words(event.lasted.total_seconds()),
        times=times,
    )
    count = ""
    if event.suppressed and event.what is not What.CAME_AND_WENT:
        count = f" (Came and went {times} before without a message.)"
    kept = count if event.is_over else f"{count} {event.key.playbook}"
    # A tenant may call an account what looks like a line of ours.
    line = " ".join(line.split())
    return line[: longest and longest - len(kept)] + kept
