"""What a policy is: an age for each kind of rows; older ones go.

What belongs to a tenant is never in the policy of the settings: it is pruned only when a command
names it, with its age and its accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from marketdata.coverage.since import age

# Kinds whose rows are the operator's; `--older-than` means these.
PUBLIC = ("trades", "tickers", "quarantine")
PRIVATE = ("executions", "orders", "positions", "wallet", "backtests")
KINDS = (*PUBLIC, *PRIVATE)
# What is younger may still be audited, repaired, or wait in the spool.
LEAST_AGE = timedelta(hours=1)
MOST_AGE = timedelta(days=36_500)
AGES_KEPT = "from 1h to 36500d"

Policy = Mapping[str, timedelta]


def retention_age(text: str) -> timedelta:
    """An age from which on rows may go. Raises ValueError."""
    kept = age(text)
    if not LEAST_AGE <= kept <= MOST_AGE:
        raise ValueError(f"{text!r} is no age to keep: {AGES_KEPT}.")
    return kept


def policy_of(options: Mapping[str, Any], configured: Policy) -> Policy:
    """The policy of a command line; the one of the settings where that names no age at all.

    Where symbols are named it is about those: what is in quarantine is of none.
    """
    told = {kind: options["older_than"] for kind in PUBLIC if options["older_than"]}
    named = {kind: options[kind] for kind in KINDS if options[kind]}
    policy = told | named or dict(configured)
    if options["symbol"] and "quarantine" not in named:
        policy.pop("quarantine", None)
    return policy
