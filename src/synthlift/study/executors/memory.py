"""Memory that a worker process has freed is kept for its next allocation.

glibc hands freed blocks back to the system as soon as some tens of MiB lie free together, which
every step of a training frees: its activations are then fetched again, page by page, in the next
one. A page fault costs more than what is computed with the page.

And the objects of imported modules, which stay for good, need no garbage collector to look at them:
with torch imported, one full collection takes about as long as decoding a thousand small images.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
KEPT_BYTES = 2**30
"""Free memory at the end of the heap above this goes back to the system."""
LARGEST_BLOCK = 2**25
"""Larger blocks are given back when they are freed; glibc accepts no larger limit."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; changes no result, and no peak of memory by much.

    Returns:
        Whether the C library could be told so; only glibc can.
    """
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        # Setting either ends the limits' own growth, so both are set.
        return bool(
            mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        )
    return False


@cache
def spare_imported_modules() -> None:
    """Exempt what is alive now from garbage collection; to be called after the imports, once.

    Later calls do nothing: what a stage leaves behind must not be exempt.
    """
    gc.collect()
    gc.freeze()
