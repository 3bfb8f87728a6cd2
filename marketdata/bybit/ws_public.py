"""The public WebSocket: trades and tickers of symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.ws_client import FrameHandler, WebSocketClient
from marketdata.bybit.ws_stream import Stream


class PublicWebSocketClient(WebSocketClient):
    """The trades and tickers of some symbols over one connection."""

    kind = "public"

    def __init__(
        self,
        symbols: Iterable[str],
        handler: FrameHandler,
        *,
        environment: Environment = Environment.TESTNET,
        endpoints: Endpoints | None = None,
        ping_interval: float = 20,
        ping_timeout: float = 10,
    ) -> None:
        url = (endpoints or Endpoints()).ws_public if environment == Environment.SANDBOX else ""
        if environment == Environment.SANDBOX and not url:
            raise ValueError("The sandbox environment needs BYBIT_WS_PUBLIC_URL.")
        super().__init__(
            [f"{kind}.{symbol}" for symbol in symbols for kind in ("publicTrade", "tickers")],
            handler,
            environment=environment,
            url=url,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
        )

    def _open(self, on_text: Callable[[str], None]) -> Stream:
        return Stream(
            "linear",
            url=self._url,
            on_text=on_text,
            on_garbled=self._on_garbled,
            # pybit reads mainnet's public streams for demo accounts too: they share them.
            testnet=self._environment == Environment.TESTNET,
            restart_on_error=False,
            retries=2,
            **self._ping,
        )

    def _prepare(self) -> None:
        """Nothing: whoever has connected may subscribe."""
