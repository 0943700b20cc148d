"""Copies and look-alikes know of the same parts as the split does."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthlift.data.contract import Where
from synthlift.data.inventory import Asked, Row, take_inventory
from synthlift.data.parting import Parting
from synthlift.data.sources import open_source
from tests.unit.data.splitting import Columns, assert_whole, domains, parts_by_draw, split


def without_some_sites() -> tuple[Columns, list[Row]]:
    """Columns for the split and rows for the inventory of images of which a third has no site."""
    data = domains()
    sites = [("north", "", "missing")[i % 3] for i in range(len(data["ids"]))]
    data["attributes"]["site"] = sites
    rows = [
        Row(name, label, group, name, attributes={"site": site})
        for name, label, group, site in zip(
            data["ids"], data["labels"], data["groups"], sites, strict=True
        )
    ]
    return data, rows


@pytest.mark.parametrize("words", [("missing",), ("",), ("north", "missing")])
def test_what_is_missing_is_tested_by_its_name(words: tuple[str, ...]) -> None:
    data, rows = without_some_sites()
    (copies,) = Parting(test_where={"site": words}).draws(rows)
    if "north" in words:
        assert set(copies) == {"test"}
        return
    _, table = split(data, test_where={"site": list(words)})
    (parts,) = parts_by_draw(table)
    assert [part == "test" for part in copies] == [parts[row.id] == "test" for row in rows]
    assert copies.count("test") == 120


def test_images_without_a_value_are_left_out_together() -> None:
    data, rows = without_some_sites()
    design, table = split(data, leave_one_out="site")
    copies = Parting(leave_one_out="site").draws(rows)
    assert design.folds == len(copies) == 2  # no site, whatever it is called, and north
    for draw, parts in zip(copies, parts_by_draw(table), strict=True):
        assert [p == "test" for p in draw] == [parts[row.id] == "test" for row in rows]


def test_a_tested_picture_stays_in_every_published_draw(tmp_path: Path) -> None:
    """An image that all draws test has a copy that all draws train on, first by name."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{i}.png")
    folder = tmp_path / "images" / "a"
    (folder / "7.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes())

    def part(number: int, draw: int) -> str:
        if number >= 6:
            return "test"
        # 1 is trained on once and 2 twice.
        return "pool" if (number, draw) in {(1, 0), (3, 0), (4, 1)} else "train"

    with (tmp_path / "split.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "part", "draw"])
        for draw in range(2):
            for label in "ab":
                writer.writerows((f"{label}/{i}.png", part(i, draw), draw) for i in range(8))
    source = open_source(Where("images", str(tmp_path)))
    asked = Asked(10_000, parting=Parting(file=tmp_path / "split.csv"))
    found = take_inventory(source, asked, progress=lambda *_: None)
    assert {row.id: row.reason for row in found.rows if row.reason} == {
        "a/0.png": "duplicate across given parts: of a/7.png",
        "a/1.png": "duplicate across given parts: of a/2.png",
    }


def test_no_value_and_missing_tear_no_group() -> None:
    data, _ = without_some_sites()
    data["groups"][2] = data["groups"][1]
    assert data["attributes"]["site"][1:3] == ["", "missing"]
    for draw in parts_by_draw(split(data, leave_one_out="site")[1]):
        assert_whole(data, draw)
