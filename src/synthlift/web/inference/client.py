"""The web process's side: starts the worker, sends requests, hands events on, and replaces it."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from synthlift.web.errors import StuckError
from synthlift.web.inference.link import Event, Link, Listener
from synthlift.web.memory import SharedLimit
from synthlift.web.queues import require_place

LOOK_SECONDS = 0.5
"""Between two looks at what the worker uses and reads, and whether it is still needed."""
DECODE_SECONDS = 30.0
"""In which a picture is read: large JPEG 2000 files take seconds, what is made to be slow hours."""


class Inference:
    """The worker process; it is started when it is first needed, unless it was warmed up.

    Args:
        device: torch device of the worker.
        answer_seconds: after which a worker that does not answer is replaced.
        waiting: pictures that may wait to be classified.
        decode_seconds: after which a worker that still reads the same picture is replaced.
        memory: that the worker may use, alone or with others; beyond it, the largest is ended.
        unused_seconds: after which a worker that nobody asks anything is ended, with all that it
            keeps loaded; None = never.
    """

    def __init__(
        self,
        *,
        device: str,
        answer_seconds: float,
        waiting: int,
        decode_seconds: float = DECODE_SECONDS,
        memory: SharedLimit | None = None,
        unused_seconds: float | None = None,
    ) -> None:
        self.memory = memory or SharedLimit()
        self.device, self.answer_seconds, self.waiting = device, answer_seconds, waiting
        self.decode_seconds, self.unused_seconds = decode_seconds, unused_seconds
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._numbers = itertools.count()
        self._pictures = Counter[str]()

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return self._link is not None and self._link.waits

    def warm_up(self) -> None:
        """Start the worker, so that it has loaded its libraries when it is first needed."""
        self._started()

    def classify(self, request: Mapping[str, Any], *, client: str = "") -> Event:
        """Classify files and wait for the answer; see ``worker.Worker``.

        Args:
            request: for the worker.
            client: who asks.

        Raises:
            BusyError: too many pictures are waiting.
            StuckError: no answer came.
        """
        count = len(request["files"])
        with self._lock:
            require_place(
                "pictures to classify",
                taken=self._pictures.total(),
                own=self._pictures[client],
                most=self.waiting,
                count=count,
            )
            self._pictures[client] += count
        answer: queue.SimpleQueue[Event] = queue.SimpleQueue()
        try:
            self.send({"do": "classify", **request}, answer.put)
            return answer.get(timeout=self.answer_seconds)
        except queue.Empty:
            self.restart()
            raise StuckError("the pictures could not be classified in time") from None
        finally:
            with self._lock:
                self._pictures[client] -= count
                if not self._pictures[client]:
                    del self._pictures[client]

    def send(self, request: Mapping[str, Any], listener: Listener) -> str:
        """Send a request; ``listener`` hears its events, the last one done, failed or cancelled."""
        name = str(request.get("id") or next(self._numbers))
        while not self._started().send(name, request, listener):
            pass
        return name

    def cancel(self, name: str) -> None:
        """Ask a drawing to end; it hears ``cancelled`` unless it was done before."""
        link = self._link
        if link is not None:
            link.cancel(name)

    def restart(self) -> None:
        """End the worker; whoever waits for it is told, and the next request starts another."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.end()

    close = restart

    def _started(self) -> Link:
        """The worker that runs, or another in place of one that has ended."""
        link = self._link
        if link is not None and not link.gone:
            return link
        with self._lock:
            if self._link is None or self._link.gone:
                self._link = Link(self.device, memory_bytes=self.memory.limit_bytes)
                watch = threading.Thread(target=self._watch, args=(self._link,), daemon=True)
                watch.start()
            return self._link

    def _watch(self, link: Link) -> None:
        """End a worker that grows too large, reads one picture too long, or is needed no more."""
        pid = link.process.pid
        self.memory.join(pid)
        try:
            while not link.gone:
                if self.memory.must_end(pid):
                    link.end_with(_too_large(self.memory.limit_bytes))
                link.end_reading(seconds=self.decode_seconds)
                if self.unused_seconds is not None:
                    link.retire(unused_since=time.monotonic() - self.unused_seconds)
                time.sleep(LOOK_SECONDS)
        finally:
            link.end()
            self.memory.leave(pid)


def _too_large(limit: int) -> Event:
    """What those hear whose worker needed too much memory; it may have been for another."""
    allowed = f"this server allows ({limit / 1024**3:.1f} GiB)"
    error = {
        "given": f"drawing and classifying needed more memory than {allowed}",
        "rule": "",
        "remedy": "try again: it is started anew; ask for less at once if it happens again",
    }
    return {"event": "failed", "error": error}
