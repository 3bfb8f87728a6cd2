"""The judge of a drill sees all that is wrong, and forgives what is declared and nothing else."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from marketdata.capture.spool import Spool
from marketdata.capture.tally import StreamKey
from marketdata.demo.ledger import Feed
from marketdata.demo.tables import Values
from marketdata.drill.result import DrillVerdict
from marketdata.drill.sabotage import WAYS
from marketdata.drill.spooled import Spooled, spooled_rows
from marketdata.drill.truth import Truth
from marketdata.models import (
    CaptureGap,
    CoverageInterval,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    Stream,
)
from marketdata.tests.drill.scene import OWNER, Scene
from marketdata.tests.records import execution, trade

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene() -> Scene:
    """All that the exchange made is stored."""
    scene = Scene()
    scene.ordinary()
    scene.store_all()
    return scene


def figures(verdict: DrillVerdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.declared, verdict.duplicated, verdict.mutated


def test_all_that_was_made_and_is_stored_is_green(scene):
    verdict = scene.judge()
    assert verdict.problems == []
    assert verdict.is_green
    assert verdict.facts == 40


RED = {
    "lose_trade": "lost: publicTrade",
    "alter_trade": "was made otherwise",
    "invent_trade": "was never made",
    "double_trade": "is stored twice",
    "lose_trade_in_coverage": "vouched for",
    "lose_execution": "an execution in a gap",
    "lose_last_state": "its last state",
    "fill_gap": "lost: publicTrade",
    "false_gap": "false gap",
    "quarantine_more": "quarantined: a text",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_spoilt_turns_the_verdict_red(scene, way):
    truth = Truth.read(scene.events)
    # The fault lasts to the end, so that no gap but the one without a reason is false.
    scene.faults[0].recovered = scene.at(20)
    WAYS[way](truth)
    verdict = scene.judge()
    assert not verdict.is_green
    assert any(RED[way] in problem for problem in verdict.problems), verdict.problems


def test_the_trade_that_is_lost_had_to_be_stored_though_a_repair_stored_another_one_later(scene):
    made, scene.events = scene.events, []
    scene.trade(-1, 99)
    scene.events += made
    truth, feed = Truth.read(scene.events), Feed("publicTrade", "BTCUSDT")
    [early] = truth.early[feed]
    scene.store(feed, truth.rows[feed][early][-1])
    WAYS["lose_trade"](truth)
    assert scene.judge().lost == 1


class TestAbsentRows:
    """A row that is absent is declared by a gap that is not filled, and by nothing else."""

    def test_lost_without_a_gap(self, scene):
        scene.lose(11)
        verdict = scene.judge()
        assert figures(verdict) == (1, 0, 0, 0)
        assert verdict.by_fault[0]["lost"] == 1

    @pytest.mark.parametrize("state", ["open", "partial", "unfillable"])
    def test_declared_inside_a_gap_both_ends_included(self, scene, state):
        scene.lose(10, 11, 12)
        scene.gap(10, 12, state=state)
        verdict = scene.judge()
        assert figures(verdict) == (0, 3, 0, 0)
        assert verdict.is_green
        assert (verdict.declared_seconds, verdict.excess) == ([2.0], [1.0])

    def test_a_gap_that_repairs_have_shrunk_is_judged_by_what_it_was_for(self, scene):
        first = {"started_at": scene.at(10).isoformat(), "ended_at": scene.at(18).isoformat()}
        scene.faults[0].recovered = scene.at(12)
        scene.gap(16, 18, state="partial")
        assert not scene.judge().is_green
        CaptureGap.objects.update(evidence={"first": first})
        assert scene.judge().is_green

    def test_a_gap_that_goes_on_declares_what_comes_after_its_start_and_is_wrong(self, scene):
        scene.lose(11, 15)
        scene.gap(10, None)
        verdict = scene.judge()
        assert figures(verdict) == (0, 2, 0, 0)
        [problem] = verdict.problems
        assert problem.startswith("endless gap: publicTrade of BTCUSDT")

    def test_a_filled_gap_declares_nothing(self, scene):
        scene.lose(11)
        scene.gap(10, 12, state="filled")
        assert figures(scene.judge()) == (1, 0, 0, 0)

    def test_a_state_that_is_told_late_is_not_the_last_of_an_order_that_ended_before(self, scene):
        asked_for, scene.events = scene.events, []
        scene.private("order", 4, orderId="o1", orderStatus="Filled")
        scene.events += asked_for
        scene.private("order", 3, orderId="o1", orderStatus="PartiallyFilled")
        scene.gap(1, 11, stream="orders", symbol="", account=scene.account)
        assert figures(scene.judge()) == (0, 1, 0, 0)

    def test_the_gap_of_another_stream_declares_nothing(self, scene):
        scene.lose(11)
        scene.gap(10, 12, stream="tickers")
        scene.gap(10, 12, symbol="ETHUSDT")
        assert figures(scene.judge()) == (1, 0, 0, 0)

    def test_lost_just_outside(self, scene):
        scene.lose(9, 13)
        scene.gap(9.5, 12.5)
        assert figures(scene.judge()) == (2, 0, 0, 0)

    def test_lost_where_an_interval_vouches_whatever_a_gap_says(self, scene):
        scene.lose(11)
        scene.gap(10, 12)
        CoverageInterval.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=scene.at(11), ended_at=scene.at(11),
            source="live",
        )  # fmt: skip
        assert figures(scene.judge()) == (1, 0, 0, 0)

    def test_what_was_made_before_anybody_asked_may_be_absent_or_stored(self, scene):
        first = next(event for event in scene.events if event["event"] == "made")
        early = first | {"rows": [first["rows"][0] | {"i": "early"}]}
        scene.events.insert(0, early)
        assert scene.judge().is_green
        scene.store(Feed("publicTrade", "BTCUSDT"), _values(scene, "early"))
        assert scene.judge().is_green

    def test_a_ticker_stands_for_those_of_its_interval(self, scene):
        scene.ticker(20.1)
        scene.ticker(20.7)
        assert scene.judge().lost == 1
        last = list(Truth.read(scene.events).rows[Feed("tickers", "BTCUSDT")].values())[-1]
        scene.store(Feed("tickers", "BTCUSDT"), last[-1])
        assert scene.judge().is_green


class TestStoredRows:
    """A stored row has the figures that were made; of one order at one time the state that wins."""

    def test_the_lesser_of_two_states_of_one_time_is_wrong(self, scene):
        scene.private("order", 2, orderId="o2", cumExecQty="0", orderStatus="New")
        scene.private("order", 2, orderId="o2", cumExecQty="5", orderStatus="Filled")
        verdict = scene.judge()
        assert figures(verdict) == (0, 0, 0, 1)
        scene.gap(1, 3, stream="orders", symbol="", account=scene.account)
        scene.faults[0].began = scene.at(2)
        assert scene.judge().is_green

    @pytest.mark.parametrize(("changes", "mutated"), [({}, 0), ({"size": 77}, 1)])
    def test_a_snapshot_by_rest_is_a_state_that_was_pushed(self, scene, changes, mutated):
        rows = Truth.read(scene.events).rows[Feed("position", OWNER)]
        [values] = next(iter(rows.values()))
        fresh = values | {"exchange_ts": scene.at(8), "mark_price": 1} | changes
        scene.store(Feed("position", OWNER), fresh)
        assert figures(scene.judge()) == (0, 0, 0, mutated)

    def test_what_rest_does_not_say_may_be_empty_in_a_gap_and_nowhere_else(self, scene):
        rows = PrivateExecution.objects.unscoped().filter(exec_id="e2")
        rows.update(exec_pnl=None)
        verdict = scene.judge()
        assert figures(verdict) == (0, 0, 0, 1)
        assert "exec_pnl None for 0" in verdict.problems[0]
        scene.faults[0].began = scene.at(2)
        scene.gap(1, 3, stream="executions", symbol="", account=scene.account, state="filled")
        assert scene.judge().is_green
        rows.update(exec_fee=7)
        assert figures(scene.judge()) == (0, 0, 0, 1)

    def test_what_the_stream_was_never_sent_may_be_as_rest_tells_it(self, scene):
        PrivateExecution.objects.unscoped().update(exec_pnl=None)
        scene.events = [
            event
            for event in scene.events
            if "creationTime" not in event or event["event"] == "made"
        ]
        assert scene.judge().is_green

    def test_rows_that_were_committed_before_a_kill_must_be_there(self, scene):
        last = PublicTrade.objects.latest("pk").pk
        scene.committed = [(PublicTrade, last, 16)]
        assert scene.judge().is_green
        scene.lose(11)
        scene.gap(10, 12)
        verdict = scene.judge()
        assert verdict.lost == 1
        assert verdict.problems == ["public_trades: 1 committed rows are gone"]

    @pytest.mark.parametrize(("gap", "lost"), [(False, 2), (True, 0)])
    def test_rows_that_were_in_the_spool_at_a_kill_are_stored_or_made_room(self, scene, gap, lost):
        trade = PublicTrade.objects.get(sequence=1011)
        scene.spooled = [Spooled("publicTrade", "BTCUSDT", None, (trade.trade_id,))]
        assert scene.judge().is_green
        scene.lose(11)
        if gap:
            scene.gap(10, 12)
        verdict = scene.judge()
        assert verdict.lost == lost
        assert any("from the spool" in problem for problem in verdict.problems) is not gap

    def test_rows_of_accounts_never_leave_the_spool_but_for_the_database(self, scene):
        scene.spooled = [Spooled("wallet", "", scene.account.pk, ("gone",))]
        assert "from the spool" in scene.judge().problems[0]


def test_the_rows_in_a_spool_are_read_from_its_files(tmp_path):
    spool = Spool(tmp_path)
    spool.open("drill", "sandbox")
    account_id = uuid4()
    spool.log(Stream.TRADES).append(StreamKey(Stream.TRADES), [trade(1), trade(2)])
    spool.log(Stream.EXECUTIONS).append(StreamKey(Stream.EXECUTIONS, account_id), [execution(3)])
    assert set(spooled_rows(tmp_path)) == {
        Spooled("publicTrade", "BTCUSDT", None, (trade(1).trade_id,)),
        Spooled("publicTrade", "BTCUSDT", None, (trade(2).trade_id,)),
        Spooled("execution", "", account_id, ("BTCUSDT", "e3", "o1")),
    }


class TestGaps:
    """Each gap has a reason."""

    @pytest.mark.parametrize(
        ("span", "is_false"),
        [((3, 5), True), ((13.5, 15), True), ((8, 10), False), ((5, None), False)],
    )
    def test_a_gap_that_meets_no_fault_is_false(self, scene, span, is_false):
        scene.gap(*span, state="filled")
        assert any("false gap" in problem for problem in scene.judge().problems) is is_false

    @pytest.mark.parametrize(("span", "is_false"), [((14.9, 15.5), False), ((15.1, 16), True)])
    def test_a_gap_of_an_account_may_begin_where_an_earlier_one_will_have_ended(
        self, scene, span, is_false
    ):
        # An earlier gap ends two seconds after the first row that came, and so may lie ahead.
        whose = {"stream": "orders", "symbol": "", "account": scene.account}
        scene.gap(*span, state="filled", **whose)
        assert any("false gap" in problem for problem in scene.judge().problems) is is_false

    @pytest.mark.parametrize(
        ("end", "state", "is_long"),
        [(70.9, "open", False), (71.1, "open", True), (71.1, "partial", True),
         (71.1, "filled", False)],
    )  # fmt: skip
    def test_a_gap_may_be_a_minute_longer_than_its_faults(self, scene, end, state, is_long):
        scene.end = scene.at(200)
        scene.gap(10, end, state=state)
        problems = scene.judge().problems
        assert [problem[:9] for problem in problems] == ["long gap:"] * is_long

    def test_what_was_missing_before_the_run_makes_no_gap_too_long(self, scene):
        scene.gap(-500, 1)
        assert scene.judge().is_green


class TestQuarantine:
    """Quarantine holds what was injected, and nothing else."""

    TEXT = '{"topic":"publicTrade.BTCUSDT","data":[{"i":"x","p":"NaN"}]}'

    def keep(self, text: str, count: int = 1) -> None:
        now = timezone.now()
        QuarantinedMessage.objects.create(
            topic="t", reason="r", raw_text=text, digest=text[:60], count=count,
            first_seen=now, last_seen=now,
        )  # fmt: skip

    @pytest.mark.parametrize("kept", [TEXT, '{"p":"NaN","i":"x"}'])
    def test_what_was_injected_is_there_whole_or_as_a_row(self, scene, kept):
        scene.raw(3, self.TEXT)
        assert "quarantined 0 times, sent 1 times" in scene.judge().problems[0]
        self.keep(kept)
        assert scene.judge().is_green

    def test_once_for_each_time(self, scene):
        scene.raw(3, "broken")
        scene.raw(4, "broken")
        self.keep("broken")
        assert "quarantined 1 times, sent 2 times" in scene.judge().problems[0]

    def test_not_more_often(self, scene):
        scene.raw(3, "broken")
        self.keep("broken", count=2)
        assert "quarantined 2 times, sent 1 times" in scene.judge().problems[0]

    def test_what_was_sent_into_an_outage_need_not_be_there(self, scene):
        scene.raw(11, "broken")
        scene.gap(10, 12, state="filled")
        assert scene.judge().is_green


def test_the_share_that_is_vouched_for(scene):
    for stream, whose in (
        ("trades", {"symbol": "BTCUSDT"}), ("executions", {"account": scene.account})
    ):  # fmt: skip
        CoverageInterval.objects.create(
            stream=stream, started_at=scene.at(-5), ended_at=scene.at(10), source="live", **whose
        )
    assert scene.judge().vouched == pytest.approx(2 * 10 / (6 * 20))


def test_a_drill_without_rows_proves_nothing():
    assert not Scene().judge().is_green


def _values(scene: Scene, trade_id: str) -> Values:
    [values] = Truth.read(scene.events).rows[Feed("publicTrade", "BTCUSDT")][trade_id,]
    return values
