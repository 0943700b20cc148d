"""Writing on a thread of its own: in order, all of it, and not past a failure."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from synthlift.api.writing import AHEAD, InOrder


def test_everything_is_done_in_order_while_work_goes_on() -> None:
    done: list[int] = []
    free = threading.Event()

    def write(number: int) -> None:
        assert free.wait(5)
        done.append(number)

    with InOrder() as writing:
        for number in range(AHEAD - 1):
            writing.do(partial(write, number))
        assert not done, "nobody waited for the first"
        free.set()
    assert done == list(range(AHEAD - 1))


def test_whoever_is_far_ahead_waits() -> None:
    with InOrder() as writing:
        began = time.perf_counter()
        for _ in range(AHEAD + 10):
            writing.do(partial(time.sleep, 0.01))
        assert time.perf_counter() - began > 0.05


def test_an_error_is_raised_and_nothing_is_done_after_it() -> None:
    done: list[int] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    def write() -> None:
        with InOrder() as writing:
            for one in (partial(done.append, 0), full, partial(done.append, 1)):
                writing.do(one)

    with pytest.raises(OSError, match="No space left"):
        write()
    assert done == [0]


def test_the_error_of_the_work_itself_goes_first() -> None:
    done: list[int] = []

    def interrupted() -> None:
        with InOrder() as writing:
            writing.do(partial(done.append, 0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0], "what was given is written"
