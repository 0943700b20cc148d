"""Requests are counted by window and key, and counters do not pile up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from limits import parse
from limits.strategies import FixedWindowRateLimiter

from synthlift.web import counters
from synthlift.web.counters import Counters


def test_a_limit_holds_for_each_client_until_its_window_ends() -> None:
    limiter, limit = FixedWindowRateLimiter(Counters()), parse("3 per 1 second")
    until = limiter.get_window_stats(limit, "a").reset_time
    assert [limiter.hit(limit, "a") for _ in range(4)] == [True, True, True, False]
    assert limiter.hit(limit, "b")
    stats = limiter.get_window_stats(limit, "a")
    assert stats.remaining == 0
    assert until <= stats.reset_time <= time.time() + 1
    time.sleep(1.05)
    assert limiter.get_window_stats(limit, "a").remaining == 3
    assert limiter.hit(limit, "a")


def test_threads_are_counted_together_and_none_is_started() -> None:
    store, before = Counters(), threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: store.incr("key", 60), range(400)))
    assert sorted(counts) == list(range(1, 401))
    assert threading.active_count() == before


def test_what_has_expired_makes_room() -> None:
    store = Counters()
    for number in range(counters.MOST):
        store.incr(f"old {number}", -1)
    store.incr("new", 60)
    assert store.reset() == 1
