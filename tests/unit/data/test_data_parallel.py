"""Something is done with every item once, in order, however many threads take part."""

from __future__ import annotations

import threading
import time

import pytest

from synthlift.data import parallel
from synthlift.data.parallel import in_order


@pytest.fixture(params=["this thread alone", "two threads", "four threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    count = {"this thread alone": 1, "two threads": 2, "four threads": 4}[request.param]
    monkeypatch.setattr("os.cpu_count", lambda: count)
    monkeypatch.setattr(parallel, "_QUICK_SECONDS", 0.0)
    return count


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 300, 1100])
def test_items_come_in_order_and_progress_is_told(threads: int, count: int) -> None:
    told: list[tuple[int, int]] = []
    found = in_order(
        lambda x: x * x, range(count), lambda done, total, _: told.append((done, total))
    )
    assert list(found) == [x * x for x in range(count)]
    assert [done for done, _ in told] == [*range(256, count, 256), count][: len(told)]
    assert bool(told) == bool(count)


def test_slow_items_are_shared_and_each_is_done_once(threads: int) -> None:
    done: list[int] = []
    used: set[int] = set()

    def slow(item: int) -> int:
        time.sleep(0.002 * (1 + item % 3))
        done.append(item)
        used.add(threading.get_ident())
        return item

    assert list(in_order(slow, range(60), lambda *_: None)) == list(range(60))
    assert sorted(done) == list(range(60))
    assert len(used) == threads


def test_quick_items_stay_in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(parallel, "_QUICK_SECONDS", 10.0)
    used = set(in_order(lambda _: threading.get_ident(), range(3000), lambda *_: None))
    assert used == {threading.get_ident()}


def test_few_results_wait_for_who_takes_them(threads: int) -> None:
    begun: list[int] = []

    def slow(item: int) -> int:
        time.sleep(0.005)
        begun.append(item)
        return item

    for item in in_order(slow, range(40), lambda *_: None):
        assert len(begun) <= item + 1 + 2 * threads


def test_what_is_raised_ends_it(threads: int) -> None:
    def fails(item: int) -> int:
        time.sleep(0.001)
        if item == 30:
            raise ValueError("the thirtieth")
        return item

    found: list[int] = []
    with pytest.raises(ValueError, match="the thirtieth"):
        found.extend(in_order(fails, range(100), lambda *_: None))
    assert threading.active_count() < 20
