"""What generate writes in a thread, while more are drawn, is gone on with where it could not be."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from synthlift import api
from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.store.files import hash_files


def test_an_image_that_cannot_be_written_ends_generate_and_is_made_again(
    finished: api.Run, tmp_path: Path
) -> None:
    whole = api.generate(finished.path, per_class=3, out=tmp_path / "whole", seed=3)

    class StopError(Exception):
        pass

    def stop(_done: int, _total: int, _note: str) -> None:
        raise StopError

    out = tmp_path / "out"
    with pytest.raises(StopError):
        api.generate(finished.path, per_class=3, out=out, seed=3, progress=stop)
    (begun,) = (out / "images").rglob("*.png")
    in_the_way = begun.with_name("flow_00002.png")
    in_the_way.mkdir()
    with pytest.raises(OSError, match=r"flow_00002\.png"):
        api.generate(finished.path, per_class=3, out=out, seed=3)
    in_the_way.rmdir()
    api.generate(finished.path, per_class=3, out=out, seed=3)
    assert hash_files(out) == hash_files(whole.path)


def test_a_column_called_like_one_of_ours_is_written_and_read_back(
    draw_images: Callable[..., Path], tmp_path: Path
) -> None:
    source, values = draw_images(tmp_path / "shapes", per_class=6), ("dark / dim", "l" * 150)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{values[number % 2]},{'m' * 150}"
        for number, path in enumerate(sorted(source.glob("*/*.png")))
    ]
    table = tmp_path / "theirs.csv"
    table.write_text("\n".join(["path,label,kind,file", *rows]))
    pool = {"kind": "pool", "source": str(table), "attributes": ["kind", "file"]}
    data = {"source": str(table), "image_size": 8, "near_duplicates": "ignore"}
    study = {"data": data, "generators": [pool]}
    out = tmp_path / "out"
    asked = {"kind": values, "file": "m" * 150}
    api.generate(study, per_class=2, out=out, attributes=asked, store=tmp_path / "store")
    with (out / "provenance.csv").open(newline="") as stream:
        header, *written = csv.reader(stream)
    assert len(set(header)) == len(header)
    assert {row[header.index("kind")] for row in written} == {"pool"}
    assert {row[header.index("attribute_kind")] for row in written} == set(values)
    again = open_source(Where(str(out), str(tmp_path), attributes=("kind", "file", "generator")))
    told = [(item.attributes["kind"], item.attributes["file"]) for item in again.items]
    row_of = [header.index(f"attribute_{name}") for name in ("kind", "file")]
    assert Counter(told) == Counter(tuple(row[k] for k in row_of) for row in written)
    assert {item.attributes["generator"] for item in again.items} == {"pool"}
