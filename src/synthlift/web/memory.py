"""How much memory a process and those that it started use, and how much they may."""

from __future__ import annotations

import psutil

from synthlift.machine import memory_bytes

SHARE = 0.8
"""Of the machine's or container's memory, where no other limit is given."""


def usual_limit() -> int:
    """In bytes."""
    return int(SHARE * memory_bytes())


def used_by(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_resident(one) for one in family)


class SharedLimit:
    """What several processes may use together, each with those that it started.

    Args:
        limit_bytes: in all; None = the usual limit.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self.limit_bytes = usual_limit() if limit_bytes is None else limit_bytes
        self._pids: set[int] = set()

    def join(self, pid: int) -> None:
        """Count a process from now on."""
        self._pids.add(pid)

    def leave(self, pid: int) -> None:
        """Count it no more."""
        self._pids.discard(pid)

    def must_end(self, pid: int) -> bool:
        """Whether all use too much together, and this one the most."""
        used = {one: used_by(one) for one in tuple(self._pids)}
        return sum(used.values()) > self.limit_bytes and pid == max(
            used, key=lambda one: (used[one], one)
        )


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def kill_family(pid: int) -> None:
    """End a process and its descendants at once."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in family:
        try:
            one.kill()
        except psutil.Error:
            continue
