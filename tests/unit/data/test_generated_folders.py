"""A folder of generated images as a source."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from synthlift.data.contract import Where
from synthlift.data.sources import open_source


def test_a_folder_that_generate_wrote_is_read_by_its_table(tmp_path: Path) -> None:
    (tmp_path / "generators").mkdir()
    rows = []
    for row in range(6):
        file = f"images/{'cat' if row % 2 else 'dog'}/{row}.png"
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 40 * row, np.uint8)).save(tmp_path / file)
        rows.append([file, "cat" if row % 2 else "dog", "flow"])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "sheet.png")
    with (tmp_path / "provenance.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "label", "generator"], *rows])
    found = open_source(Where(source=str(tmp_path), base=str(tmp_path)))
    assert sorted(item.label for item in found.items) == ["cat"] * 3 + ["dog"] * 3
    assert all("sheet" not in str(item.path) for item in found.items)
