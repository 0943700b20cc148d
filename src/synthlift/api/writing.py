"""Files that are written on a thread of their own, while what comes next is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

AHEAD = 64
"""Writes that may wait; whoever is further ahead waits for the first of them."""


class InOrder:
    """Does what it is given one after the other; on leaving, all of it is done.

    Whatever is there is therefore whole, and nothing is there whose predecessor is not. An error
    is raised where the next thing is given, or on leaving.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writing")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def do(self, write: Callable[[], None]) -> None:
        """Have it done soon.

        Raises:
            Exception: what an earlier one raised; nothing is done after it.
        """
        while self._waiting and (len(self._waiting) >= AHEAD or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._do, write))

    def _do(self, write: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            write()
        except BaseException:
            self._failed = True
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        if error is None:
            for one in self._waiting:
                one.result()
