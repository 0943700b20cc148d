"""A full disk: a clear error, nothing lost, resumable."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from synthlift.errors import DiskFullError
from synthlift.store import Store
from synthlift.store.store import MINIMUM_FREE_BYTES
from tests.unit.store.stages import request


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while stream.write(bytes(1024**2)) == 1024**2:
            pass


def test_a_disk_that_fills_up_during_a_stage_loses_nothing(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    done = request(a=1, b=2)
    store.compute(done)
    wanted = request("filling", mebibytes=120)
    with pytest.raises(DiskFullError, match="Nothing finished is lost: free space") as caught:
        store.compute(wanted)
    assert caught.value.exit_code == 1
    assert not store.has(wanted.key)
    assert store.has(done.key)
    assert shutil.disk_usage(small_disk).free > MINIMUM_FREE_BYTES  # the failed output is gone

    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    assert store.compute(wanted) == "computed"
    assert store.open(wanted.key).summary == {"resumed": True}


def test_a_stage_does_not_begin_on_a_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    (small_disk / "ballast").write_bytes(bytes(48 * 1024**2))
    wanted = request(a=1, b=2)
    with pytest.raises(DiskFullError, match="SYNTHLIFT_STORE"):
        store.compute(wanted)
    (small_disk / "ballast").unlink()
    assert store.compute(wanted) == "computed"


def test_a_decision_on_a_full_disk_is_not_half_written(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    ballast = small_disk / "ballast"
    fill(ballast)
    with pytest.raises(DiskFullError):
        store.decide("study", "size", lambda: ("x" * 2**16, ""))
    assert store.decisions("study") == {}
    ballast.unlink()
    assert store.decide("study", "size", lambda: (32, "")) == 32


def test_errors_that_have_nothing_to_do_with_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        Store(tmp_path / "store").compute(request("failing"))
