"""How often may be asked: by an account each endpoint, and by an address all of them.

Source: V5 "Rate Limit Rules": a rolling second for each UID and endpoint, told in three headers;
600 requests within 5 seconds for each address, then HTTP 403 for 10 minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import web

WINDOW_MS = 1000
ADDRESS_WINDOW_MS = 5000
BAN_MS = 10 * 60_000
# The client's clock may be a little behind: the reset lies far enough ahead for it, too.
LEAST_RESET_MS = 100

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rate:
    """How often each account asked each endpoint within the last second."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], deque[int]] = {}

    def take(
        self, account: str, path: str, now_ms: int, *, limit: int, wanted: int = 1
    ) -> tuple[int, int]:
        """Count a request, or one of several orders: how many are granted, how many are left."""
        asked = self._asked.setdefault((account, path), deque())
        while asked and asked[0] <= now_ms - WINDOW_MS:
            asked.popleft()
        granted = min(wanted, limit - len(asked))
        asked.extend([now_ms] * granted)
        return granted, limit - len(asked)

    def reset_ms(self, account: str, path: str, now_ms: int) -> int:
        """When the next request is granted again, once there is none left."""
        asked = self._asked.get((account, path))
        return max(asked[0] + WINDOW_MS if asked else 0, now_ms + LEAST_RESET_MS)


class Addresses:
    """Turns an address away that asks too often; `most` 0 turns nobody away."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._asked: dict[str, deque[int]] = {}
        self._banned_until: dict[str, int] = {}

    def is_welcome(self, address: str, now_ms: int) -> bool:
        """Count a request, and say whether it is answered."""
        if not self._most:
            return True
        if now_ms < self._banned_until.get(address, 0):
            return False
        asked = self._asked.setdefault(address, deque())
        while asked and asked[0] <= now_ms - ADDRESS_WINDOW_MS:
            asked.popleft()
        asked.append(now_ms)
        if len(asked) <= self._most:
            return True
        asked.clear()
        self._banned_until[address] = now_ms + BAN_MS
        return False


def guard(
    addresses: Addresses, clock: Callable[[], int]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """A middleware that counts the requests of the REST API, and no others."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_rest = request.path.startswith("/v5/") and "Upgrade" not in request.headers
        if is_rest and not addresses.is_welcome(request.remote or "", clock()):
            return web.Response(status=403, text="access too frequent")
        return await handler(request)

    return check
