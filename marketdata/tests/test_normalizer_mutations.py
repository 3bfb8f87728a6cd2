"""A small campaign of damaged frames, and proof that a campaign finds a bad normaliser."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import orjson
import pytest

from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.tests.mutations import Campaign, PrivateCampaign, main, read_number


@pytest.mark.parametrize("loads", [orjson.loads, json.loads])
@pytest.mark.parametrize("digits", [15, 30])
def test_damaged_frames_lose_nothing_and_nothing_false_is_accepted(digits, loads):
    tally = Campaign(seed=digits, digits=digits, loads=loads).run(500)
    assert tally.faults == []
    assert tally.sound, tally.report()
    assert tally.accepted > 1000
    assert tally.rejected.total() > 100


@pytest.mark.parametrize("loads", [orjson.loads, json.loads])
@pytest.mark.parametrize("digits", [15, 30])
def test_damaged_private_frames_lose_nothing_and_nothing_false_is_accepted(digits, loads):
    tally = PrivateCampaign(seed=digits, digits=digits, loads=loads).run(700)
    assert tally.faults == []
    assert tally.sound, tally.report()
    assert tally.accepted > 1000
    assert tally.rejected.total() > 100
    assert tally.ignored > 10


def test_the_command_says_what_came_of_it(capsys):
    assert main(["--frames", "300", "--seed", "3"]) == 0
    assert main(["--private", "--frames", "300", "--seed", "3"]) == 0
    assert capsys.readouterr().out.count("unaccounted for           0") == 2


class Loses(BybitNormalizer):
    """Drops the last trade of every frame."""

    def trade_records(self, message, received_at):
        parsed = super().trade_records(message, received_at)
        return parsed._replace(records=parsed.records[:-1])


class Rounds(BybitNormalizer):
    """Goes through float."""

    def trade_records(self, message, received_at):
        parsed = super().trade_records(message, received_at)
        records = [r._replace(price=Decimal(float(r.price))) for r in parsed.records]
        return parsed._replace(records=records)


class Converts(BybitNormalizer):
    """Takes anything for a bool."""

    def trade_records(self, message, received_at):
        rows = message.get("data") if isinstance(message, dict) else None
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and "BT" in row:
                row["BT"] = bool(row["BT"])
        return super().trade_records(message, received_at)


class Remembers(BybitNormalizer):
    """Never forgets a ticker's field."""

    def ticker_record(self, message, received_at):
        if isinstance(message, dict) and message.get("type") == "snapshot":
            message["type"] = "delta"
        return super().ticker_record(message, received_at)


class Crashes(BybitNormalizer):
    """Fails over what it does not expect."""

    def trade_records(self, message, received_at):
        return super().trade_records(message, received_at) if message["data"] else 1 / 0


@pytest.mark.parametrize("kind", [Loses, Rounds, Converts, Remembers, Crashes])
def test_a_campaign_finds_a_normaliser_that_is_wrong(kind):
    tally = Campaign(seed=1, normalizer=kind()).run(500)
    assert not tally.sound
    assert tally.faults


class LosesFills(BybitNormalizer):
    """Takes no pnl for a pnl of zero."""

    def execution_records(self, message, received_at):
        parsed = super().execution_records(message, received_at)
        records = [r._replace(exec_pnl=r.exec_pnl or Decimal(0)) for r in parsed.records]
        return parsed._replace(records=records)


class LosesSiblings(BybitNormalizer):
    """Gives up a wallet for one coin."""

    def wallet_records(self, message, received_at):
        parsed = super().wallet_records(message, received_at)
        return parsed._replace(records=[]) if parsed.rejects else parsed


class TimesDigests(BybitNormalizer):
    """Hashes the time as well."""

    def position_records(self, message, received_at):
        parsed = super().position_records(message, received_at)
        records = [r._replace(digest=f"{r.local_ts:%f}".zfill(32)) for r in parsed.records]
        return parsed._replace(records=records)


class KeepsAll(BybitNormalizer):
    """Takes every category for ours."""

    def order_records(self, message, received_at):
        rows = message.get("data") if isinstance(message, dict) else None
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and row.get("category") in ("spot", "option"):
                row["category"] = "linear"
        return super().order_records(message, received_at)


class TellsLess(BybitNormalizer):
    """Forgets an event."""

    def normalize_order(self, message, *, received_at=None):
        return super().normalize_order(message, received_at=received_at)[1:]


@pytest.mark.parametrize("kind", [LosesFills, LosesSiblings, TimesDigests, KeepsAll, TellsLess])
def test_a_private_campaign_finds_a_normaliser_that_is_wrong(kind):
    tally = PrivateCampaign(seed=1, normalizer=kind()).run(500)
    assert not tally.sound
    assert tally.faults


def test_the_oracle_reads_what_decimal_reads():
    rng = random.Random(5)
    for _ in range(500):
        text = f"{rng.randrange(10 ** rng.randrange(1, 12))}.{rng.randrange(10**6)}"
        assert read_number(text) == Decimal(text)
