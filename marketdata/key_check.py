"""What an account's key may do, asked of the exchange, and whether gridbot uses such a key.

gridbot needs neither withdrawals nor transfers, and a key that allows them is what a thief is
after: it is refused, even where the exchange calls it read-only. The refusal is written to the
credential, so capture sets the account aside, until another check or a new key lifts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from django.utils import timezone

from accounts.models import ApiCredential, BybitAccount
from accounts.vault import VaultError
from marketdata.bybit.api_keys import ApiKeyInformation
from marketdata.bybit.environments import Endpoints
from marketdata.bybit.error_table import TIMESTAMP_CODE
from marketdata.bybit.errors import BybitError, ExchangeRejected
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.accounts import (
    NO_CREDENTIAL,
    OpenedSecrets,
    context_of,
    full_name,
    note_state,
)
from marketdata.exits import ExitCode

# By what their names say: the exchange adds to its list, and "SubMemberTransferList" is on it.
REFUSED_WORDS: Final = ("withdraw", "transfer")
WARNING_DAYS: Final = (1, 7, 14)
NOT_ACCEPTED: Final = "The exchange does not accept the key: "
WRONG_TIME: Final = "The exchange does not accept the time of this machine's clock: "
ANYWHERE: Final = "it is bound to no IP address: whoever has it may use it from anywhere"
NOT_UNIFIED: Final = "the account is not a unified one, and gridbot reads no other"


class Outcome(Enum):
    """What became of the check of an account; the gravest one first."""

    REFUSED = "refused", ExitCode.SAFETY_STOP
    NOT_ACCEPTED = "not accepted", ExitCode.ERROR
    UNUSABLE = "no usable key", ExitCode.CONFIGURATION
    UNKNOWN = "not known", ExitCode.UNAVAILABLE
    OK = "ok", ExitCode.OK

    def __init__(self, words: str, exit_code: ExitCode) -> None:
        self.words, self.exit_code = words, exit_code


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One account's outcome; `reason` says why it is not ok, in one sentence.

    `code` is the exchange's, where it refused the request.
    """

    account: str
    outcome: Outcome
    reason: str = ""
    code: int = 0
    information: ApiKeyInformation | None = None
    warnings: Sequence[str] = ()


def refusal_of(information: ApiKeyInformation) -> str:
    """Why gridbot does not use such a key; empty where nothing speaks against it."""
    dangerous = [
        f"{group}: {name}"
        for group, names in sorted(information.permissions.items())
        for name in names
        if any(word in name.lower() for word in REFUSED_WORDS)
    ]
    if not dangerous:
        return ""
    return f"The key may move money ({', '.join(dangerous)}): make one that may not."


def warnings_of(information: ApiKeyInformation, now: datetime) -> list[str]:
    """What its owner should know."""
    warnings = []
    if information.expires_at is not None:
        left = information.expires_at - now
        near = [days for days in WARNING_DAYS if left <= timedelta(days=days)]
        if near:
            days = f"{near[0]} day{'s' * (near[0] > 1)}"
            warnings.append(f"it expires within {days}: {information.expires_at:%F %H:%M} UTC")
    if not information.addresses:
        warnings.append(ANYWHERE)
    if information.is_unified is False:
        warnings.append(NOT_UNIFIED)
    return warnings


def check_accounts(accounts: Iterable[BybitAccount], endpoints: Endpoints) -> list[Checked]:
    """Ask for the active key of each account, and write down what the exchange says of it."""
    secrets = OpenedSecrets("check_account")
    return [_check(account, endpoints, secrets) for account in accounts]


def gravest(checked: Iterable[Checked]) -> ExitCode:
    """The exit code of the worst outcome."""
    outcomes = {each.outcome for each in checked}
    return next((outcome.exit_code for outcome in Outcome if outcome in outcomes), ExitCode.OK)


def _check(account: BybitAccount, endpoints: Endpoints, secrets: OpenedSecrets) -> Checked:
    name = full_name(account)
    credential = (
        ApiCredential.objects.for_account(account)
        .filter(is_active=True)
        .select_related("account")
        .first()
    )
    if credential is None:
        return Checked(account=name, outcome=Outcome.UNUSABLE, reason=NO_CREDENTIAL)
    try:
        information = _asked(account, credential, endpoints, secrets)
    except ExchangeRejected as error:
        if error.code == TIMESTAMP_CODE:
            # Which says nothing of the key, nor against the account.
            reason = f"{WRONG_TIME}{error}"
        else:
            reason = f"{NOT_ACCEPTED}{error}"
            note_state(account.pk, reason)
        return Checked(account=name, outcome=Outcome.NOT_ACCEPTED, reason=reason, code=error.code)
    except BybitError as error:
        return Checked(account=name, outcome=Outcome.UNKNOWN, reason=str(error))
    except (VaultError, ValueError) as error:
        return Checked(account=name, outcome=Outcome.UNUSABLE, reason=str(error))
    refusal = refusal_of(information)
    _write_down(account, credential, information, refusal)
    return Checked(
        account=name,
        outcome=Outcome.REFUSED if refusal else Outcome.OK,
        reason=refusal,
        information=information,
        warnings=warnings_of(information, datetime.now(UTC)),
    )


def _asked(
    account: BybitAccount, credential: ApiCredential, endpoints: Endpoints, secrets: OpenedSecrets
) -> ApiKeyInformation:
    context = context_of(account, credential, secrets)
    client = BybitRestClient(
        context.api_key, context.api_secret, environment=context.environment, endpoints=endpoints
    )
    with closing(client):
        return client.get_api_key_information()


def _write_down(
    account: BybitAccount, credential: ApiCredential, information: ApiKeyInformation, refusal: str
) -> None:
    kept: dict[str, Any] = {
        "refusal": refusal[: ApiCredential._meta.get_field("refusal").max_length],
        "checked_at": timezone.now(),
        "expires_at": information.expires_at,
    }
    # Another key may have been entered meanwhile: of that nothing is known.
    ours = ApiCredential.objects.for_account(account).filter(
        pk=credential.pk, api_key=credential.api_key
    )
    if not ours.update(**kept):
        return
    was_ours = account.status_reason and (
        account.status_reason == credential.refusal
        or account.status_reason.startswith(NOT_ACCEPTED)
    )
    # What else keeps an account aside is not cured by this.
    if refusal or was_ours:
        note_state(account.pk, kept["refusal"])
