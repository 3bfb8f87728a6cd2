"""How a drill comes to its end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from marketdata.demo.ledger import Feed
from marketdata.drill.runner import Drill
from marketdata.drill.truth import Truth
from marketdata.tests.drill.scene import Scene

pytestmark = pytest.mark.django_db
TICKERS = Feed("tickers", "BTCUSDT")


class LateStage:
    """A stage on which capture connects anew after the market was told to rest."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.sandbox = scene, self
        self.before, self.committed, self.spooled = scene.before, scene.committed, scene.spooled
        self.capture = SimpleNamespace(is_alive=True)

    def __enter__(self) -> LateStage:
        return self

    def __exit__(self, *error: object) -> None: ...

    def wait_until_live(self, since: Any, seconds: float) -> Any:
        return self.scene.at(1)

    def pause(self) -> None: ...

    def drain(self) -> None: ...

    def ledger(self) -> list[dict[str, Any]]:
        return list(self.scene.events)

    def terminate(self) -> None:
        self.scene.ticker(17)
        newest = list(Truth.read(self.scene.events).rows[TICKERS].values())[-1]
        self.scene.store(TICKERS, newest[-1])


def test_what_a_connection_brings_after_the_market_rests_is_no_mutation(monkeypatch):
    scene = Scene()
    scene.ordinary()
    scene.store_all()
    monkeypatch.setattr("marketdata.drill.runner.Stage", lambda *given, **named: LateStage(scene))
    drill = Drill(accounts=[], scenarios=[], count=0, seed=1, patience=0.0)
    assert drill.run(threading.Event(), lambda fault: None).problems == []
