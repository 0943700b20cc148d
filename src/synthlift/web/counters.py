"""Where requests of clients are counted: in this process, without a thread.

The counters that come with ``limits`` start a thread for every few requests to throw away what has
expired. Under load that takes longer than all else that a limit asks for.
"""

from __future__ import annotations

import threading
import time

from limits.storage import Storage

MOST = 10_000
"""Counters that are kept before those that have expired are thrown away."""


class Counters(Storage):
    """Counts of fixed windows, by key; see ``limits.storage.Storage``."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the storage may raise."""
        return OSError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, from 0 on where the key's window has ended; the new count."""
        now = time.time()
        with self._lock:
            count, until = self._kept.get(key, (0, 0.0))
            if until <= now:
                count, until = 0, now + expiry
                self._make_room(now)
            self._kept[key] = (count + amount, until)
        return count + amount

    def get(self, key: str) -> int:
        """The count of a window that has not ended, else 0."""
        count, until = self._kept.get(key, (0, 0.0))
        return count if until > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the window of a key ends, in seconds since the epoch."""
        return self._kept.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Whether it works."""
        return True

    def reset(self) -> int:
        """Forget everything; how many counters there were."""
        with self._lock:
            number = len(self._kept)
            self._kept.clear()
        return number

    def clear(self, key: str) -> None:
        """Forget one counter."""
        with self._lock:
            self._kept.pop(key, None)

    def _make_room(self, now: float) -> None:
        if len(self._kept) >= MOST:
            self._kept = {key: one for key, one in self._kept.items() if one[1] > now}
