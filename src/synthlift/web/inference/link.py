"""The pipes to one worker process: what is sent to it, and who hears its events.

Many threads classify at once, and whatever makes one wait for another costs more than a small model
computes. So nothing is locked while a pipe is written or read, and what several threads send at a
time is written by the one of them that came first.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from synthlift.web.inference.decoding import READ, READING

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
UNHEARD: Event = {
    "event": "failed",
    "error": {
        "given": "what was computed could not be kept",
        "rule": "",
        "remedy": "try again; the terminal of the server says more",
    },
}
LAST = frozenset(("done", "failed", "cancelled"))
"""Events after which a listener hears no more."""
_LOG = logging.getLogger("synthlift.web")


class Link:
    """A worker that runs until it ends or is ended; then its listeners hear that it is gone.

    Args:
        device: torch device of the worker.
        memory_bytes: that it and its like may use together.
    """

    def __init__(self, device: str, *, memory_bytes: int) -> None:
        module = "synthlift.web.inference.worker"
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, device, str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A thread of OpenMP that waits for work must not take a core from this process.
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )
        self.gone = False
        self.used = time.monotonic()
        self._reading: tuple[str, float] | None = None
        self._farewell = GONE
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
            self.used = time.monotonic()
        self._write(line)
        return True

    def cancel(self, name: str) -> None:
        """Ask for the end of a request, where it has not ended yet."""
        if name in self._listeners:
            self._write(_line({"do": "cancel", "of": name}))

    def retire(self, *, unused_since: float) -> bool:
        """Take nothing on any more, if nothing was asked since then and nobody waits."""
        with self._lock:
            if self._listeners or self.used > unused_since:
                return False
            self.gone = True
        return True

    def end_reading(self, *, seconds: float) -> bool:
        """End a worker that has read one picture for so long; who sent it is told why."""
        reading = self._reading
        if reading is None or time.monotonic() - reading[1] < seconds:
            return False
        with self._lock:
            self.gone = True
            listener = self._listeners.pop(reading[0], None)
        self.end()
        if listener is not None:
            _tell(listener, _unread(seconds))
        return True

    def end_with(self, farewell: Event) -> None:
        """End the worker; who waits for it is told this."""
        self._farewell = farewell
        self.end()

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
        """Hand events on until there are no more; whatever happens, nobody waits for ever."""
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                self._hand_on(line)
        except (OSError, ValueError):  # the pipe broke
            _LOG.exception("the process that draws and classifies is heard no more")
        finally:
            with self._lock:
                self.gone = True
                forsaken = list(self._listeners.values())
                self._listeners.clear()
            self.end()
            for listener in forsaken:
                _tell(listener, dict(self._farewell))

    def _hand_on(self, line: bytes) -> None:
        try:
            event: Event = json.loads(line)
            name, kind = event["id"], event["event"]
        except (ValueError, KeyError, TypeError):  # a line that was cut when the process died
            return
        if kind in (READING, READ):
            self._reading = (name, time.monotonic()) if kind == READING else None
            return
        take = self._listeners.pop if kind in LAST else self._listeners.get
        listener = take(name, None)
        self.used = time.monotonic()
        if listener is None or _tell(listener, event):
            return
        # It cannot take note of what is computed for it, as on a full disk.
        if self._listeners.pop(name, None) is not None:
            self._write(_line({"do": "cancel", "of": name}))
        _tell(listener, dict(UNHEARD))


def _tell(listener: Listener, event: Event) -> bool:
    """Tell of an event; False when the listener fails."""
    try:
        listener(event)
    except Exception:
        _LOG.exception("an answer of the process that draws and classifies is lost")
        return False
    return True


def _unread(seconds: float) -> Event:
    """What somebody hears whose picture keeps the worker busy."""
    error = {
        "given": "a picture could not be read in time",
        "rule": f"a picture is read within {seconds:g} seconds",
        "remedy": "give another one, or save it again from an image program as PNG or plain JPEG",
    }
    return {"event": "failed", "error": error}


def _line(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request).encode() + b"\n"
