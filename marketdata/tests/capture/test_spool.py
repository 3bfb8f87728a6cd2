"""Rows on disk: what was acknowledged comes back, whatever happens to process, disk or power."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from marketdata.capture.spool import Spool
from marketdata.capture.spool_codec import Span
from marketdata.capture.spool_segment import DAMAGED, DROPPED, POISONED, Loss
from marketdata.capture.tally import StreamKey
from marketdata.tests.capture.disks import FailingDisk, InstantDisk
from marketdata.tests.records import execution, ticker, trade

TRADES = StreamKey("trades")
TICKERS = StreamKey("tickers")
SEED_FOLDER = Path(__file__).parent / "spool_of_version_1"


def opened(folder: Path, *, database: str = "db", **options) -> Spool:
    spool = Spool(folder, **{"disk": InstantDisk()} | options)
    spool.open(database, "sandbox")
    return spool


def put(spool: Spool, *numbers: int) -> None:
    spool.log("trades").append(TRADES, [trade(number) for number in numbers])


def drained(spool: Spool, stream: str = "trades") -> list:
    rows = []
    while group := spool.log(stream).first():
        rows += group.records
        spool.log(stream).settle(group)
    return rows


def again(spool: Spool, **options) -> Spool:
    """The spool as the next process finds it."""
    root = spool.folder.parent
    spool.close()
    return opened(root, **options)


def segment_of(spool: Spool) -> Path:
    (path,) = spool.folder.glob("*.segment")
    return path


def test_rows_come_back_in_order_from_the_next_process_and_then_are_gone(tmp_path):
    spool = opened(tmp_path / "a" / "b")
    put(spool, 1, 2)
    put(spool, 3)
    spool = again(spool)
    assert spool.rows == 3
    assert drained(spool) == [trade(1), trade(2), trade(3)]
    assert drained(again(spool)) == []
    assert list(spool.folder.glob("*.*")) == []


def test_rows_appended_while_others_are_replayed_come_after_them(tmp_path):
    spool = opened(tmp_path)
    put(spool, 1)
    group = spool.log("trades").first()
    put(spool, 2)
    spool.log("trades").settle(group)
    put(spool, 3)
    assert drained(spool) == [trade(2), trade(3)]


def test_a_group_that_was_not_settled_is_there_again(tmp_path):
    spool = opened(tmp_path)
    put(spool, 1)
    put(spool, 2)
    log = spool.log("trades")
    log.settle(log.first())
    log.postpone(log.first())
    assert drained(again(spool)) == [trade(2)]


def test_segments_are_bounded_and_go_when_they_are_replayed(tmp_path):
    spool = opened(tmp_path, segment_bytes=500)
    for number in range(10):
        put(spool, number)
    files = len(list(spool.folder.glob("*.segment")))
    assert files >= 5
    log = spool.log("trades")
    for _ in range(5):
        log.settle(log.first())
    assert len(list(spool.folder.glob("*.segment"))) < files
    assert drained(again(spool)) == [trade(number) for number in range(5, 10)]


def test_nobody_else_may_read_the_rows(tmp_path):
    spool = opened(tmp_path / "spool")
    put(spool, 1)
    spool.log("trades").postpone(spool.log("trades").first())
    modes = {
        path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").rglob("*")
    }
    assert modes == {True: 0o700, False: 0o600}
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_a_tail_that_was_torn_at_any_byte_is_cut_and_the_rest_comes_back(tmp_path):
    spool = opened(tmp_path / "whole")
    path = None
    ends = []
    for number in range(3):
        put(spool, number)
        path = segment_of(spool)
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    spool.close()
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        torn = opened(tmp_path / "whole")
        whole = sum(end <= size for end in ends)
        assert drained(torn) == [trade(number) for number in range(whole)]
        assert torn.torn == (size not in [*ends, ends[0] - (ends[1] - ends[0])])
        assert torn.set_aside == []
        torn.close()


def test_zeros_behind_the_last_group_are_a_torn_tail(tmp_path):
    spool = opened(tmp_path)
    put(spool, 1)
    with segment_of(spool).open("ab") as file:
        file.write(bytes(5000))
    spool = again(spool)
    assert (drained(spool), spool.torn, spool.set_aside) == ([trade(1)], 1, [])


def test_every_flipped_bit_is_noticed(tmp_path):
    spool = opened(tmp_path / "s")
    for number in range(3):
        put(spool, number)
    path = segment_of(spool)
    content = path.read_bytes()
    spool.close()
    chance = random.Random(7)
    # Bits of every field of the first frame's head and of a group's, and a sample of the others.
    second = content.index(b'{"version"') - 12
    bits = [*range(0, 96, 5), *range(second * 8, second * 8 + 96, 3)]
    for bit in [*bits, *(chance.randrange(len(content) * 8) for _ in range(50))]:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        losses: list[Loss] = []
        found = opened(tmp_path / "s", on_loss=losses.append)
        rows = drained(found)
        assert rows == [trade(number) for number in range(len(rows))]
        assert len(rows) < 3
        # The rest is kept, to its last byte, and declared.
        (bad,) = found.set_aside
        assert bytes(flipped).endswith(bad.read_bytes())
        (loss,) = losses
        assert loss.reason == DAMAGED
        found.close()


def test_damage_costs_the_rest_of_its_segment_and_no_other(tmp_path):
    losses: list[Loss] = []
    spool = opened(tmp_path, segment_bytes=1500)
    for number in range(12):
        put(spool, number)
    first, second, *_ = sorted(spool.folder.glob("*.segment"))
    content = bytearray(second.read_bytes())
    content[-5] ^= 1
    second.write_bytes(content)
    per_segment = first.read_bytes().count(b'{"version"')
    spool = again(spool, on_loss=losses.append)
    lost = 2 * per_segment - 1
    assert drained(spool) == [trade(number) for number in range(12) if number != lost]
    ((place, span),) = losses[0].spans.items()
    assert place == (TRADES, "")
    assert span.first <= trade(lost).exchange_ts <= span.last


def test_damage_that_shows_during_replay_is_set_aside_with_its_rows_counted(tmp_path):
    losses: list[Loss] = []
    spool = opened(tmp_path, on_loss=losses.append)
    put(spool, 1)
    put(spool, 2, 3)
    path = segment_of(spool)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert drained(spool) == [trade(1)]
    assert losses[0].rows == {TRADES: 2}
    assert len(spool.set_aside) == 1


def test_rows_that_ended_the_process_three_times_are_set_aside_and_the_others_replayed(tmp_path):
    spool = opened(tmp_path)
    put(spool, 1)
    put(spool, 2, 3)
    put(spool, 4)
    log = spool.log("trades")
    log.settle(log.first())
    losses: list[Loss] = []
    for _ in range(3):
        assert spool.log("trades").first().records == [trade(2), trade(3)]
        spool = again(spool, on_loss=losses.append)
    assert drained(spool) == [trade(4)]
    spans = {(TRADES, "BTCUSDT"): Span(trade(2).exchange_ts, trade(3).exchange_ts)}
    assert losses == [Loss(Counter({TRADES: 2}), spans, POISONED)]
    assert len(spool.set_aside) == 1


def test_an_outage_during_replay_is_no_fault_of_the_rows(tmp_path):
    spool = opened(tmp_path)
    put(spool, 1)
    for _ in range(10):
        log = spool.log("trades")
        log.postpone(log.first())
        spool = again(spool)
    assert drained(spool) == [trade(1)]


def test_rows_of_another_database_are_left_alone(tmp_path):
    spool = opened(tmp_path, database="old")
    put(spool, 1)
    spool = again(spool, database="new")
    assert spool.rows == 0
    spool.close()
    assert drained(opened(tmp_path, database="old")) == [trade(1)]


def test_a_copied_segment_of_another_database_is_left_alone(tmp_path):
    spool = opened(tmp_path, database="old")
    put(spool, 1)
    path = segment_of(spool)
    new = opened(tmp_path, database="new")
    shutil.copy(path, new.folder)
    assert again(new, database="new").rows == 0


def test_public_rows_of_another_environment_are_left_alone_and_private_ones_are_not(tmp_path):
    spool = opened(tmp_path)
    account = StreamKey("executions", UUID(int=1))
    put(spool, 1)
    spool.log("executions").append(account, [execution(1)])
    spool.close()
    other = Spool(tmp_path)
    assert other.open("db", "mainnet") == Counter({account: 1})


def test_a_second_capture_keeps_to_a_folder_of_its_own_until_the_first_is_gone(tmp_path):
    first = opened(tmp_path)
    put(first, 1)
    second = opened(tmp_path)
    put(second, 2)
    assert (first.rows, second.rows) == (1, 1)
    first.close()
    second.close()
    assert drained(opened(tmp_path)) == [trade(1), trade(2)]


def fill(spool: Spool, stream: str, key: StreamKey, record, count: int) -> None:
    for number in range(count):
        spool.log(stream).append(key, [record(number)])


class TestBound:
    """Tickers make room first, then public trades; rows of accounts never go."""

    account = StreamKey("executions", UUID(int=1))

    @pytest.fixture
    def losses(self) -> list[Loss]:
        return []

    @pytest.fixture
    def spool(self, tmp_path, losses):
        return opened(tmp_path, max_bytes=8000, segment_bytes=1000, on_loss=losses.append)

    def test_the_oldest_tickers_make_room_for_newer_ones(self, spool, losses):
        fill(spool, "tickers", TICKERS, ticker, 60)
        left = drained(spool, "tickers")
        assert left[-1] == ticker(59)
        lost = sum(loss.rows[TICKERS] for loss in losses)
        assert left == [ticker(number) for number in range(lost, 60)]
        spans = [loss.spans[TICKERS, "BTCUSDT"] for loss in losses]
        assert spans[0].first == ticker(0).exchange_ts
        assert spans[-1].last == ticker(lost - 1).exchange_ts
        assert {loss.reason for loss in losses} == {DROPPED}

    def test_trades_push_out_tickers_before_trades(self, spool, losses):
        fill(spool, "trades", TRADES, trade, 5)
        fill(spool, "tickers", TICKERS, ticker, 10)
        fill(spool, "trades", TRADES, trade, 60)
        assert [*dict.fromkeys(key for loss in losses for key in loss.rows)] == [TICKERS, TRADES]
        assert spool.rows == spool.log("trades").rows[TRADES] < 65
        assert spool.size <= 8000

    def test_tickers_push_out_no_trades(self, spool, losses):
        fill(spool, "trades", TRADES, trade, 20)
        trades = spool.log("trades").rows[TRADES]
        before = len(losses)
        fill(spool, "tickers", TICKERS, ticker, 30)
        assert spool.log("trades").rows[TRADES] == trades
        assert {key for loss in losses[before:] for key in loss.rows} == {TICKERS}

    def test_rows_of_accounts_push_out_all_others_and_may_pass_the_bound(self, spool, losses):
        fill(spool, "trades", TRADES, trade, 10)
        fill(spool, "tickers", TICKERS, ticker, 10)
        fill(spool, "executions", self.account, execution, 60)
        assert spool.log("executions").rows == {self.account: 60}
        assert spool.rows == 60
        assert spool.size > 8000
        assert sum((loss.rows for loss in losses), Counter()) == {TRADES: 10, TICKERS: 10}

    def test_public_rows_go_when_accounts_take_all(self, spool, losses):
        fill(spool, "executions", self.account, execution, 60)
        put(spool, 7)
        assert spool.log("trades").rows == {}
        span = Span(trade(7).exchange_ts, trade(7).exchange_ts)
        assert losses == [Loss(Counter({TRADES: 1}), {(TRADES, "BTCUSDT"): span}, DROPPED)]

    def test_rows_in_the_hands_of_the_replay_are_not_dropped(self, spool):
        fill(spool, "trades", TRADES, trade, 20)
        group = spool.log("trades").first()
        fill(spool, "trades", TRADES, trade, 40)
        assert group.segment.path.exists()
        spool.log("trades").settle(group)


def story(spool: Spool, acknowledged: list[int], settled: list[int]) -> None:
    """Some appends, which may fail, and some of the rows replayed."""
    for number in range(12):
        try:
            put(spool, number)
            acknowledged.append(number)
        except OSError:
            continue
        if number % 4 == 3:
            try:
                group = spool.log("trades").first()
            except OSError:
                continue
            if group:
                settled += [row.sequence - 1000 for row in group.records]
                spool.log("trades").settle(group)


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_whichever_operation_of_the_disk_fails_what_was_acknowledged_comes_back(
    tmp_path, code, for_good
):
    for failing in range(1, 1000):
        disk = FailingDisk(code=code, for_good=for_good)
        losses: list[Loss] = []
        spool = opened(tmp_path / str(failing), disk=disk, segment_bytes=800, on_loss=losses.append)
        disk.failing, disk.count = failing, 0
        acknowledged: list[int] = []
        settled: list[int] = []
        story(spool, acknowledged, settled)
        found = again(spool)
        rows = [row.sequence - 1000 for row in drained(found)]
        missing = set(acknowledged) - {*rows, *settled}
        # Public rows give way on a full disk, and say so.
        spans = [loss.spans[TRADES, "BTCUSDT"] for loss in losses]
        assert all(
            any(span.first <= trade(number).exchange_ts <= span.last for span in spans)
            for number in missing
        )
        assert not (missing and code == errno.EIO)
        assert {*rows, *settled} <= set(range(12))
        assert found.set_aside == []
        found.close()
        if not disk.fired:
            assert acknowledged == list(range(12))
            break
    assert failing > 40


def test_a_full_disk_makes_room_for_accounts_by_dropping_public_rows(tmp_path):
    losses: list[Loss] = []
    disk = FailingDisk(code=errno.ENOSPC)
    spool = opened(tmp_path, disk=disk, on_loss=losses.append)
    put(spool, 1)
    disk.failing = disk.count + 1
    spool.log("executions").append(TestBound.account, [execution(1)])
    assert drained(spool, "executions") == [execution(1)]
    assert losses[0].rows == {TRADES: 1}


def test_a_spool_that_is_not_open_takes_nothing(tmp_path):
    with pytest.raises(OSError, match="not open"):
        put(Spool(tmp_path), 1)


def test_rows_that_a_release_of_version_1_has_written_are_read(tmp_path):
    shutil.copytree(SEED_FOLDER, tmp_path / "spool")
    spool = opened(tmp_path / "spool", database="the database of version 1")
    assert drained(spool) == [trade(1), trade(2, symbol="ETHUSDT", sequence=None)]
    assert drained(spool, "executions") == [execution(1)]
    assert os.listdir(spool.folder) == ["lock"]
