"""The sandbox's parts that need no socket: market, feed, tickers, ledger, configuration."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer, wire
from marketdata.sandbox.feed import EVENTS_AT_ONCE, RandomFeed
from marketdata.sandbox.instruments import DEFAULT_SYMBOLS, instrument
from marketdata.sandbox.ledger import Ledger
from marketdata.sandbox.market import MIN_TICKS, RandomMarket, Walk
from marketdata.sandbox.private.accounts import MAX_RATE
from marketdata.sandbox.server import Sandbox
from marketdata.sandbox.tape import MINUTES_KEPT, Tape
from marketdata.sandbox.tickers import Ticker

INSTRUMENTS = [instrument(symbol) for symbol in DEFAULT_SYMBOLS]


def matches(seed, count, clock=lambda: 1000):
    market = RandomMarket(INSTRUMENTS, seed)
    return [market.match(clock())[1] for _ in range(count)]


@pytest.fixture(scope="module")
def rows():
    """Some ten thousands of trades, in the order of their making."""
    return [row for match in matches(3, 12_000) for row in match]


def test_the_same_seed_makes_the_same_market():
    assert matches(7, 50) == matches(7, 50)
    assert matches(7, 50) != matches(8, 50)


def test_tickers_do_not_disturb_the_trades():
    market, with_tickers = RandomMarket(INSTRUMENTS, 7), []
    for _ in range(50):
        with_tickers.append(market.match(1000)[1])
        market.quote("BTCUSDT", 1000)
    assert with_tickers == matches(7, 50)


def test_prices_and_sizes_lie_on_their_grids(rows):
    grids = {one.symbol: one for one in INSTRUMENTS}
    for row in rows[::10]:
        grid = grids[row["s"]]
        assert Decimal(row["p"]) % grid.tick_size == Decimal(row["v"]) % grid.qty_step == 0
        assert Decimal(row["p"]) > 0
        assert Decimal(row["v"]) > 0


def test_every_shape_of_the_real_stream_occurs(rows):
    sizes = [len(match) for match in matches(3, 12_000)]
    assert sum(1 <= size <= 5 for size in sizes) > 0.9 * len(sizes)
    assert any(100 <= size <= 600 for size in sizes)
    assert any(size > wire.MAX_TRADES_PER_MESSAGE for size in sizes)
    assert any(row["RPI"] for row in rows)
    directions = {"PlusTick", "MinusTick", "ZeroPlusTick", "ZeroMinusTick"}
    assert {row["L"] for row in rows} == directions


def test_block_trades_lie_off_the_market_and_do_not_move_it(rows):
    per_symbol = defaultdict(list)
    for row in rows:
        per_symbol[row["s"]].append(row)
    blocks = 0
    for trades in per_symbol.values():
        for before, row, after in zip(trades, trades[1:], trades[2:], strict=False):
            if row["BT"] and not before["BT"] and not after["BT"]:
                last, block, next_ = (Decimal(one["p"]) for one in (before, row, after))
                assert abs(block - last) > abs(next_ - last)
                blocks += 1
    assert blocks


def test_ids_are_unique_and_seq_rises_within_a_symbol(rows):
    assert len({row["i"] for row in rows}) == len(rows)
    for symbol in DEFAULT_SYMBOLS:
        seqs = [row["seq"] for row in rows if row["s"] == symbol]
        assert seqs == sorted(seqs)


def test_times_never_fall_when_the_clock_does():
    clock = random.Random(1)
    last: defaultdict[str, int] = defaultdict(int)
    for match in matches(1, 500, clock=lambda: clock.randint(1, 10)):
        for row in match:
            assert row["T"] >= last[row["s"]]
            last[row["s"]] = row["T"]


def test_a_walk_keeps_away_from_zero():
    walk = Walk(instrument("TESTUSDT"), MIN_TICKS, 1)
    walk.move(-5)
    assert (walk.ticks, walk.direction) == (MIN_TICKS, "ZeroPlusTick")


def test_ticker_times_rise_though_the_clock_stands_still():
    ticker = Ticker({"symbol": "X", "lastPrice": "1"})
    messages = [ticker.snapshot(5), ticker.delta({"lastPrice": "2"}, 5), ticker.snapshot(4)]
    assert [message["ts"] for message in messages if message] == [5, 6, 7]
    assert ticker.delta({"lastPrice": "2"}, 9) is None
    assert ticker.state == {"symbol": "X", "lastPrice": "2"}


def test_the_feed_keeps_its_mean_rate_at_any_speed():
    sandbox = Sandbox(SandboxConfig(record=False))
    feed = RandomFeed(sandbox.exchange, sandbox.market, rate=1000, speed=2)

    async def ten_seconds():
        for _ in range(1000):
            await feed.step(0.01)

    asyncio.run(ten_seconds())
    traded = sum(tape.total for tape in sandbox.exchange.tapes.values())
    assert 20_000 <= traded <= 20_000 + 2200


def test_time_that_was_lost_is_not_caught_up():
    sandbox = Sandbox(SandboxConfig(record=False))
    feed = RandomFeed(sandbox.exchange, sandbox.market, rate=1000, speed=1)
    asyncio.run(feed.step(3600))
    assert sum(tape.total for tape in sandbox.exchange.tapes.values()) < 2500


def busy_account():
    return SandboxAccount(name="alice", api_key="k", api_secret="s", rate=MAX_RATE)


def a_step(what):
    """A span of time in which much falls due at once, or a long script."""
    config = SandboxConfig(record=False, rate=MAX_RATE, accounts=(busy_account(),))
    sandbox = Sandbox(config)
    steps = {
        "market": lambda: sandbox.feed.step(0.02),
        "accounts": lambda: sandbox.private_feed.step(0.005),
        "script": lambda: sandbox.desks["alice"].run(EVENTS_AT_ONCE * 3),
        "events": lambda: sandbox.desks["alice"].events(500),
    }
    return sandbox, steps[what]


@pytest.mark.parametrize("what", ["market", "accounts", "script", "events"])
def test_others_have_their_turn_however_much_falls_due(what):
    async def turns():
        _, step = a_step(what)
        working, count = asyncio.ensure_future(step()), 0
        while not working.done():
            await asyncio.sleep(0)
            count += 1
        await working
        return count

    assert asyncio.run(turns()) > 3


@pytest.mark.parametrize("what", ["market", "accounts"])
def test_a_pause_ends_what_is_still_due(what):
    def made(sandbox):
        traded = sum(tape.total for tape in sandbox.exchange.tapes.values())
        return traded, sandbox.desks["alice"].orders.total

    async def paused():
        sandbox, step = a_step(what)
        working = asyncio.ensure_future(step())
        await asyncio.sleep(0)
        sandbox.exchange.running.clear()
        before = made(sandbox)
        await working
        assert made(sandbox) == before != (0, 0)

    asyncio.run(paused())


def test_a_tape_leaves_out_what_is_no_trade_and_stays_bounded():
    tape = Tape()
    tape.record([{}, {"T": 1, "p": "x", "v": "1"}, {"T": 1, "p": None, "v": "1"}])
    assert (tape.total, tape.recent(5)) == (0, [])
    tape.record({"T": n * 60_000, "p": "1", "v": "1"} for n in range(MINUTES_KEPT + 5))
    kept = list(tape.bars(1, until_ms=0))
    assert (len(kept), kept[0][0]) == (MINUTES_KEPT, 5 * 60_000)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_its_length(length):
    header = wire.frame(b"x" * length)[:-length] if length else wire.frame(b"")
    assert header[0] == 0x81
    sizes = {2: header[1], 4: int.from_bytes(header[2:4]), 10: int.from_bytes(header[2:10])}
    assert sizes[len(header)] == length


def test_a_ledger_in_a_file_stays_and_a_temporary_one_goes(tmp_path):
    for ledger in (Ledger.at(tmp_path / "ledger.jsonl"), Ledger.temporary()):
        assert ledger.path is not None
        ledger.write("closed", connection=1, ms=2, how="client")
        assert ledger.flush() == len(ledger.path.read_bytes())
        ledger.close()
        ledger.close()
        assert ledger.path.exists() == (ledger.path.parent == tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"symbols": ("BTCUSD",)}, "'BTCUSD' is not the name of a USDT perpetual such as BTCUSDT."),
        ({"symbols": ("BTCUSDT", "BTCUSDT")}, "A symbol is named twice."),
        ({"rate": -1}, "The rate must be 0 to 100000 trades a second."),
        ({"rate": float("nan")}, "The rate must be 0 to 100000 trades a second."),
        ({"rate": 1e9}, "The rate must be 0 to 100000 trades a second."),
        ({"speed": 0}, "The speed must be more than zero, and 1000000 at most."),
        ({"speed": 1e7}, "The speed must be more than zero, and 1000000 at most."),
        ({"speed": 1e6}, "Rate times speed must be 100000 trades a second at most."),
        ({"port": 65536}, "The port must lie between 0 and 65535."),
        ({"host": "0.0.0.0"}, "The sandbox listens on loopback only, not on '0.0.0.0'."),
        ({"host": "example.com"}, "The sandbox listens on loopback only, not on 'example.com'."),
        (
            {"ledger": Path("x"), "record": False},
            "A ledger file and no ledger exclude each other.",
        ),
        ({"ledger": Path("/")}, "/ exists; a ledger begins with a new file."),
        ({"ledger": Path("/nowhere/x")}, "The folder of /nowhere/x does not exist."),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=r".+") as caught:
        SandboxConfig(**options)
    assert str(caught.value) == sentence


def test_a_ledger_with_something_in_it_is_not_overwritten(tmp_path):
    file = tmp_path / "ledger.jsonl"
    file.touch()
    SandboxConfig(ledger=file)
    file.write_text("x")
    with pytest.raises(ValueError, match="exists; a ledger begins with a new file"):
        SandboxConfig(ledger=file)


def test_a_port_that_is_taken_is_said_in_the_thread_that_asked(sandbox):
    port = int(sandbox.rest_url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"Port {port} of 127.0.0.1 cannot be opened"):
        SandboxServer(SandboxConfig(port=port)).__enter__()


def test_a_market_that_fails_ends_the_sandbox(monkeypatch):
    async def fail(feed):
        raise OSError("No space left on device")

    monkeypatch.setattr(RandomFeed, "run", fail)
    server = SandboxServer(SandboxConfig())
    with pytest.raises(OSError, match="No space left"), server:
        server.wait_for_end()


def test_the_sandbox_listens_on_ipv6_loopback_too():
    with SandboxServer(SandboxConfig(rate=0, host="::1")) as sandbox:
        assert sandbox.rest_url.startswith("http://[::1]:")


def test_a_break_has_to_be_of_a_known_kind(sandbox):
    with pytest.raises(ValueError, match="how is one of reset, close, fin"):
        sandbox.break_connections("gently")
