"""Tasks are done once each, at their time, and never twice at once."""

from __future__ import annotations

from marketdata.capture.tasks import TaskQueue


def queue_of(*tasks: int) -> TaskQueue[int]:
    queue: TaskQueue[int] = TaskQueue(rank=lambda task: task % 2)
    for task in tasks:
        queue.put(task)
    return queue


def test_who_ranks_first_goes_first_and_then_who_was_there_first():
    queue = queue_of(5, 3, 4, 2)
    assert [queue.take() for _ in range(4)] == [4, 2, 5, 3]


def test_a_task_that_waits_already_is_done_once():
    queue = queue_of(2, 2)
    assert queue.take() == 2
    queue.close()
    assert queue.take() is None


def test_a_task_that_is_being_done_is_done_again_afterwards():
    queue = queue_of(2)
    assert queue.take() == 2
    queue.put(2)
    queue.put(1)
    assert queue.take() == 1
    queue.done(2)
    assert queue.take() == 2


def test_a_delayed_task_waits_and_may_be_hurried():
    queue = queue_of(1)
    queue.put(2, delay=3600)
    assert queue.take() == 1
    queue.put(2)
    assert queue.take() == 2


def test_what_was_to_be_done_soon_is_not_put_off():
    queue = queue_of(2)
    queue.put(2, delay=3600)
    assert queue.take() == 2
