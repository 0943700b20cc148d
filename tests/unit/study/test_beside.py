"""Images beside a data set are read as the data set is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthlift.data.contract import Where
from synthlift.data.overlap import overlap_request
from synthlift.data.sources import open_source
from synthlift.spec.provenance import facts_of, png_bytes
from synthlift.store import StageRequest, Store
from synthlift.store.images import read_beside, usable_rows
from synthlift.study.beside import Images, beyond_white, read_images
from synthlift.study.executors.local import LocalExecutor
from synthlift.study.layout import make_layout
from synthlift.study.ledger import Ledger
from synthlift.study.preparation import Prepared, design_for_fitting, open_data, prepare
from synthlift.study.session import Session
from synthlift.types import SampleRequest
from tests.e2e.tiny import FLOW, study_of
from tests.unit.generators.one_pass import fit, inputs_of

SIDE = 16


class Here(LocalExecutor):
    """Computes in this process."""

    def run(self, requests: Iterable[StageRequest]) -> None:
        for request in requests:
            self.store.compute(request)


def draw(folder: Path, *, peak: int, seed: int) -> Path:
    """Four 16-bit grey images of two classes each, values up to ``peak``; 8 bits up to 255."""
    rng = np.random.default_rng(seed)
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for number in range(4):
            values = rng.integers(0, peak, (SIDE, SIDE)).astype(np.uint16)
            values[0, 0] = peak
            kind = np.uint8 if peak < 256 else np.uint16
            Image.fromarray(values.astype(kind)).save(folder / label / f"{number}.png")
    return folder


def prepared_of(folder: Path) -> tuple[Session, Prepared]:
    store = Store(folder.parent / f"store of {folder.name}")
    session = Session(
        study=study_of(
            folder,
            data={"source": str(folder), "near_duplicates": "ignore"},
            generators=[FLOW],
        ),
        store=store,
        executor=Here(store, workers=1),
        ledger=Ledger(folder.parent / "ledger"),
        base=folder.parent,
    )
    opened = open_data(session)
    return session, prepare(
        session,
        opened,
        design=design_for_fitting(session, opened),
        image_size=SIDE,
        channels=1,
        layout=make_layout("fixed", replicates=1, fits=1),
    )


def read(session: Session, prepared: Prepared, folder: Path) -> Images:
    return read_images(session, prepared, open_source(Where(str(folder), "/"), strict=False))


def test_one_16_bit_file_is_one_picture_in_the_data_and_beside_them(tmp_path: Path) -> None:
    ours = draw(tmp_path / "ours", peak=4000, seed=0)
    dark = np.random.default_rng(9).integers(0, 900, (SIDE, SIDE)).astype(np.uint16)
    Image.fromarray(dark).save(ours / "a" / "dark.png")
    pool = draw(tmp_path / "pool", peak=1000, seed=1)
    (pool / "a" / "again.png").write_bytes((ours / "a" / "dark.png").read_bytes())
    session, prepared = prepared_of(ours)
    assert prepared.opened.white == 4095
    images = read(session, prepared, pool)
    assert (images.read.summary["white"], images.read.summary["clipped"]) == (4095, 0)
    ours_by_id, theirs_by_id = (
        dict(zip(rows["id"].tolist(), rows["sha256"].tolist(), strict=True))
        for key in (prepared.data["inventory"], images.inventory)
        for rows in [usable_rows(session.store, key)]
    )
    assert theirs_by_id["a/again.png"] == ours_by_id["a/dark.png"]
    (overlap,) = session.ask(
        [
            overlap_request(
                inventory=prepared.data["inventory"],
                pixels=prepared.data["pixels"],
                other=images.inventory,
                other_pixels=images.pixels,
            )
        ]
    )
    assert overlap.summary["pairs"] == [["a/again.png", "a/dark.png"]]


def test_what_is_brighter_than_the_data_can_be_is_said(tmp_path: Path) -> None:
    session, prepared = prepared_of(draw(tmp_path / "ours", peak=4000, seed=0))
    images = read(session, prepared, draw(tmp_path / "bright", peak=9000, seed=1))
    (said,) = beyond_white(images, name="the external set 'B'")
    assert said == (
        "8 images of the external set 'B' hold 16-bit values above 4095, which is white in the "
        "data set; these became white."
    )
    assert any("value 4095 became white (8 images" in n for n in images.read.summary["notes"])


def test_data_of_8_bits_do_not_say_what_is_white_in_16(tmp_path: Path) -> None:
    session, prepared = prepared_of(draw(tmp_path / "ours", peak=255, seed=0))
    assert prepared.opened.white is None
    images = read(session, prepared, draw(tmp_path / "pool", peak=1000, seed=1))
    assert images.read.summary["white"] == 1023


@pytest.mark.parametrize("by", ["folder", "table"])
def test_an_image_between_classes_that_is_given_another_one_counts_for_that_alone(
    tmp_path: Path, by: str
) -> None:
    """The third is in the class that it was made for, under another name."""
    session, prepared = prepared_of(draw(tmp_path / "ours", peak=255, seed=0))
    pool, shares = tmp_path / "pool", {"a": 0.8, "b": 0.2}
    facts = facts_of(generator="g", kind="k", label="a", seed=1, index=0, fit_seed=2, shares=shares)
    labels = ("a", "b", "renamed")
    for number, label in enumerate(labels):
        folder = pool / (label if by == "folder" else "all")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((SIDE, SIDE, 1), 10 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(png_bytes(pixels, facts=facts))
    asked: dict[str, Any] = {"classes": {"renamed": "a"}}
    if by == "table":
        rows = [f"all/{number}.png,{label}\n" for number, label in enumerate(labels)]
        (pool / "table.csv").write_text("".join(["file_name,label\n", *rows]))
        asked |= {"metadata": str(pool / "table.csv"), "label": "label"}
    where = Where(str(pool), "/", one_class=True, shares=True, **asked)
    counts = _counted(session, prepared, where, tmp_path, rows=((0, 0), (1, 0), (0, 1)), **asked)
    assert counts == {0: pytest.approx([0.8, 0.2]), 10: [0, 1], 20: pytest.approx([0.8, 0.2])}


@pytest.mark.parametrize("by", ["table", "metadata", "parquet"])
def test_a_table_says_for_how_much_images_count_whose_files_say_nothing(
    tmp_path: Path, by: str
) -> None:
    """As those of an export that were written anew; the first one says it itself."""
    session, prepared = prepared_of(draw(tmp_path / "ours", peak=255, seed=0))
    pool, shares = tmp_path / "pool", {"a": 0.8, "b": 0.2}
    pool.mkdir()
    facts = facts_of(generator="g", kind="k", label="a", seed=1, index=0, fit_seed=2, shares=shares)
    told = ("{}", json.dumps({"a": 0.6, "b": 0.4}), "", json.dumps({"a": 0.3, "b": 0.7}))
    pictures = [
        png_bytes(np.full((SIDE, SIDE, 1), 10 * number, np.uint8), facts=None if number else facts)
        for number in range(len(told))
    ]
    names = [f"{number}.png" for number in range(len(told))]
    table = pd.DataFrame({"file_name": names, "label": list("aaab"), "class_shares": told})
    source, asked = str(pool / "table.csv"), dict[str, Any](label="label")
    if by == "parquet":
        source = str(pool / "table.parquet")
        held: Any = [{"bytes": one, "path": ""} for one in pictures]
        table = table.assign(image=held)
        table.drop(columns="file_name").to_parquet(source)
    else:
        for name, picture in zip(names, pictures, strict=True):
            (pool / name).write_bytes(picture)
        table.to_csv(source, index=False)
    if by == "metadata":
        source, asked = str(pool), {**asked, "metadata": source}
    where = Where(source, "/", one_class=True, shares=True, **asked)
    counts = _counted(
        session, prepared, where, tmp_path, rows=((0, 0), (1, 0), (2, 0), (0, 1)), **asked
    )
    assert counts == {
        0: pytest.approx([0.8, 0.2]),
        10: pytest.approx([0.6, 0.4]),
        20: [1, 0],
        30: pytest.approx([0.3, 0.7]),
    }


def _counted(
    session: Session,
    prepared: Prepared,
    where: Where,
    folder: Path,
    *,
    rows: Sequence[tuple[int, int]],
    **asked: Any,
) -> dict[int, Any]:
    """For how much images of a pool, known by their grey, count of each class.

    ``rows`` are place and class of each image.
    """
    found = read_images(session, prepared, open_source(where, strict=False))
    keys = {"inventory": found.inventory, "pixels": found.pixels}
    stock = read_beside(session.store, classes=("a", "b"), left_out=set(), **keys)
    inputs = replace(inputs_of(stock), sources={"pool": stock})
    fitted = fit("pool", folder / "fit", inputs, source=where.source, reserved=0, **asked)
    requests = [SampleRequest(index=index, label=label, seed=0) for index, label in rows]
    return {
        int(pixels.flat[0]): soft
        for batch in fitted.sample(requests)
        for pixels, soft in zip(batch.pixels, np.asarray(batch.soft_labels).tolist(), strict=True)
    }
