"""Doing something with every image, in threads where that pays, and in order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_BLOCK, _TOLD = 1024, 256
_TRIED = 8
_QUICK_SECONDS = 60e-6
_TASK_SECONDS, _LARGEST_TASK = 4e-3, 32
_MOST_THREADS = 4


def in_order(
    function: Callable[[A], B], items: Sequence[A], progress: Callable[[int, int, str], None]
) -> Iterator[B]:
    """Map in threads (decoders and hashing release the interpreter's lock), yielding in order.

    Where items are quick, this thread does them alone: for small images the interpreter's lock is
    what there is to wait for, and handing it over costs more. A few results wait at most.

    Args:
        function: called once for each item, from any thread.
        items: of any number.
        progress: called as ``progress(done, total, "images")``.
    """
    total = len(items)
    with _Helpers(min(_MOST_THREADS, os.cpu_count() or 1) - 1) as helpers:
        done = 0
        for start in range(0, total, _BLOCK):
            for result in _block(function, items[start : start + _BLOCK], helpers):
                yield result
                done += 1
                if done % _TOLD == 0 or done == total:
                    progress(done, total, "images")


def _block(function: Callable[[A], B], items: Sequence[A], helpers: _Helpers) -> Iterator[B]:
    least = float("inf")
    for item in items[:_TRIED]:
        began = time.perf_counter()
        result = function(item)
        # The least, since other programs make the rest longer.
        least = min(least, time.perf_counter() - began)
        yield result
    rest = items[_TRIED:]
    if least < _QUICK_SECONDS or not helpers.count:
        yield from map(function, rest)
        return
    size = max(1, min(_LARGEST_TASK, round(_TASK_SECONDS / least)))
    tasks = [rest[start : start + size] for start in range(0, len(rest), size)]
    for found in helpers.share(lambda task: [function(item) for item in task], tasks):
        yield from found


class _Helpers:
    """Threads that work on tasks beside this one."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(max(1, count), thread_name_prefix="images")

    def __enter__(self) -> _Helpers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def share(self, function: Callable[[A], B], tasks: Sequence[A]) -> Iterator[B]:
        """Results in order; twice as many wait as there are threads, this one included."""
        ahead: deque[tuple[A, Future[B]]] = deque()
        most = 2 * (self.count + 1)
        for task in tasks:
            ahead.append((task, self._pool.submit(function, task)))
            if len(ahead) == most:
                yield _oldest(function, ahead)
        while ahead:
            yield _oldest(function, ahead)


def _oldest(function: Callable[[A], B], ahead: deque[tuple[A, Future[B]]]) -> B:
    """The oldest task's result; until it is there, this thread does what nobody has begun."""
    for place, (task, future) in enumerate(ahead):
        if ahead[0][1].done():
            break
        if future.cancel():
            done: Future[B] = Future()
            done.set_result(function(task))
            ahead[place] = (task, done)
    return ahead.popleft()[1].result()
