"""The web process's side: starts the worker, sends requests, hands events on, and replaces it."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from synthlift.web.errors import BusyError, StuckError
from synthlift.web.memory import used_by, usual_limit

Event = dict[str, Any]
WEIGH_SECONDS = 0.5
Listener = Callable[[Event], None]
_GONE: Event = {
    "event": "failed",
    "error": {
        "given": "the process that draws and classifies ended",
        "rule": "",
        "remedy": "try again; it is started anew",
    },
}


class Inference:
    """The worker process; it is started when it is first needed, unless it was warmed up.

    Args:
        device: torch device of the worker.
        answer_seconds: after which a worker that does not answer is replaced.
        waiting: pictures that may wait to be classified.
        memory_bytes: that the worker may use; beyond it, it is replaced.
    """

    def __init__(
        self, *, device: str, answer_seconds: float, waiting: int, memory_bytes: int | None = None
    ) -> None:
        self.memory_bytes = usual_limit() if memory_bytes is None else memory_bytes
        self.device, self.answer_seconds, self.waiting = device, answer_seconds, waiting
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._listeners: dict[str, Listener] = {}
        self._pictures = 0

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._listeners)

    def warm_up(self) -> None:
        """Start the worker, so that it has loaded its libraries when it is first needed."""
        with self._lock:
            self._started()

    def classify(self, request: Mapping[str, Any]) -> Event:
        """Classify files and wait for the answer; see ``worker.Worker``.

        Raises:
            BusyError: too many pictures are waiting.
            StuckError: no answer came.
        """
        count = len(request["files"])
        with self._lock:
            if self._pictures + count > self.waiting:
                raise BusyError("too many pictures are waiting to be classified")
            self._pictures += count
        answer: queue.SimpleQueue[Event] = queue.SimpleQueue()
        try:
            self.send({"do": "classify", **request}, answer.put)
            return answer.get(timeout=self.answer_seconds)
        except queue.Empty:
            self.restart()
            raise StuckError("the pictures could not be classified in time") from None
        finally:
            with self._lock:
                self._pictures -= count

    def send(self, request: Mapping[str, Any], listener: Listener) -> str:
        """Send a request; ``listener`` hears its events, the last one done, failed or cancelled."""
        name = str(request.get("id") or secrets.token_hex(8))
        with self._lock:
            process = self._started()
            self._listeners[name] = listener
            self._write(process, {"id": name, **request})
        return name

    def cancel(self, name: str) -> None:
        """Ask a drawing to end; it hears ``cancelled`` unless it was done before."""
        with self._lock:
            if self._process is not None and name in self._listeners:
                self._write(self._process, {"do": "cancel", "of": name})

    def restart(self) -> None:
        """End the worker; whoever waits for it is told, and the next request starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    close = restart

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "synthlift.web.inference.worker", self.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                # A thread of OpenMP that waits for work must not take a core from this process.
                env={"OMP_WAIT_POLICY": "passive", **os.environ},
            )
            self._listeners = {}  # its own: those of an earlier one are told that it ended
            hearing = (self._process, self._listeners)
            threading.Thread(target=self._hear, args=hearing, daemon=True).start()
            threading.Thread(target=self._weigh, args=hearing[:1], daemon=True).start()
        return self._process

    @staticmethod
    def _write(process: subprocess.Popen[str], request: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            pass  # It died just now: the thread that hears it tells everybody.

    def _weigh(self, process: subprocess.Popen[str]) -> None:
        """End a worker that grows too large; who waits for it is told, as when it dies."""
        while process.poll() is None:
            if used_by(process.pid) > self.memory_bytes:
                process.kill()
            time.sleep(WEIGH_SECONDS)

    def _hear(self, process: subprocess.Popen[str], listeners: dict[str, Listener]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            event: Event = json.loads(line)
            last = event["event"] in ("done", "failed", "cancelled")
            with self._lock:
                take = listeners.pop if last else listeners.get
                listener = take(event["id"], None)
            if listener is not None:
                listener(event)
        process.wait()
        with self._lock:
            forsaken = list(listeners.values())
            listeners.clear()
        for listener in forsaken:
            listener(dict(_GONE))
