"""What this machine, or the container that this process runs in, has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_bytes(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Bytes of memory that may be used: a container's limit where that is below the machine's.

    Args:
        groups: where the kernel shows control groups (cgroups, version 1 or 2).
        own: names those of this process.
    """
    return min([psutil.virtual_memory().total, *_limits(groups, own)])


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """Those of the process's own group, and of all that this one lies in."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = groups / "memory" if kinds else groups
        file = "memory.limit_in_bytes" if kinds else "memory.max"
        place = root / name.lstrip("/")
        # Within a container, the name may be the machine's, and its own group the root.
        for folder in (place, *place.parents):
            yield from _limit(folder / file)
            if folder == root:
                break


def _limit(file: Path) -> Iterator[int]:
    try:
        yield int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return
