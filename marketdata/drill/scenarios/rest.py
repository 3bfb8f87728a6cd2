"""F10 to F13: REST fails just when a broken connection makes capture ask."""

from __future__ import annotations

import random
from typing import Any

from django.utils import timezone

from accounts.models import BybitAccount
from marketdata.drill.scenarios.table import scenario
from marketdata.drill.stage import Stage

BROKEN: dict[str, dict[str, Any]] = {
    "http_502": {}, "html_body": {}, "half_body": {}, "bad_json": {}, "late": {"delay": 1.0},
    "error_code": {},
}  # fmt: skip
ODD_PAGES = ("repeated_cursor", "empty_page")
ASKED_AGAIN = "asked again until it answers; no execution is missing"
# Longer than capture takes to look at its accounts again.
ROSTER_SECONDS = 6.0


def _with_a_break(stage: Stage, draw: random.Random, fault: str, **values: Any) -> str:
    """A fault of REST, and private connections that have to be made anew meanwhile."""
    seconds = draw.uniform(1.0, 3.0)
    stage.fault(fault, **values)
    stage.fault("private_drop", seconds=draw.uniform(0.1, 0.5))
    stage.hold(seconds)
    stage.await_fired()
    return f"{fault} for {seconds:.2f} s"


@scenario(
    "F10",
    how="502, a page, half a body, broken JSON, a late answer or 10016, and a break",
    expects=ASKED_AGAIN,
)
def rest_broken(stage: Stage, draw: random.Random) -> str:
    """Break REST."""
    name = draw.choice(list(BROKEN))
    return _with_a_break(stage, draw, name, **BROKEN[name])


@scenario(
    "F10",
    how="a cursor that leads nowhere, an empty page in between, and a break",
    expects=ASKED_AGAIN,
)
def odd_pages(stage: Stage, draw: random.Random) -> str:
    """Page badly."""
    return _with_a_break(stage, draw, draw.choice(ODD_PAGES))


@scenario("F11", how="10006 or HTTP 429, and a break", expects=ASKED_AGAIN)
def rate_limit(stage: Stage, draw: random.Random) -> str:
    """Refuse what is too much."""
    return _with_a_break(stage, draw, draw.choice(("rate_limit", "http_429")))


@scenario(
    "F11",
    how="HTTP 403 and a break; a new start ends the ten minutes without REST",
    expects="streams go on; no execution is missing after it",
)
def banned(stage: Stage, draw: random.Random) -> str:
    """Ban the address."""
    note = _with_a_break(stage, draw, "http_403", count=1)
    stage.terminate()
    stage.start()
    return note


@scenario(
    "F12",
    how="a key is refused for some seconds, by the stream and by REST",
    expects="the account is set aside, the others go on; then nothing is missing of it",
)
def key_refused(stage: Stage, draw: random.Random) -> str:
    """Refuse a key; then its owner enables the account again."""
    account, seconds = stage.account(draw), draw.uniform(0.5, 2.0)
    if draw.random() < 0.5:
        stage.fault("auth_reject", account=account)
        stage.fault("private_drop", account=account, seconds=0.1)
    else:
        stage.sandbox.set_account(
            account, refusal=draw.choice(("10003", "10004", "10010", "33004"))
        )
        stage.fault("private_drop", account=account, seconds=0.1)
    stage.hold(seconds)
    _set_status(account, BybitAccount.Status.DISABLED)
    stage.hold(ROSTER_SECONDS)
    stage.sandbox.set_account(account, refusal="")
    stage.sandbox.switch_off()
    _set_status(account, BybitAccount.Status.ENABLED)
    return f"{account} refused for {seconds + ROSTER_SECONDS:.2f} s"


@scenario("F13", how="REST says that the clock is wrong (10002), and a break", expects=ASKED_AGAIN)
def wrong_clock(stage: Stage, draw: random.Random) -> str:
    """Refuse the time."""
    return _with_a_break(stage, draw, "bad_timestamp")


def _set_status(account: str, status: str) -> None:
    username, _, name = account.partition("/")
    BybitAccount.objects.unscoped().filter(user__username=username, account_name=name).update(
        status=status, updated_at=timezone.now()
    )
