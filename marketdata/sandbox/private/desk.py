"""An account at the exchange: its key, how it is treated, what happens on it, and its lists."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.faults.frames import changed_frames
from marketdata.sandbox.feed import breathe
from marketdata.sandbox.private.accounts import SandboxAccount, check_rate, check_refusal
from marketdata.sandbox.private.api_key import check_key
from marketdata.sandbox.private.book import Account, Outcome
from marketdata.sandbox.private.history import Executions, Orders
from marketdata.sandbox.private.pushes import Identifiers, Pushes
from marketdata.sandbox.private.statements import ClosedProfits, Transactions
from marketdata.sandbox.private.story import Story
from marketdata.sandbox.private.trading import Trader
from marketdata.sandbox.private.wire import EXECUTION, ORDER, TOPICS, Frame
from marketdata.sandbox.wire import Row

FIRST_UID = 1001
FLOOD_FACTOR = 50.0
# A key that is not accepted is not accepted anywhere.
KEY_REFUSALS = ("params", "10003", "10004", "10010", "33004")

Trade = tuple[Decimal, Decimal, str]


class Desk:
    """One account; `rate`, `refusal` and `key` may be changed while it runs."""

    def __init__(self, account: SandboxAccount, exchange: Exchange, *, uid: int, seed: int) -> None:
        self.name = account.name
        self.api_key = account.api_key
        self.secret = account.api_secret
        self.read_only = account.read_only
        self.uid = uid
        self.rate = self.usual_rate = account.rate
        self.refusal = account.refusal
        self.key = account.key
        self.executions = Executions()
        self.orders = Orders()
        self.transactions = Transactions()
        self.closed_profits = ClosedProfits()
        listed, ids = list(exchange.instruments.values()), Identifiers(account.name, seed)
        self.account = Account(listed, hedge_mode=account.hedge_mode, now_ms=exchange.clock())
        self.pushes = Pushes(self.account, exchange.mark, ids, self.closed_profits, uid=uid)
        self.trader = Trader(
            self.account,
            exchange,
            ids.new,
            lambda: Decimal(self.pushes.wallet()["totalAvailableBalance"]),
            self._tell_later,
        )
        self._story = Story(
            account.name, self.account, self.pushes, listed, exchange.quote, ids, uid=uid, seed=seed
        )
        self._exchange = exchange
        self._untold: deque[Frame] = deque()

    @property
    def refuses_streams(self) -> bool:
        """Whether authentication on a stream is refused."""
        return self.refusal in KEY_REFUSALS

    def change(
        self,
        *,
        rate: float | None = None,
        refusal: str | None = None,
        factor: float | None = None,
        key: Mapping[str, Any] | None = None,
    ) -> None:
        """Set how busy it is, how it is refused, what its key may do. ValueError if it cannot be.

        `factor` makes it so many times as busy as usual; 1 ends that.
        """
        if rate is not None:
            check_rate(rate)
        usual = self.usual_rate if rate is None else float(rate)
        busy = self.rate if rate is factor is None else usual * (1 if factor is None else factor)
        check_rate(busy)
        if refusal is not None:
            check_refusal(refusal)
        if key is not None:
            check_key(key)
            self.key = key
        if refusal is not None:
            self.refusal = refusal
        self.rate, self.usual_rate = busy, usual

    # --- what happens ------------------------------------------------------------------------

    def event(self) -> None:
        """Let the next thing happen."""
        self._publish_all(self._story.event(self._exchange.clock()))

    async def events(self, count: int) -> None:
        """Let the next things happen; others have their turn in between."""
        for number in range(1, count + 1):
            self.event()
            await breathe(number)

    async def run(self, lives: int) -> None:
        """Let so many orders be born and come to their ends; others have their turn in between."""
        for number in range(1, lives + 1):
            life = self._story.begin()
            while frames := self._story.advance(life, self._exchange.clock()):
                self._publish_all(frames)
            await breathe(number)

    def match(self, symbol: str, trades: Sequence[Trade]) -> None:
        """Let the market's trades fill what they reach."""
        if outcome := self.account.trades(symbol, trades, self._exchange.clock()):
            self._publish_all(self.pushes.frames(outcome))

    def fund(self, symbol: str, rate: Decimal) -> None:
        """Settle the funding of a symbol's legs."""
        mark, now = self._exchange.mark(symbol), self._exchange.clock()
        if outcome := self.account.fund(symbol, rate, mark, now):
            self._publish_all(self.pushes.frames(outcome))

    # --- what is sent ------------------------------------------------------------------------

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
        """Put a frame's rows on the lists and send it, behind all that is still to be sent."""
        self._publish_all([frame])

    def now(self) -> int:
        """The exchange's time, in ms."""
        return self._exchange.clock()

    def status(self) -> dict[str, Any]:
        """What is going on, for people and for tests."""
        return {
            "account": self.name,
            "rate": self.rate,
            "refusal": self.refusal,
            "executions": self.executions.total,
            "orders": self.orders.total,
            "connections": self._exchange.audience.connections_of(self.name),
        }

    def _tell_later(self, outcome: Outcome) -> None:
        """Send what a request has brought about once that was answered: the answer comes first."""
        self._untold += self.pushes.frames(outcome)
        asyncio.get_running_loop().call_soon(self._tell)

    def _publish_all(self, frames: Sequence[Frame]) -> None:
        self._untold += frames
        self._tell()

    def _tell(self) -> None:
        while self._untold:
            frame = self._untold.popleft()
            for each in changed_frames(self._exchange.faults, self.name, frame):
                self._put_down(each)
                self._exchange.publish_private(self.name, each)

    def _put_down(self, frame: Frame) -> None:
        """Put a frame's rows on the lists, unless they were sent before."""
        if frame.topic == EXECUTION and not frame.resent:
            self.executions.add(frame.rows)
            self.transactions.add(frame.rows)
        elif frame.topic == ORDER and not frame.resent:
            self.orders.add(frame.rows)


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
        exchange.after_trades = self.match

    def __iter__(self) -> Iterator[Desk]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Desk:
        if name not in self._by_name:
            raise ValueError(f"There is no account {name!r}.")
        return self._by_name[name]

    def of_key(self, api_key: str) -> Desk | None:
        """The account with this key."""
        return self._by_key.get(api_key)

    def match(self, symbol: str, rows: Sequence[Row]) -> None:
        """Let trades of the market fill what they reach."""
        waiting = [desk for desk in self if desk.account.has_orders(symbol)]
        if waiting and (trades := [trade for row in rows if (trade := _trade(row))]):
            for desk in waiting:
                desk.match(symbol, trades)


def _trade(row: Row) -> Trade | None:
    """Price, size and id; nothing for a block trade, or for what is no trade at all."""
    try:
        price, size = Decimal(row["p"]), Decimal(row["v"])
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None
    known = price.is_finite() and size.is_finite() and price > 0 and size > 0
    # A block trade was agreed elsewhere, at a price that is not the market's.
    return (price, size, str(row.get("i", ""))) if known and not row.get("BT") else None
