"""A few minutes of capture from the sandbox exchange, with outages, for pictures to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
# When the exchange is out of reach, in seconds since the beginning, and for how long.
OUTAGES = ((70.0, 12.0), (150.0, 20.0))
SECONDS = 240.0
# What a lasting outage must last until the last interval is over, and the gap is seen.
SEEN_AFTER = 20.0


@contextmanager
def lasting_outage() -> Iterator[str]:
    """Capture for `SECONDS` into this database, which is the demo's; then the exchange is away.

    Capture goes on meanwhile: its gap is open as long as the context lasts. Yields the name of
    the operator, who may see all of it.
    """
    from marketdata.bybit.environments import Environment
    from marketdata.capture.config import CaptureConfig
    from marketdata.capture.service import CaptureService
    from marketdata.capture.startup import resolve_symbols
    from marketdata.demo import database
    from marketdata.demo.sandbox_process import SandboxProcess

    database.make_operator()
    accounts = database.make_tenants()
    arguments = ("--symbols", ",".join(SYMBOLS), "--seed", "11", "--rate", "25")
    with SandboxProcess(*arguments, accounts=accounts, rate=2.0) as sandbox:
        config = CaptureConfig(
            symbols=tuple(resolve_symbols(SYMBOLS, Environment.SANDBOX, sandbox.endpoints)),
            environment=Environment.SANDBOX,
            endpoints=sandbox.endpoints,
            flush_interval=1.0,
            reconnect_delay=0.5,
            max_reconnect_delay=2.0,
            private=True,
        )
        stop = threading.Event()
        service = CaptureService(config)
        capturing = threading.Thread(target=service.run, args=(stop,), daemon=True)
        capturing.start()
        try:
            began = time.monotonic()
            for at, seconds in OUTAGES:
                time.sleep(max(began + at - time.monotonic(), 0))
                sandbox.break_connections()
                sandbox.switch_on("refuse", seconds=seconds)
            time.sleep(max(began + SECONDS - time.monotonic(), 0))
            sandbox.break_connections()
            sandbox.switch_on("refuse", seconds=600)
            time.sleep(SEEN_AFTER)
            yield database.DEMO_USER
        finally:
            stop.set()
            capturing.join(30)
