"""What this machine, or the container that this process runs in, has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_bytes(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Bytes of memory that may be used: a container's limit where that is below the machine's.

    Args:
        groups: where the kernel shows control groups (cgroups, version 1 or 2).
        own: names those of this process.
    """
    limits = [one.limit for one in _groups(groups, own)]
    return min([psutil.virtual_memory().total, *limits])


def free_bytes(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Bytes of memory that are free, or held only by files that can be read again.

    Args:
        groups, own: as :func:`memory_bytes` takes them.
    """
    left = [one.limit - one.used for one in _groups(groups, own)]
    return max(0, min([psutil.virtual_memory().available, *left]))


@dataclass(frozen=True)
class _Group:
    """A control group with a limit: this limit, and what counts against it, in bytes."""

    limit: int
    used: int


def _groups(groups: Path, own: Path) -> Iterator[_Group]:
    """The process's own, and all that this one lies in."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = groups / "memory" if kinds else groups
        place = root / name.lstrip("/")
        # Within a container, the name may be the machine's, and its own group the root.
        for folder in (place, *place.parents):
            yield from _read(folder, *(VERSION_1 if kinds else VERSION_2))
            if folder == root:
                break


VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def _read(folder: Path, limit: str, usage: str, idle: str) -> Iterator[_Group]:
    most = _number(folder / limit)
    if most is not None:
        used = _number(folder / usage) or 0
        yield _Group(most, used - _idle(folder / "memory.stat", idle))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _idle(file: Path, name: str) -> int:
    """Bytes of files that are kept in memory, and can be let go of."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(one.split()[1]) for one in lines if one.startswith(f"{name} "))
