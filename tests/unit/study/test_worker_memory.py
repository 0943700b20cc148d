"""Workers keep the memory that they free: the next step fetches no page again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from synthlift.study.executors.memory import keep_freed_memory

def step():
    # Below 4 MiB NumPy asks for no huge pages.
    blocks = [np.empty(3 * 2**20, np.uint8) for _ in range(80)]
    for block in blocks:
        block[::4096] = 1

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_step_that_repeats_fetches_no_page_again() -> None:
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", PROGRAM, how], text=True))
        for how in ("kept", "given back")
    }
    pages_of_a_step = 80 * 3 * 2**20 // 4096
    assert faults["given back"] > pages_of_a_step  # else the test would show nothing
    assert faults["kept"] < pages_of_a_step / 20


def test_only_what_is_alive_at_the_first_call_is_spared_from_collection() -> None:
    program = """
import gc
from synthlift.study.executors.memory import spare_imported_modules
spare_imported_modules()
first = gc.get_freeze_count()
kept = [[] for _ in range(10_000)]
spare_imported_modules()
print(first, gc.get_freeze_count())
"""
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    first, second = map(int, told.split())
    assert first > 5000
    assert second <= first
