"""The buffer between socket threads and a writer."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.capture.buffer import Buffer


@pytest.fixture
def buffer() -> Buffer[str, int]:
    return Buffer(2)


def test_rows_of_a_lane_come_out_in_the_order_in_which_they_went_in(buffer):
    buffer.put("a", [1, 2])
    buffer.put("a", [3])
    assert [buffer.take(2), buffer.take(9), buffer.take(9)] == [("a", [1, 2]), ("a", [3]), None]


def test_lanes_are_served_in_turn(buffer):
    buffer.put("flood", range(100))
    buffer.put("quiet", [7])
    assert [buffer.take(10)[0] for _ in range(3)] == ["flood", "quiet", "flood"]


def test_an_empty_put_is_nothing(buffer):
    buffer.put("a", [])
    assert buffer.take(9) is None
    buffer.put("a", [1])
    buffer.put("a", [])
    assert buffer.take(9) == ("a", [1])
    assert buffer.take(9) is None


def test_past_its_capacity_it_still_takes_rows_and_says_so(buffer):
    buffer.put("a", [1, 2])
    assert not buffer.overfull
    buffer.put("b", [3])
    assert buffer.overfull
    assert len(buffer) == 3
    assert buffer.sizes() == {"a": 2, "b": 1}


def test_a_wait_ends_when_enough_rows_are_there(buffer):
    waiter = threading.Thread(target=buffer.wait, args=(3, 3600))
    waiter.start()
    for number in range(3):
        buffer.put("a", [number])
    waiter.join(30)
    assert not waiter.is_alive()


def test_a_wait_ends_when_the_oldest_row_is_old_enough(buffer):
    buffer.put("a", [1])
    buffer.wait(100, 0.01)
    assert buffer.take(9) == ("a", [1])


def test_a_wake_before_the_wait_is_not_forgotten(buffer):
    buffer.wake()
    buffer.wait(1, 3600)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 4))))
def test_nothing_is_lost_doubled_or_reordered_within_a_lane(steps):
    buffer: Buffer[str, int] = Buffer(1)
    went_in: dict[str, list[int]] = {}
    came_out: dict[str, list[int]] = {}

    def take(most: int) -> bool:
        if (taken := buffer.take(most)) is None:
            return False
        lane, rows = taken
        came_out.setdefault(lane, []).extend(rows)
        return True

    number = 0
    for lane, count, most in steps:
        rows = list(range(number, number + count))
        number += count
        buffer.put(lane, rows)
        went_in.setdefault(lane, []).extend(rows)
        if most:
            take(most)
    while take(3):
        pass
    assert {k: v for k, v in went_in.items() if v} == came_out
    assert len(buffer) == 0
