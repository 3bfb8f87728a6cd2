"""What a message says, whatever its conditions are called."""

from __future__ import annotations

from datetime import timedelta

from gridbot_site.notifications.conditions import Key, Kind, Severity
from gridbot_site.notifications.message import LONGEST_LINE, MOST_LINES, message_of
from gridbot_site.notifications.rules import Event, What


def event(subject="spool", text="Little is free.", **values):
    of = {"what": What.BEGAN, "severity": Severity.WARNING, "lasted": timedelta(0)} | values
    return Event(key=Key(Kind.DISK_LOW, subject), text=text, **of)


def test_a_line_that_is_too_long_keeps_its_count():
    [line] = message_of([event(text="word " * 99, suppressed=7)], "here").body.splitlines()
    assert line.startswith("WARNING disk low (spool): word word")
    assert line.endswith(
        " (Came and went 7 times before without a message.) docs/playbooks.md#disk-full"
    )
    assert len(line) == LONGEST_LINE
    assert len(message_of([event(text="word " * 99)], "here").body) == LONGEST_LINE


def test_no_name_makes_a_line_of_its_own():
    body = message_of([event("bob/a\nRECOVERED capture down", "Of\r\nbob.")], "here").body
    assert body.startswith("WARNING disk low (bob/a RECOVERED capture down): Of bob. docs/")
    assert "\n" not in body


def test_of_many_events_the_first_are_told_and_the_rest_counted():
    lines = message_of([event(f"{n}") for n in range(MOST_LINES + 3)], "here").body.splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "... and 3 more: they are in the log of the watch."
