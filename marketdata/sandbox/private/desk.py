"""An account at the exchange: its key, how it is treated, what happens on it, and its lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.faults.frames import changed_frames
from marketdata.sandbox.private.accounts import SandboxAccount, check_rate, check_refusal
from marketdata.sandbox.private.history import Executions, Orders
from marketdata.sandbox.private.story import Story
from marketdata.sandbox.private.wire import EXECUTION, ORDER, TOPICS, Frame

FIRST_UID = 1001
FLOOD_FACTOR = 50.0
# A key that is not accepted is not accepted anywhere.
KEY_REFUSALS = ("params", "10003", "10004", "10010", "33004")


class Desk:
    """One account; `rate` and `refusal` may be changed while it runs."""

    def __init__(self, account: SandboxAccount, exchange: Exchange, *, uid: int, seed: int) -> None:
        self.name = account.name
        self.api_key = account.api_key
        self.secret = account.api_secret
        self.uid = uid
        self.rate = self.usual_rate = account.rate
        self.refusal = account.refusal
        self.executions = Executions()
        self.orders = Orders()
        self.story = Story(
            account,
            exchange.instruments.values(),
            exchange.quote,
            uid=uid,
            seed=seed,
            now_ms=exchange.clock(),
        )
        self._exchange = exchange

    @property
    def refuses_streams(self) -> bool:
        """Whether authentication on a stream is refused."""
        return self.refusal in KEY_REFUSALS

    def change(self, *, rate: float | None = None, refusal: str | None = None) -> None:
        """Set how busy it is and how it is refused. ValueError for what cannot be."""
        if rate is not None:
            check_rate(rate)
        if refusal is not None:
            check_refusal(refusal)
            self.refusal = refusal
        if rate is not None:
            self.rate = self.usual_rate = float(rate)

    def flood(self, factor: float = FLOOD_FACTOR) -> None:
        """Be so many times as busy as usual; 1 ends it."""
        self.rate = self.usual_rate * factor

    def events(self, count: int) -> None:
        """Let the next things happen."""
        for _ in range(count):
            self._publish_all(self.story.event(self._exchange.clock()))

    def run(self, lives: int) -> None:
        """Let so many orders be born and come to their ends."""
        for _ in range(lives):
            life = self.story.begin()
            while frames := self.story.advance(life, self._exchange.clock()):
                self._publish_all(frames)

    def send(
        self,
        topic: str,
        rows: Sequence[Any],
        creation_time: int | None = None,
        *,
        resent: bool = False,
    ) -> None:
        """Send rows as they are, in one frame. ValueError for what is no private topic."""
        if topic not in TOPICS:
            raise ValueError(f"There is no private topic {topic!r}.")
        ms = self._exchange.clock() if creation_time is None else creation_time
        frame_id = f"{self.uid}_{topic}_{ms}"
        self.publish(Frame(topic=topic, id=frame_id, creation_time=ms, rows=rows, resent=resent))

    def publish(self, frame: Frame) -> None:
        """Put a frame's rows on the lists and send it, as faults have it."""
        for each in changed_frames(self._exchange.faults, self.name, frame):
            if each.topic == EXECUTION and not each.resent:
                self.executions.add(each.rows)
            elif each.topic == ORDER and not each.resent:
                self.orders.add(each.rows)
            self._exchange.publish_private(self.name, each)

    def status(self) -> dict[str, Any]:
        """What is going on, for people and for tests."""
        return {
            "account": self.name,
            "rate": self.rate,
            "refusal": self.refusal,
            "executions": self.executions.total,
            "orders": self.orders.total,
            "connections": self._exchange.connections_of(self.name),
        }

    def _publish_all(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.publish(frame)


class Desks:
    """All accounts of a sandbox, by name and by key."""

    def __init__(
        self, accounts: Sequence[SandboxAccount], exchange: Exchange, *, seed: int
    ) -> None:
        self._by_name = {
            account.name: Desk(account, exchange, uid=FIRST_UID + index, seed=seed)
            for index, account in enumerate(accounts)
        }
        self._by_key = {desk.api_key: desk for desk in self._by_name.values()}

    def __iter__(self) -> Iterator[Desk]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Desk:
        if name not in self._by_name:
            raise ValueError(f"There is no account {name!r}.")
        return self._by_name[name]

    def of_key(self, api_key: str) -> Desk | None:
        """The account with this key."""
        return self._by_key.get(api_key)
