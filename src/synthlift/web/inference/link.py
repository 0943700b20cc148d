"""The pipes to one worker process: what is sent to it, and who hears its events.

Many threads classify at once, and whatever makes one wait for another costs more than a small model
computes. So nothing is locked while a pipe is written or read, and what several threads send at a
time is written by the one of them that came first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

Event = dict[str, Any]
Listener = Callable[[Event], None]
GONE: Event = {
    "event": "failed",
    "error": {
        "given": "the process that draws and classifies ended",
        "rule": "",
        "remedy": "try again; it is started anew",
    },
}
LAST = frozenset(("done", "failed", "cancelled"))
"""Events after which a listener hears no more."""


class Link:
    """A worker that runs until it ends or is ended; then its listeners hear that it is gone.

    Args:
        device: torch device of the worker.
    """

    def __init__(self, device: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "synthlift.web.inference.worker", device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A thread of OpenMP that waits for work must not take a core from this process.
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )
        self.gone = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._unsent: deque[bytes] = deque()
        self._listeners: dict[str, Listener] = {}
        threading.Thread(target=self._hear, daemon=True).start()

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._listeners)

    def send(self, name: str, request: Mapping[str, Any], listener: Listener) -> bool:
        """Send a request; ``listener`` hears its events. False when the worker is gone."""
        line = _line({"id": name, **request})
        with self._lock:
            if self.gone:
                return False
            self._listeners[name] = listener
        self._write(line)
        return True

    def cancel(self, name: str) -> None:
        """Ask for the end of a request, where it has not ended yet."""
        if name in self._listeners:
            self._write(_line({"do": "cancel", "of": name}))

    def end(self) -> None:
        """End the worker."""
        self.process.kill()
        self.process.wait()

    def _write(self, line: bytes) -> None:
        """Write a line, unless another thread writes just now: then that one does."""
        self._unsent.append(line)
        # Asked for again after each turn: what came while the lock was given back is not left.
        while self._unsent and self._writing.acquire(blocking=False):
            try:
                self._write_unsent()
            finally:
                self._writing.release()

    def _write_unsent(self) -> None:
        assert self.process.stdin is not None
        lines = []
        while self._unsent:
            lines.append(self._unsent.popleft())
        try:
            self.process.stdin.write(b"".join(lines))
            self.process.stdin.flush()
        except OSError:
            pass  # It died just now: the thread that hears it tells everybody.

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: Event = json.loads(line)
            take = self._listeners.pop if event["event"] in LAST else self._listeners.get
            listener = take(event["id"], None)
            if listener is not None:
                listener(event)
        with self._lock:
            self.gone = True
            forsaken = list(self._listeners.values())
            self._listeners.clear()
        self.process.wait()
        for listener in forsaken:
            listener(dict(GONE))


def _line(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request).encode() + b"\n"
