"""The private WebSocket connection: authenticated before it subscribes.

pybit sends the request and never looks at the answer, so the answer is read here. Key, secret
and signature are handed to nobody: an answer to `auth` ends here, and a text that repeats any of
them is handed on without it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marketdata.bybit.constants import PRIVATE_TOPICS
from marketdata.bybit.environments import Endpoints, Environment, checked_url
from marketdata.bybit.error_table import NO_CODE, harmless
from marketdata.bybit.errors import AuthenticationFailed, BybitError
from marketdata.bybit.secret_holder import SecretHolder, revealed
from marketdata.bybit.ws_client import FrameHandler, WebSocketClient
from marketdata.bybit.ws_stream import Stream

logger = logging.getLogger(__name__)

AUTHENTICATE_SECONDS = 10.0
# How long the exchange may take a signed auth request for good. pybit's one second refuses a
# machine whose clock is that much behind, or whose connection is slow.
AUTH_EXPIRE_SECONDS = 10

HIDDEN = "(hidden)"
# No key is shorter; a shorter word of a test's might be part of any message.
SHORTEST_SECRET = 8
_is_signature = re.compile(r"[0-9A-Fa-f]{64}")


class _AuthAnswer(NamedTuple):
    """What the exchange thinks of the key; its own text may repeat it, so little is kept."""

    accepted: bool
    code: int
    words: str

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> _AuthAnswer:
        code = message.get("retCode")
        words = harmless(message.get("ret_msg") or message.get("retMsg"))
        return cls(
            accepted=message.get("success") is True,
            code=code if type(code) is int else NO_CODE,
            words=words or "it did not say why",
        )


class PrivateWebSocketClient(WebSocketClient):
    """One account's executions, orders, positions and wallet over one connection.

    Nothing is sent at the beginning: the state of things is read from REST. Silence is normal,
    and answers to pings break it, so `silent_seconds` says as much here as on a public one.
    """

    kind = "private"

    def __init__(
        self,
        api_key: str,
        api_secret: SecretHolder | str,
        handler: FrameHandler,
        *,
        environment: Environment = Environment.TESTNET,
        endpoints: Endpoints | None = None,
        ping_interval: float = 20,
        ping_timeout: float = 10,
    ) -> None:
        if not (api_key and api_secret):
            raise ValueError("A private connection needs a key and its secret.")
        url = ""
        if environment == Environment.SANDBOX:
            url = (endpoints or Endpoints()).ws_private
            if not url:
                raise ValueError("The sandbox environment needs BYBIT_WS_PRIVATE_URL.")
            url = checked_url(url, "BYBIT_WS_PRIVATE_URL", {"ws", "wss"})
        super().__init__(
            PRIVATE_TOPICS,
            handler,
            environment=environment,
            url=url,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
        )
        self._api_key = api_key
        self._api_secret = api_secret
        self._auth_answer: _AuthAnswer | None = None

    def _open(self, on_text: Callable[[str], None]) -> Stream:
        self._auth_answer = None
        return Stream(
            "private",
            url=self._url,
            on_text=on_text,
            on_garbled=self._on_garbled,
            testnet=self._environment == Environment.TESTNET,
            demo=self._environment == Environment.DEMO,
            api_key=self._api_key,
            api_secret=revealed(self._api_secret),
            private_auth_expire=AUTH_EXPIRE_SECONDS,
            restart_on_error=False,
            retries=2,
            **self._ping,
        )

    def _all_refused(self, words: str) -> BybitError:
        """A key that may see nothing lacks the permission, and will lack it in a minute."""
        return AuthenticationFailed(self._without_secrets(words), code=NO_CODE)

    def _prepare(self) -> None:
        """Wait until the exchange has taken the key, which pybit sent while connecting."""
        self._await(AUTHENTICATE_SECONDS, lambda: self._auth_answer is not None)
        answer = self._auth_answer
        if answer is not None and not answer.accepted:
            raise AuthenticationFailed(
                f"The exchange refused the key: {answer.words}", code=answer.code
            )

    def _is_private_answer(self, message: dict[str, Any]) -> bool:
        if message.get("op") != "auth":
            return False
        with self._answered:
            self._auth_answer = _AuthAnswer.read(message)
            self._answered.notify_all()
        return True

    def _without_secrets(self, text: str) -> str:
        for secret in (self._api_key, revealed(self._api_secret)):
            if len(secret) >= SHORTEST_SECRET and secret in text:
                text = text.replace(secret, HIDDEN)
        return text

    def _on_garbled(self, reason: str) -> None:
        self._unreadable("", self._without_secrets(reason), datetime.now(UTC))

    def _unreadable(self, text: str, reason: str, received_at: datetime) -> None:
        # The exchange repeats what it could not decode, and that may be the auth request.
        super()._unreadable(_is_signature.sub(HIDDEN, text), reason, received_at)
