"""What the exchange answers to what it does not do: retCodes and their words.

Source: V5 "Error Codes"; the words of 10001, 110001, 110007 and 110017 were seen on the wire.
"""

from __future__ import annotations

PARAMETER_ERROR = 10001
MESSAGES = {
    10003: "API key is invalid.",
    10004: "error sign! please check your signature generation algorithm.",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits!",
    10010: "Unmatched IP, please check your API key's bound IP addresses.",
    33004: "Your api key has expired.",
    110001: "order not exists or too late to cancel",
    110003: "Order price exceeds the allowable range.",
    110007: "ab not enough for new order",
    110013: "Cannot set leverage due to risk limit level.",
    110017: "current position is zero, cannot fix reduce-only order qty",
    110020: "Not allowed to have more than 500 active orders.",
    110024: "You have an existing position, so position mode cannot be switched.",
    110025: "Position mode is not modified.",
    110028: "You have existing open orders, so position mode cannot be switched.",
    110043: "Set leverage has not been modified.",
    110072: "OrderLinkedID is duplicate",
    110094: "Order does not meet minimum order value 5USDT",
}


class Refused(Exception):
    """It is not done, and nothing has changed; `code` is the retCode."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or MESSAGES[code])
        self.code = code


def refused_with(code: int) -> Refused:
    """A refusal with any code; with the exchange's words where they are known."""
    return Refused(code, MESSAGES.get(code, "Server error, please try again later."))


def wrong(name: str) -> Refused:
    """A parameter is missing or wrong."""
    return Refused(PARAMETER_ERROR, f"params error: {name} invalid")
