"""What a sandbox is asked to be; everything is checked here, before a socket is opened."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from marketdata.sandbox.faults.orders import FaultOrder
from marketdata.sandbox.instruments import (
    DEFAULT_SYMBOLS,
    FUNDING_INTERVAL_MINUTES,
    instrument,
)
from marketdata.sandbox.private.accounts import MAX_RATE, SandboxAccount, check_distinct

# As fast as recordings are played without a pause.
MAX_SPEED = 1e6


@dataclass(frozen=True, kw_only=True)
class SandboxConfig:
    """The settings of one sandbox; ValueError says in a sentence what cannot be.

    `rate` is trades a second over all symbols, 0 for a quiet market that only does what it is
    told; `speed` multiplies the rate and divides the pauses of recordings. With `recordings`
    the market is replayed from those files instead. Empty `symbols` mean the usual three, or
    those of the recordings. `ledger` None means a temporary file that goes with the sandbox,
    `record` False no ledger at all. `paused` waits for `resume` before the market begins.
    `accounts` are those that may use the private half, `faults` are on from the beginning. Funding
    is settled every `funding_minutes`. An address may ask `address_limit` times within five
    seconds, 0 for as often as it likes. Port 0 lets the system choose.
    """

    symbols: tuple[str, ...] = ()
    seed: int = 1
    rate: float = 500.0
    speed: float = 1.0
    recordings: tuple[Path, ...] = ()
    ledger: Path | None = None
    record: bool = True
    paused: bool = False
    accounts: tuple[SandboxAccount, ...] = ()
    faults: tuple[FaultOrder, ...] = ()
    funding_minutes: int = FUNDING_INTERVAL_MINUTES
    address_limit: int = 600
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        for symbol in self.symbols:
            instrument(symbol)
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("A symbol is named twice.")
        # A comparison with NaN is false, so it is refused, too.
        if not 0 <= self.rate <= MAX_RATE:
            raise ValueError(f"The rate must be 0 to {MAX_RATE:.0f} trades a second.")
        if not 0 < self.speed <= MAX_SPEED:
            raise ValueError(f"The speed must be more than zero, and {MAX_SPEED:.0f} at most.")
        if not self.recordings and self.rate * self.speed > MAX_RATE:
            raise ValueError(f"Rate times speed must be {MAX_RATE:.0f} trades a second at most.")
        if not 0 <= self.port <= 65535:
            raise ValueError("The port must lie between 0 and 65535.")
        if not 1 <= self.funding_minutes <= 24 * 60:
            raise ValueError("Funding comes every 1 to 1440 minutes.")
        if self.address_limit < 0:
            raise ValueError("The limit of an address must be zero or more requests.")
        check_distinct(self.accounts)
        self._check_host()
        self._check_ledger()

    @property
    def trading_symbols(self) -> tuple[str, ...]:
        """The symbols of a market that is not replayed."""
        return self.symbols or DEFAULT_SYMBOLS

    def _check_host(self) -> None:
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(f"The sandbox listens on loopback only, not on {self.host!r}.")

    def _check_ledger(self) -> None:
        if self.ledger is None:
            return
        if not self.record:
            raise ValueError("A ledger file and no ledger exclude each other.")
        if self.ledger.exists() and (not self.ledger.is_file() or self.ledger.stat().st_size):
            raise ValueError(f"{self.ledger} exists; a ledger begins with a new file.")
        if not self.ledger.absolute().parent.is_dir():
            raise ValueError(f"The folder of {self.ledger} does not exist.")
