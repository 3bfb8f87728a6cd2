"""Signatures, as the exchange verifies them: lower hexadecimal HMAC-SHA256.

Sources: V5 "Connect" (the stream signs `GET/realtime` and the time of expiry) and Integration
Guidance (a request signs time, key, window, and the query string or body byte for byte).
"""

from __future__ import annotations

import hashlib
import hmac

EARLY_MS = 1000


def signature(secret: str, text: str) -> str:
    """The signature of a text."""
    return hmac.new(secret.encode(), _bytes(text), hashlib.sha256).hexdigest()


def is_signed(secret: str, text: str, given: str) -> bool:
    """Whether `given` is the signature of a text."""
    return hmac.compare_digest(signature(secret, text).encode(), _bytes(given))


def is_stream_signed(secret: str, expires: int, given: str) -> bool:
    """Whether a stream's authentication was signed with this secret."""
    return is_signed(secret, f"GET/realtime{expires}", given)


def is_in_window(timestamp: int, window: int, now_ms: int) -> bool:
    """Whether a request is neither too old nor from the future."""
    return now_ms - window <= timestamp < now_ms + EARLY_MS


def _bytes(text: str) -> bytes:
    # What was not UTF-8 on the wire comes as lone surrogates, and goes back to what it was.
    return text.encode(errors="surrogateescape")
