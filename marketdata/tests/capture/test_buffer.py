"""The buffer between socket threads and a writer."""

from __future__ import annotations

import threading

from marketdata.capture.buffer import Buffer


def test_rows_come_out_in_the_order_in_which_they_went_in():
    buffer: Buffer[int] = Buffer(10)
    buffer.put([1, 2])
    buffer.put([3])
    assert (buffer.take(2), buffer.take(9), buffer.take(9)) == ([1, 2], [3], [])


def test_past_its_capacity_it_still_takes_rows_and_says_so():
    buffer: Buffer[int] = Buffer(2)
    buffer.put([1, 2])
    assert not buffer.overfull
    buffer.put([3])
    assert buffer.overfull
    assert len(buffer) == 3


def test_a_wait_ends_when_enough_rows_are_there():
    buffer: Buffer[int] = Buffer(10)
    waiter = threading.Thread(target=buffer.wait, args=(3, 3600))
    waiter.start()
    for number in range(3):
        buffer.put([number])
    waiter.join(30)
    assert not waiter.is_alive()


def test_a_wait_ends_when_the_oldest_row_is_old_enough():
    buffer: Buffer[int] = Buffer(10)
    buffer.put([1])
    buffer.wait(100, 0.01)
    assert buffer.take(9) == [1]


def test_a_wake_before_the_wait_is_not_forgotten():
    buffer: Buffer[int] = Buffer(10)
    buffer.wake()
    buffer.wait(1, 3600)
