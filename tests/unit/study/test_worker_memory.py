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
