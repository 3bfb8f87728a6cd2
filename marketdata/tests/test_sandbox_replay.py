"""Recordings, played again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from websocket import create_connection

from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.sandbox.replay import RecordingError, scan

TRADES, TICKERS = "publicTrade.XRPUSDT", "tickers.XRPUSDT"
ROW = {
    "T": 1_700_000_000_010, "s": "XRPUSDT", "S": "Buy", "v": "3", "p": "0.5", "i": "id-1", "seq": 4,
}  # fmt: skip
TRADE = {"topic": TRADES, "type": "snapshot", "ts": 1_700_000_000_020, "data": [ROW]}
SNAPSHOT: dict[str, Any] = {
    "topic": TICKERS, "type": "snapshot", "cs": 50, "ts": 1_700_000_000_030,
    "data": {"symbol": "XRPUSDT", "lastPrice": "0.5", "markPrice": "0.6"},
}  # fmt: skip
DELTA: dict[str, Any] = {
    "topic": TICKERS, "type": "delta", "cs": 51, "ts": 1_700_000_000_130,
    "data": {"symbol": "XRPUSDT", "lastPrice": "0.7"},
}  # fmt: skip


def recording(path, *lines):
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def entry(frame, ms=1_700_000_000_040, channel="public"):
    return {"ms": ms, "channel": channel, "frame": frame}


def playing(*files, **options):
    return SandboxServer(SandboxConfig(recordings=files, paused=True, **options))


def listen(sandbox, *topics):
    ws = create_connection(sandbox.ws_public_url, timeout=20)
    ws.send(json.dumps({"op": "subscribe", "args": topics}))
    assert json.loads(ws.recv())["success"]
    return ws


def played(sandbox, ws):
    """Everything up to a mark that is sent when the recording has been played."""
    sandbox.resume()
    sandbox.wait_for_replay()
    sandbox.send_raw("end")
    frames = list(iter(ws.recv, "end"))
    ws.close()
    return frames


def test_frames_reach_those_who_subscribed_to_their_topic(tmp_path):
    file = recording(
        tmp_path / "r", entry(TRADE), [1_700_000_000_041, "public", DELTA], "", entry(TRADE)
    )
    with playing(file) as sandbox:
        frames = played(sandbox, listen(sandbox, TRADES))
        assert [json.loads(frame) for frame in frames] == [TRADE, TRADE]
        assert sandbox.rows_sent("XRPUSDT") == [ROW, ROW]


def test_recorded_trades_are_on_the_tape(tmp_path):
    with playing(recording(tmp_path / "r", entry(TRADE))) as sandbox:
        played(sandbox, listen(sandbox, TICKERS))
        query = {"category": "linear", "symbol": "XRPUSDT", "interval": "1"}
        url = f"{sandbox.rest_url}/v5/market"
        listed = requests.get(f"{url}/recent-trade", params=query, timeout=10).json()["result"]
        bars = requests.get(f"{url}/kline", params=query, timeout=10).json()["result"]["list"]
    assert [row["execId"] for row in listed["list"]] == ["id-1"]
    assert [(bar[4], bar[5]) for bar in bars] == [("0.5", "3")]


def test_a_recorded_ticker_begins_with_a_snapshot_that_is_older(tmp_path):
    file = recording(tmp_path / "r", entry(SNAPSHOT), entry(DELTA))
    with playing(file) as sandbox:
        frames = [json.loads(frame) for frame in played(sandbox, listen(sandbox, TICKERS))]
        states = [line["state"] for line in sandbox.ledger() if line["event"] == "sent"]
    assert frames[0]["data"] == SNAPSHOT["data"]
    assert frames[0]["ts"] < SNAPSHOT["ts"]
    assert frames[0]["cs"] <= SNAPSHOT["cs"]
    assert frames[1:] == [SNAPSHOT, DELTA]
    assert states[-1] == SNAPSHOT["data"] | {"lastPrice": "0.7"}


def test_who_comes_late_gets_the_state_so_far(tmp_path):
    with playing(recording(tmp_path / "r", entry(SNAPSHOT), entry(DELTA))) as sandbox:
        played(sandbox, listen(sandbox, TRADES))
        ws = listen(sandbox, TICKERS)
        snapshot = json.loads(ws.recv())
        ws.close()
    assert snapshot["data"]["lastPrice"] == "0.7"
    assert (snapshot["cs"], snapshot["ts"]) == (DELTA["cs"], DELTA["ts"] + 1)


def test_a_recording_without_a_snapshot_still_begins_with_one(tmp_path):
    with playing(recording(tmp_path / "r", entry(DELTA))) as sandbox:
        first, second = played(sandbox, listen(sandbox, TICKERS))
    assert json.loads(first)["type"] == "snapshot"
    assert "openInterest" in json.loads(first)["data"]
    assert json.loads(second) == DELTA


def test_text_that_is_no_json_reaches_everybody_on_the_channel(tmp_path):
    file = recording(
        tmp_path / "r",
        entry("<html>"),
        entry(json.dumps(TRADE)),
        entry("private", channel="private"),
        entry({"op": "pong"}),
        entry("[1]"),
    )
    with playing(file) as sandbox:
        frames = played(sandbox, listen(sandbox, TRADES))
        status = requests.get(f"{sandbox.rest_url}/sandbox/status", timeout=10).json()
    assert frames == ["<html>", json.dumps(TRADE), "[1]"]
    assert (status["market"], status["played"], status["finished"]) == ("replay", 4, True)


def test_frames_of_topics_that_the_sandbox_does_not_know_are_passed_on(tmp_path):
    book = {"topic": "orderbook.1.XRPUSDT", "data": {}}
    odd = TRADE | {"data": "odd"}
    with playing(recording(tmp_path / "r", entry(book), entry(odd))) as sandbox:
        frames = played(sandbox, listen(sandbox, "orderbook.1.XRPUSDT", TRADES))
    assert [json.loads(frame) for frame in frames] == [book, odd]


def test_files_are_played_one_after_the_other_and_spacing_follows_the_speed(tmp_path):
    first = recording(tmp_path / "a", entry(TRADE, ms=0), entry(TRADE, ms=3_600_000))
    second = recording(tmp_path / "b", entry(DELTA, ms=90_000_000))
    with playing(first, second, speed=1e6) as sandbox:
        frames = played(sandbox, listen(sandbox, TRADES))
        status = sandbox.status()
    assert len(frames) == 2
    assert status["market_ms"] == 90_000_000


def test_more_symbols_than_the_recorded_ones_may_be_listed(tmp_path):
    file = recording(tmp_path / "r", entry(TRADE))
    with playing(file, symbols=("BTCUSDT",)) as sandbox:
        assert sandbox.status()["symbols"] == ["XRPUSDT", "BTCUSDT"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "no JSON"),
        ("7", "neither an object nor a list of ms, channel and frame"),
        ([1, "public"], "neither an object nor a list of ms, channel and frame"),
        (entry(TRADE, ms="1"), "ms is no whole number"),
        (entry(TRADE, channel="spot"), "channel is neither public nor private"),
        (entry([TRADE]), "frame is neither an object nor a text"),
    ],
)
def test_a_line_that_cannot_be_played_is_named(tmp_path, line, sentence):
    file = recording(tmp_path / "r", entry(TRADE), line)
    with pytest.raises(RecordingError, match=sentence) as caught:
        scan([file])
    assert str(caught.value).startswith(f"{file}, line 2: ")


def torn(file, cut):
    file.write_bytes(file.read_bytes()[:-cut])
    return file


def test_a_last_line_that_breaks_off_is_left_out(tmp_path, caplog):
    file = torn(recording(tmp_path / "r", entry(TRADE), entry(TRADE)), 9)
    with playing(file) as sandbox:
        frames = played(sandbox, listen(sandbox, TRADES))
    assert [json.loads(frame) for frame in frames] == [TRADE]
    assert f"{file}, line 2: breaks off in the middle and is left out." in caplog.messages


def test_a_last_line_without_its_end_is_played_when_it_is_whole(tmp_path, caplog):
    file = torn(recording(tmp_path / "r", entry(DELTA), entry(TRADE)), 1)
    assert (scan([file]).topics, caplog.messages) == ({TICKERS, TRADES}, [])
    odd = torn(recording(tmp_path / "odd", entry(TRADE), "7"), 1)
    with pytest.raises(RecordingError, match="line 2: neither an object nor a list"):
        scan([odd])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecordingError, match="cannot be read: No such file or directory"):
        scan([tmp_path / "nowhere"])


def test_a_bad_recording_is_said_in_the_thread_that_asked(tmp_path):
    with pytest.raises(RecordingError, match="line 1"):
        playing(recording(tmp_path / "r", "{")).__enter__()
