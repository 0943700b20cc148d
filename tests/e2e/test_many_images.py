"""Memory does not grow with the number of images asked for, but for some bytes an image."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from synthlift.store import Store
from synthlift.study.generation import verdict_rows
from synthlift.study.streams import REPEATED, Stream
from tests.e2e.many_images import planned

LIMIT_MIB = 1024
BYTES_AN_IMAGE = 100


def test_little_is_held_of_every_image(tmp_path: Path) -> None:
    """Records take some 600 bytes an image; what stays of them in the main process does not."""
    planned(tmp_path / "first", 640)  # what is loaded once
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        pool = planned(tmp_path / "second", 12_800)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    images = sum(map(len, pool.streams.values()))
    assert images >= 12_800
    assert (after - before) / images < BYTES_AN_IMAGE


def test_what_is_held_tells_what_the_records_say(tmp_path: Path) -> None:
    """Against a plain pass over the records: the first chunk of a class repeats its first image."""
    pool = planned(tmp_path, 1280)
    rows = list(verdict_rows(pool, Store(tmp_path / "store")))
    assert len(rows) == sum(map(len, pool.streams.values()))
    for row in rows:
        why = "near_copies" if row["row"] % 20 == 0 else REPEATED if row["row"] % 20 == 1 else ""
        assert row["rejected_by"] == why, row
        assert row["kept"] is (not why)
    assert rows[40]["reason"] == "copy of training image 40"
    counts = pool.rejected()
    assert counts == {
        name: sum(row["rejected_by"] == name for row in rows) for name in ("near_copies", REPEATED)
    }
    one = pool.streams[min(pool.streams)]
    taken = [
        (entry["chunk"], row) for entry in one.manifest(70, curated=True) for row in entry["rows"]
    ]
    kept = [judged.place for judged in one.judged() if not judged.rejected_by]
    assert taken == kept[:70]
    # What near_copies alone rejected is kept without it, unless it is the same image again.
    assert one.number_kept(without="near_copies") == len(one) - counts_of(one, REPEATED)


def counts_of(stream: Stream, name: str) -> int:
    return stream.rejected()[name]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_images_are_planned_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.e2e.many_images", str(tmp_path), "1000000"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["images"] >= 1_000_000
    assert found["trained_on"] >= 860_000
    assert found["peak_mib"] < LIMIT_MIB
