"""A sample of the campaign: kill -9 and the loss of power cost nothing that was acknowledged."""

from __future__ import annotations

from marketdata.tests.capture.disks import ForgetfulDisk
from marketdata.tests.capture.spool_campaign import (
    kill_many,
    lose_power_often,
    lose_power_once,
)


def test_what_was_acknowledged_before_kill_9_is_recovered():
    result = kill_many(8, seed=7)
    assert result.acknowledged > 100
    assert (result.kills, result.lost, result.set_aside) == (8, 0, 0)


def test_acknowledging_before_writing_is_caught():
    """The control: of so many kills one falls between the two."""
    assert any(kill_many(4, seed=seed, control=True).lost for seed in range(10))


def test_what_was_acknowledged_before_the_power_went_is_recovered():
    result = lose_power_often(150, seed=7)
    assert result.acknowledged > 500
    assert result.torn > 0
    assert result.lost == 0


def test_a_disk_that_does_not_sync_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(ForgetfulDisk, "sync", lambda self, file: None)
    lost = 0
    for seed in range(10):
        (tmp_path / str(seed)).mkdir()
        lost += lose_power_once(tmp_path / str(seed), seed).lost
    assert lost
