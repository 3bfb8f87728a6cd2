"""The sliding window: never more than the rate, and free at the very moment it says."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.bybit import rate_limiter
from marketdata.bybit.rate_limiter import RateLimiter


class Clock:
    """Time that passes when told."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(clock):
    return RateLimiter(order_rate=2, query_rate=3, clock=clock, sleep=clock.sleep)


# Steps of 1/1024 s are exact in binary: no rounding hides an error of a request too early.
steps = st.lists(st.integers(0, 700).map(lambda n: n / 1024), min_size=1, max_size=200)


@given(steps, st.integers(1, 7), st.sampled_from([0.25, 1.0, 1.5]))
def test_no_window_ever_holds_more_than_the_rate(pauses, rate, window):
    clock = Clock()
    limiter = RateLimiter(query_rate=rate, window_seconds=window, clock=clock)
    sent = []
    for pause in pauses:
        clock.now += pause
        if limiter.try_acquire():
            sent.append(clock.now)
    assert all(late - early >= window for early, late in zip(sent, sent[rate:], strict=False))


@given(steps, st.integers(1, 7))
def test_the_wait_ends_exactly_when_a_request_may_be_sent(pauses, rate):
    clock = Clock()
    limiter = RateLimiter(query_rate=rate, clock=clock)
    for pause in pauses:
        clock.now += pause
        wait = limiter.wait_time()
        assert limiter.can_request() is (wait == 0)
        if wait:
            clock.now += wait - 1 / 1024
            assert not limiter.can_request()
            clock.now += 1 / 1024
        assert limiter.can_request()
        limiter.record_request()


@given(st.lists(st.floats(0, 2, allow_subnormal=False), min_size=1), st.floats(0, 1e6))
def test_a_caller_who_waits_as_told_is_let_through_whatever_the_rounding(pauses, start):
    clock = Clock(start)
    limiter = RateLimiter(query_rate=1, window_seconds=0.1, clock=clock)
    for pause in pauses:
        clock.now += pause
        clock.now += limiter.wait_time()
        assert limiter.try_acquire()


def test_orders_and_queries_are_counted_apart(limiter):
    assert [limiter.try_acquire("order") for _ in range(3)] == [True, True, False]
    assert [limiter.try_acquire("query") for _ in range(4)] == [True, True, True, False]


def test_asking_does_not_count(limiter):
    assert all(limiter.can_request("order") for _ in range(10))
    assert limiter.wait_time("order") == 0


def test_requests_that_were_sent_without_leave_count_too(limiter, clock):
    for _ in range(5):
        limiter.record_request("query")
    clock.now += 1.0
    assert limiter.can_request("query")


def test_a_request_leaves_the_window_as_it_turns_one_window_old(limiter, clock):
    limiter.record_request("order")
    clock.now += 0.5
    limiter.record_request("order")
    assert limiter.wait_time("order") == 0.5
    clock.now += 0.5
    assert limiter.try_acquire("order")
    assert limiter.wait_time("order") == 0.5


def test_acquire_waits_for_its_turn(limiter, clock):
    for _ in range(4):
        assert limiter.acquire("query")
    assert clock.now == 1001.0


def test_acquire_gives_up_at_once_when_the_wait_is_too_long(limiter, clock):
    for _ in range(3):
        limiter.record_request("query")
    assert not limiter.acquire("query", timeout=0.5)
    assert clock.now == 1000.0
    assert limiter.acquire("query", timeout=1.0)


@pytest.mark.parametrize(
    "method", ["can_request", "record_request", "wait_time", "try_acquire", "acquire",
               "record_rate_limit_hit", "record_success"],
)  # fmt: skip
def test_an_unknown_kind_is_an_error(limiter, method):
    with pytest.raises(ValueError, match="Unknown kind of request 'orders'; it is order or query"):
        getattr(limiter, method)("orders")


@pytest.mark.parametrize(
    "options",
    [{"order_rate": 0}, {"query_rate": -1}, {"window_seconds": 0}, {"window_seconds": -1.0},
     {"window_seconds": float("nan")}, {"window_seconds": float("inf")}],
)  # fmt: skip
def test_a_limit_that_limits_nothing_is_an_error(options):
    with pytest.raises(ValueError, match="must be"):
        RateLimiter(**options)


def test_a_hit_pauses_for_as_long_as_the_exchange_says(limiter, clock):
    limiter.record_rate_limit_hit("query", retry_after=7.5)
    assert limiter.wait_time("query") == 7.5
    assert limiter.wait_time("order") == 0
    clock.now += 7.5
    assert limiter.can_request("query")


def test_a_hit_without_a_kind_pauses_everything(limiter):
    limiter.record_rate_limit_hit(retry_after=600.0)
    assert limiter.wait_time("query") == limiter.wait_time("order") == 600


def test_a_shorter_pause_does_not_end_a_longer_one(limiter):
    limiter.record_rate_limit_hit("query", retry_after=600.0)
    limiter.record_rate_limit_hit("query", retry_after=1.0)
    assert limiter.wait_time("query") == 600


def hits(limiter, clock, count, **options):
    """The pauses of hits that follow each other as soon as they may."""
    pauses = []
    for _ in range(count):
        limiter.record_rate_limit_hit("query", **options)
        pauses.append(limiter.wait_time("query"))
        clock.now += pauses[-1]
    return pauses


def test_further_hits_pause_twice_as_long_up_to_a_minute(limiter, clock):
    assert hits(limiter, clock, 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert hits(limiter, clock, 2000)[-1] == 60


def test_further_hits_back_off_although_the_exchange_promises_less(limiter, clock):
    assert hits(limiter, clock, 3, retry_after=0.25) == [0.25, 2, 4]


def test_a_success_starts_the_back_off_over(limiter, clock):
    hits(limiter, clock, 4)
    limiter.record_success("query")
    assert hits(limiter, clock, 1) == [1]


def test_a_success_during_the_pause_was_sent_before_it(limiter, clock):
    limiter.record_rate_limit_hit("query")
    limiter.record_success("query")
    assert limiter.wait_time("query") == 1
    clock.now += 1
    assert hits(limiter, clock, 1) == [2]


def test_a_quiet_time_starts_the_back_off_over(limiter, clock):
    hits(limiter, clock, 3)
    clock.now += 4.5
    assert hits(limiter, clock, 1) == [1]


def test_no_pause_is_longer_than_an_hour(limiter):
    limiter.record_rate_limit_hit("query", retry_after=float("inf"))
    assert limiter.wait_time("query") == 3600


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_pause_that_is_none_is_an_error(limiter, seconds):
    with pytest.raises(ValueError, match="retry_after"):
        limiter.record_rate_limit_hit("query", retry_after=seconds)


def test_threads_together_never_exceed_the_rate():
    limiter = RateLimiter(query_rate=50, window_seconds=3600)
    granted: Counter[int] = Counter()
    start = threading.Barrier(8)

    def hammer(name):
        start.wait()
        granted[name] = sum(limiter.try_acquire() for _ in range(500))

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted.total() == 50


def test_threads_that_wait_are_all_served_within_the_rate():
    limiter = RateLimiter(query_rate=10, window_seconds=0.02)
    start = time.monotonic()

    def ask():
        for _ in range(10):
            limiter.acquire()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start >= 0.06


def test_a_key_has_one_limiter():
    assert RateLimiter.for_key("one") is RateLimiter.for_key("one")
    assert RateLimiter.for_key("one") is not RateLimiter.for_key("two")


def test_a_limiter_outlives_the_client_that_used_it():
    RateLimiter.for_key("short-lived").record_rate_limit_hit(retry_after=60)
    assert RateLimiter.for_key("short-lived").wait_time() > 50


def test_the_registry_is_bounded_and_never_splits_a_limiter_in_use(monkeypatch):
    monkeypatch.setattr(rate_limiter, "KEPT_KEYS", 4)
    mine = RateLimiter.for_key("mine")
    for number in range(300):
        RateLimiter.for_key(f"other {number}")
    assert len(RateLimiter._recent) == 4
    assert RateLimiter.for_key("mine") is mine


def test_the_key_is_nowhere_to_be_read():
    limiter = RateLimiter.for_key("canary")
    seen = f"{limiter!r} {vars(limiter)} {dict(RateLimiter._by_key)} {RateLimiter._recent}"
    assert "canary" not in seen
