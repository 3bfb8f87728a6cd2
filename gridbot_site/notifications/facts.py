"""What is wrong now, by the same measurements that probes, metrics and the doctor make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connection
from django.db.models.functions import Now

from accounts.models import ApiCredential, BybitAccount
from gridbot_site.notifications.conditions import (
    OF_CAPTURE,
    OF_DATABASE,
    Condition,
    Key,
    Kind,
    Severity,
)
from marketdata.capture.accounts import NO_CREDENTIAL, full_name
from marketdata.capture.patience import be_impatient
from marketdata.doctor.exchange import accounts_in_use, check_rest
from marketdata.doctor.findings import Finding, Level
from marketdata.doctor.machine import check_disks
from marketdata.exits import is_bare
from marketdata.health import stored
from marketdata.key_check import WARNING_DAYS
from marketdata.models import CaptureLease, QuarantinedMessage

# How long nobody may hold the lease: systemd starts a capture anew within seconds.
DOWN: Final = timedelta(seconds=60)
QUARANTINE_WINDOW: Final = timedelta(minutes=10)
ONLY_READS: Final = (
    "The database only reads, as a standby does; rows wait on disk. Point DATABASE_URL at the "
    "primary, or promote this one."
)
SEVERITIES: Final = {Level.WARNING: Severity.WARNING, Level.ERROR: Severity.CRITICAL}

Wrong = tuple[Key, Condition]


@dataclass
class Found:
    """What a look has found, and the kinds of which it could find nothing out."""

    conditions: dict[Key, Condition] = field(default_factory=dict)
    unknown: set[Kind] = field(default_factory=set)


def look_around(now: datetime) -> Found:
    """Everything but the clock, which is `look_at_clock`'s; never raises for a database."""
    found = Found()
    for what, finding in check_disks().items():
        if (condition := _condition(finding)) is not None:
            found.conditions[Key(Kind.DISK_LOW, what)] = condition
    try:
        be_impatient()
        if stored.only_reads():
            # Nobody can renew the lease, and nothing new comes: that is no fault of capture's.
            found.conditions[Key(Kind.DATABASE_AWAY)] = Condition(Severity.CRITICAL, ONLY_READS)
            found.unknown |= OF_DATABASE
            return found
        found.conditions |= dict(_of_database(now))
        if not stored.capture_is_running():
            found.unknown |= OF_CAPTURE
    except AnyDatabaseError as error:
        connection.close()
        found.conditions[Key(Kind.DATABASE_AWAY)] = _away(error)
        found.unknown |= OF_DATABASE
    return found


def look_at_clock() -> Found:
    """How far this machine's clock is from the exchange's; asks it by REST."""
    for finding in check_rest(settings.EVENTSAVER_ENVIRONMENT):
        if finding.check == "clock":
            condition = _condition(finding)
            return Found({Key(Kind.CLOCK_SKEW): condition} if condition else {})
    return Found(unknown={Kind.CLOCK_SKEW})


def _condition(finding: Finding) -> Condition | None:
    severity = SEVERITIES.get(finding.level)
    return None if severity is None else Condition(severity, f"{finding.found} {finding.advice}")


def _away(error: AnyDatabaseError) -> Condition:
    # What the error says may name hosts and users, and is in the log of whoever asked.
    text = f"The database does not answer ({type(error).__name__}); rows wait on disk."
    if is_bare(error):
        text = "The database lacks tables or columns: run manage.py migrate."
    return Condition(Severity.CRITICAL, text)


def _of_database(now: datetime) -> Iterator[Wrong]:
    yield from _capture()
    yield from _streams(now)
    yield from _gaps()
    yield from _quarantine(now)
    accounts = accounts_in_use()
    yield from _set_aside(accounts)
    yield from _keys(now, accounts)


def _capture() -> Iterator[Wrong]:
    # By the database's clock, as the lease is.
    gone = CaptureLease.objects.filter(expires_at__lte=Now() - DOWN).first()
    if gone is not None:
        text = f"Nobody captures since {gone.expires_at:%F %H:%M:%S} UTC: what happens is missed."
        yield Key(Kind.CAPTURE_DOWN), Condition(Severity.CRITICAL, text)


def _streams(now: datetime) -> Iterator[Wrong]:
    known = stored.freshness()
    ages = known.ages(now)
    for stream in stored.stale_streams(known, ages, settings.GRIDBOT_READY_STALE_SECONDS):
        text = f"Nothing new of {stream} for {in_words(ages[stream])}."
        yield Key(Kind.STREAM_STALE, stream), Condition(Severity.CRITICAL, text)


def _gaps() -> Iterator[Wrong]:
    limit = settings.GRIDBOT_READY_GAP_SECONDS
    for stream, count in stored.lasting_gaps(timedelta(seconds=limit)).items():
        gaps = "1 gap has" if count == 1 else f"{count} gaps have"
        text = f"{gaps} been open for more than {in_words(limit)}: manage.py coverage"
        yield Key(Kind.GAP_OPEN, stream), Condition(Severity.WARNING, text)


def _quarantine(now: datetime) -> Iterator[Wrong]:
    recent = QuarantinedMessage.objects.filter(last_seen__gt=now - QUARANTINE_WINDOW).count()
    if recent:
        window = in_words(QUARANTINE_WINDOW.total_seconds())
        text = f"Different messages that could not be stored within {window}: {recent}."
        yield Key(Kind.QUARANTINE_GROWING), Condition(Severity.WARNING, text)


def _set_aside(accounts: Sequence[BybitAccount]) -> Iterator[Wrong]:
    for account in accounts:
        # Where no key is active, nothing is refused.
        is_set_aside = account.status == BybitAccount.Status.ERROR
        if is_set_aside and account.status_reason != NO_CREDENTIAL:
            name = full_name(account)
            text = f"{name} is not captured: manage.py check_account --all says why."
            yield Key(Kind.ACCOUNT_SET_ASIDE, name), Condition(Severity.WARNING, text)


def _keys(now: datetime, accounts: Sequence[BybitAccount]) -> Iterator[Wrong]:
    # Also of accounts that capture has set aside: with the end of its key an account is.
    expiring = ApiCredential.objects.unscoped().filter(
        is_active=True,
        account__in=accounts,
        expires_at__lte=now + timedelta(days=max(WARNING_DAYS)),
    )
    for credential in expiring.select_related("account__user"):
        expires_at = credential.expires_at
        is_soon = expires_at <= now + timedelta(days=min(WARNING_DAYS))
        verb = "expired" if expires_at <= now else "expires"
        account = full_name(credential.account)
        text = f"The API key of {account} {verb} at {expires_at:%F %H:%M} UTC: enter a new one."
        severity = Severity.CRITICAL if is_soon else Severity.WARNING
        yield Key(Kind.KEY_EXPIRING, account), Condition(severity, text)


def in_words(seconds: float) -> str:
    """A span in words: 45 s, 15 min, 4 h, 3 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
