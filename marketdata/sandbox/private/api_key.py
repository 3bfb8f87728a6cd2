"""What an exchange says of a key, and which parts of that a test may choose.

Source: https://bybit-exchange.github.io/docs/v5/user/apikey-info.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

SETTABLE = ("permissions", "ips", "expiredAt", "deadlineDay", "uta")
USUAL: Mapping[str, Any] = {
    "permissions": {
        "ContractTrade": ["Order", "Position"],
        "Spot": [],
        "Wallet": [],
        "Options": [],
        "Derivatives": [],
        "CopyTrading": [],
        "BlockTrade": [],
        "Exchange": [],
        "NFT": [],
        "Affiliate": [],
        "Earn": [],
    },
    "ips": ["*"],
    "expiredAt": "2099-01-01T00:00:00Z",
    "deadlineDay": 90,
    "uta": 1,
}


class Keyholder(Protocol):
    """Whose key it is."""

    uid: int
    api_key: str
    read_only: bool
    key: Mapping[str, Any]


def check_key(key: Any) -> None:
    """Raise ValueError for what is no choice of the answer's fields; any value may be one."""
    if not isinstance(key, Mapping) or not key.keys() <= set(SETTABLE):
        raise ValueError(f"key is an object of {', '.join(SETTABLE)}.")


def key_answer(holder: Keyholder) -> dict[str, Any]:
    """What /v5/user/query-api answers, with what was chosen in place of the usual."""
    return {
        "id": str(holder.uid),
        "note": "sandbox",
        "apiKey": holder.api_key,
        "readOnly": int(holder.read_only),
        "secret": "",
        "type": 1,
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "userID": holder.uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        **USUAL,
        **holder.key,
    }
