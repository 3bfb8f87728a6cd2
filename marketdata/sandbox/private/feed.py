"""What makes accounts go: the scripted activity by the clock, and recorded private frames."""

from __future__ import annotations

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.feed import MAX_STEP_SECONDS, breathe, keep_time
from marketdata.sandbox.private.accounts import MAX_RATE
from marketdata.sandbox.private.desk import Desks
from marketdata.sandbox.private.funding import Funding
from marketdata.sandbox.private.wire import Frame
from marketdata.sandbox.replay import Recorded


class PrivateFeed:
    """Lets things happen on each account at its own rate, and funding when it falls due."""

    def __init__(self, exchange: Exchange, desks: Desks, funding: Funding, *, speed: float) -> None:
        self._exchange = exchange
        self._desks = list(desks)
        self._funding = funding
        self._due = {desk.name: 0.0 for desk in self._desks}
        self._speed = speed

    async def run(self) -> None:
        """Go on for ever; a quiet account costs next to nothing."""
        await keep_time(self._exchange.running, self.step)

    async def step(self, seconds: float) -> None:
        """Let happen what falls due in a span of time; lost time is not caught up."""
        self._funding.settle_due()
        seconds = min(seconds, MAX_STEP_SECONDS)
        for desk in self._desks:
            self._due[desk.name] += seconds * min(desk.rate * self._speed, MAX_RATE)
            count, self._due[desk.name] = divmod(self._due[desk.name], 1)
            for number in range(1, int(count) + 1):
                desk.event()
                await breathe(number)
                if not self._exchange.running.is_set():
                    return


class PrivateReplay:
    """Sends a recorded private frame to its account, or to all of them."""

    def __init__(self, exchange: Exchange, desks: Desks) -> None:
        self._exchange = exchange
        self._desks = desks

    def __call__(self, recorded: Recorded) -> None:
        """Send it as it was."""
        desks = [self._desks[recorded.account]] if recorded.account else list(self._desks)
        message = recorded.message or {}
        data, created = message.get("data"), message.get("creationTime")
        for desk in desks:
            if recorded.topic and isinstance(data, list):
                frame = Frame(
                    topic=recorded.topic.partition(".")[0],
                    id="",
                    creation_time=created if isinstance(created, int) else recorded.ms,
                    rows=data,
                    recorded=(recorded.topic, recorded.text),
                )
                desk.publish(frame)
            else:
                text, topic = recorded.text.decode(), recorded.topic or None
                self._exchange.send_raw(text, topic, desk.name)
