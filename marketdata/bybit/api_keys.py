"""What the exchange says an API key may do.

What cannot be read is refused as a whole: a permission that was overlooked would pass for none.
Source: https://bybit-exchange.github.io/docs/v5/user/apikey-info.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from marketdata.bybit.constants import EARLIEST_MS
from marketdata.bybit.rest_base import object_in
from marketdata.bybit.values import (
    MISSING,
    id_from,
    integer_from,
    label_from,
    malformed,
    milliseconds_at,
)

LONGEST_NAME: Final = 64
ANY_ADDRESS: Final = "*"


@dataclass(frozen=True, kw_only=True)
class ApiKeyInformation:
    """A key's rights, without the key.

    `permissions` are the exchange's names by group, as in {"Wallet": ("Withdraw",)}; a key that
    is `read_only` may have names there that it cannot use. Without `addresses` it works from
    anywhere. `expires_at` is None for a key that does not expire, as those bound to an address.
    `is_unified` is None where the exchange does not say.
    """

    uid: int
    read_only: bool
    permissions: Mapping[str, tuple[str, ...]]
    addresses: tuple[str, ...]
    expires_at: datetime | None
    is_unified: bool | None


def api_key_information(result: Mapping[str, Any]) -> ApiKeyInformation:
    """Read the answer of /v5/user/query-api. Raises MalformedMessage."""
    groups = object_in(result, "permissions")
    addresses = _texts(result, "ips", lambda text: id_from(text, "ips"))
    unified = result.get("uta")
    return ApiKeyInformation(
        uid=integer_from(result.get("userID", MISSING), "userID"),
        read_only=_bit(result.get("readOnly", MISSING), "readOnly"),
        permissions={
            label_from(group, "permissions", LONGEST_NAME): _texts(groups, group, _permission)
            for group in groups
        },
        addresses=() if ANY_ADDRESS in addresses else addresses,
        expires_at=_expiry(result.get("expiredAt", "")),
        is_unified=None if unified is None else _bit(unified, "uta"),
    )


def _texts(holder: Mapping[str, Any], field: str, read: Any) -> tuple[str, ...]:
    values = holder.get(field, MISSING)
    if not isinstance(values, list):
        raise malformed("list", "is missing" if values is MISSING else "is not a list", values)
    return tuple(read(value) for value in values)


def _permission(value: object) -> str:
    return label_from(value, "permission", LONGEST_NAME)


def _bit(value: object, field: str) -> bool:
    number = integer_from(value, field)
    if number not in (0, 1):
        raise malformed(field, "is neither 0 nor 1", value)
    return number == 1


def _expiry(value: object) -> datetime | None:
    """A time like 2026-12-22T07:20:25Z; empty, or long before the exchange opened, for none."""
    if value in ("", None):
        return None
    try:
        moment = datetime.fromisoformat(value) if type(value) is str else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise malformed("expiredAt", "is no time", value)
    moment = moment.astimezone(UTC)
    return moment if milliseconds_at(moment) >= EARLIEST_MS else None
