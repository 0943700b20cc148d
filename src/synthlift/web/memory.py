"""How much memory a process and those that it started use, and how much they may."""

from __future__ import annotations

import psutil

SHARE = 0.8
"""Of the machine's memory, where no other limit is given."""


def usual_limit() -> int:
    """In bytes."""
    return int(SHARE * psutil.virtual_memory().total)


def used_by(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(_resident(one) for one in family)


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
