"""Pools on disk, as a study reads them."""

from __future__ import annotations

import csv
import io
import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.spec.licences import licences_of
from synthlift.spec.provenance import LICENCE, png_bytes
from synthlift.web.pools import IMAGES, TABLE, Pools, missing_of


def test_the_table_of_a_pool_names_its_classes_as_they_are(tmp_path: Path) -> None:
    pools = Pools(tmp_path)
    pool, classes = pools.make("kept"), ("-1", "+1", "=x", "@home")
    for number in range(12):
        pool = pools.judge(
            pool.id,
            source=f"drawn/{number}",
            label=classes[number % 4],
            verdict="keep",
            who="=cmd()",
            png=png_bytes(np.full((8, 8, 1), number, np.uint8)),
            facts={"generator": "flow"},
            seen=None,
            near_copy=None if number < 4 else number < 8,
        )
    rows = list(csv.DictReader((pool.path / TABLE).read_text().splitlines()))
    assert Counter(row["near_copy"] for row in rows) == {"": 4, "True": 4, "False": 4}
    where = Where(str(pool.path / IMAGES), "", metadata=str(pool.path / TABLE), label="label")
    found = open_source(where)
    assert sorted({item.label for item in found.items}) == sorted(classes)
    assert len(found.items) == 12
    assert not [*pool.path.glob("*.txt")], "of no model are terms known"
    assert "'=cmd()" in (pool.path / TABLE).read_text(), "what is not read back is no formula"


def test_the_terms_of_the_models_behind_its_pictures_stay_with_a_pool(tmp_path: Path) -> None:
    pools = Pools(tmp_path)
    pool = pools.make("kept")
    for number, terms in enumerate(("Draw no swans.", "Draw no swans.", "Draw no geese.", "")):
        pool = pools.judge(
            pool.id,
            source=f"drawn/{number}",
            label="a",
            verdict="keep",
            who="Ada",
            png=png_bytes(np.full((8, 8, 1), number, np.uint8)),
            facts={"generator": "text_to_image"},
            seen=None,
            terms=terms,
        )
    kept = {
        f"text_to_image-{LICENCE}": b"Draw no swans.",
        f"text_to_image-2-{LICENCE}": b"Draw no geese.",
    }
    with zipfile.ZipFile(io.BytesIO(pool.archive())) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert {name: text for name, text in found.items() if LICENCE in name} == kept
    assert {*licences_of(pool.path / IMAGES)} == {*kept}, "for a study that takes it"


def test_a_pool_that_stays_as_it_is_is_not_searched_again_for_what_is_gone(tmp_path: Path) -> None:
    pools = Pools(tmp_path)
    pool = pools.make("kept")
    for number in range(4):
        pool = pools.judge(
            pool.id,
            source=f"drawn/{number}",
            label="ab"[number % 2],
            verdict="keep",
            who="",
            png=png_bytes(np.full((8, 8, 1), number, np.uint8)),
            facts={},
            seen=None,
        )
    listed = pools.listed(pool.id)
    assert missing_of(listed) == 0
    first, *others = (pool.file(one) for one in pool.images)
    first.unlink()
    assert missing_of(listed) == 1, "also right after it was looked at"
    for place in (listed, *(pool.path / IMAGES).iterdir()):
        os.utime(place, (1000, 1000))
    assert missing_of(listed) == 1
    others[0].unlink()
    os.utime(others[0].parent, (1000, 1000))  # as if nothing had happened
    assert missing_of(listed) == 1
    os.utime(others[0].parent, (2000, 2000))
    assert missing_of(listed) == 2
    shutil.rmtree(others[1].parent)
    assert missing_of(listed) == 3
