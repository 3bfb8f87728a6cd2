"""Every management command of the project, and what it says to whom."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress

from django.apps import apps
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.db import transaction
from django.test import override_settings

from gridbot_site.tests.isolation.models import Scene
from marketdata.bybit.environments import Endpoints

# Nobody listens there: a command that asks the exchange is told so.
NOWHERE = Endpoints(
    rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1", ws_private="ws://127.0.0.1:1"
)
SCOPES = (("--user", "{user}"), ("--account", "{account}"))
# What each is asked for the tenant alone, in both scopes.
ASKED: dict[str, tuple[tuple[str, ...], ...]] = {
    "coverage": ((), ("--json",)),
    "check_account": ((), ("--json",)),
    "reconcile": (("--since", "1h"), ("--since", "1h", "--json")),
    "prune": (
        ("--orders", "1h", "--dry-run"),
        ("--orders", "1h", "--quarantine", "1h", "--backtests", "1h", "--dry-run", "--json"),
    ),
}
# Those that ask for no scope, and why.
UNASKED = {
    "capture": "the operator's service: it serves every enabled account, or those it is given",
    "rotate_credential_keys": "about the site's keys: one is retired when no credential needs it",
    "doctor": "the operator's: of the whole installation, with each account's key",
    "watch": "the operator's: tells the operator what is wrong, an account's key about to expire, too",
    "web": "the operator's: it serves the site, whose pages are judged one by one",
    "notify": "the operator's: about where messages go, without a database",
    "settings": "the operator's: of the installation, without a database",
    "reset_otp": "of the one user that it is given",
    "import_trades": "of public trades",
    "export_trades": "of public trades",
    "backtest": "the operator's: of the strategies that it is given, stored with their accounts",
    "demo": "in a database of its own",
    "drill": "in a database of its own",
    "sandbox": "without a database",
}


def commands() -> set[str]:
    """The commands of the project's own apps."""
    own = {each.name for each in apps.get_app_configs() if "site-packages" not in each.path}
    return {name for name, app in get_commands().items() if app in own}


def unjudged() -> list[str]:
    """What is to be done about each command that nobody has judged."""
    return [
        f"manage.py {name} has no verdict: add it to ASKED (with a scope, accounts.tenancy) or to "
        "UNASKED (with a reason) in gridbot_site/tests/isolation/commands.py."
        for name in sorted(commands() ^ (ASKED.keys() | UNASKED.keys()))
    ]


def asked(scene: Scene) -> Iterator[tuple[str, ...]]:
    """Each command line."""
    from accounts.models import BybitAccount

    names = {"user": scene.tenant.username, "account": str(scene.own[BybitAccount].pk)}
    for name, variants in ASKED.items():
        for scope in SCOPES:
            for variant in variants:
                yield (name, *variant, *(word.format(**names) for word in scope))


def wrongs(scene: Scene) -> tuple[list[str], int]:
    """What the commands say of the stranger, and how many were asked."""
    found, count = [], 0
    for line in asked(scene):
        count += 1
        said = io.StringIO()
        with (
            override_settings(BYBIT_ENDPOINTS=NOWHERE),
            redirect_stdout(said), redirect_stderr(said), transaction.atomic(),
        ):  # fmt: skip
            with suppress(SystemExit, CommandError):
                call_command(*line, stdout=said, stderr=said)
            transaction.set_rollback(True)
        hits = sorted(set(scene.canaries.findall(said.getvalue())))
        found += [f"{' '.join(line[:2])}: shows {hit}" for hit in hits]
        if scene.tenant.username not in said.getvalue() and not hits:
            found.append(f"{' '.join(line)}: says nothing of the tenant: {said.getvalue()[:200]}")
    return found, count
