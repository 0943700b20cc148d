"""The simulator of tiles: what it draws, and that a generator takes it as a pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from scripts import draw_tiles
from synthlift import api
from synthlift.errors import InputError
from synthlift.spec.loading import load_study
from synthlift.store.files import hash_files

ROOT = Path(__file__).resolve().parents[2]
DRAWN = ("clean", "pore", "unground")
"""Of the pool in these tests; the data set has cracks, too."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulated") / "pool"
    draw_tiles.write(place, flaws=DRAWN, each=4, seed=0)
    return place


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings of another seed stand for photographs, under the names of the real data set."""
    place = tmp_path_factory.mktemp("photographed")
    for flaw in (*DRAWN, "crack"):
        folder = place / recipe()["classes"].get(flaw, flaw)
        folder.mkdir()
        for number in range(3):
            pixels = draw_tiles.draw(flaw, number, seed=1).pixels
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return place


def recipe() -> dict[str, Any]:
    """The pool of the recipe."""
    study = load_study(ROOT / "recipes" / "defects.yaml")
    (found,) = (component for component in study.generators if component.kind == "pool")
    return {"kind": "pool", **found.settings()}


def drawn(tiles: Path, pool: Path, out: Path, **asked: Any) -> api.Generated:
    """Images of the recipe's pool, with what the table says of extents to ask for."""
    generator = recipe() | {"source": str(pool / "metadata.csv"), "attributes": ["extent"]}
    generator["classes"] |= asked.pop("classes_there", {})
    changes = [f"generators=[{json.dumps(generator)}]", "data.image_size=32"]
    return api.generate(tiles, per_class=3, out=out, workers=1, overrides=changes, **asked)


def test_a_picture_depends_on_its_seed_flaw_and_number_alone(pool: Path, tmp_path: Path) -> None:
    draw_tiles.write(tmp_path / "one", flaws=("pore",), each=2, seed=0)
    whole, one = hash_files(pool), hash_files(tmp_path / "one")
    assert {name: whole[name] for name in one if name != "metadata.csv"} == {
        name: digest for name, digest in one.items() if name != "metadata.csv"
    }
    assert len(set(whole.values())) >= 4 * len(DRAWN)
    other = draw_tiles.draw("pore", 0, seed=1)
    assert (other.pixels != draw_tiles.draw("pore", 0, seed=0).pixels).mean() > 0.5


@pytest.mark.parametrize("flaw", [name for name in draw_tiles.FLAWS if name != "clean"])
def test_a_flaw_lies_where_its_mask_is_and_is_as_light_as_the_table_says(flaw: str) -> None:
    assert not draw_tiles.draw("clean", 0).mask.any()
    told, seen = [], []
    for number in range(8):
        picture = draw_tiles.draw(flaw, number)
        mask, facts = picture.mask, picture.facts
        assert 0 < mask.mean() < 0.75
        assert float(facts["area"]) == pytest.approx(mask.mean(), abs=1e-4)
        around = ndimage.binary_dilation(mask, iterations=12)
        beside = around & ~ndimage.binary_dilation(mask, iterations=3)
        levels = picture.pixels.astype(float)
        told.append(float(facts["contrast"]))
        seen.append(levels[mask].mean() / levels[beside].mean() - 1)
    agree = np.sign(told) == np.sign(seen)
    assert agree.mean() >= 0.75, (told, seen)


def test_a_pool_of_drawings_comes_back_under_our_names_with_what_the_table_says(
    tiles: Path, pool: Path, tmp_path: Path
) -> None:
    found = drawn(tiles, pool, tmp_path / "out")
    # Nothing of a crack was drawn: it gets no image, and the others theirs.
    assert found.counts == {"blowhole": 3, "crack": 0, "fray": 3, "free": 3}
    told = pd.read_csv(found.path / "provenance.csv")
    theirs = told["made_from"].str.extract(r"^images/(\w+)/\d{4}\.png \((.+)\)$")
    assert theirs[0].map(recipe()["classes"]).tolist() == told["label"].tolist()
    changes = {part.split()[0] for said in theirs[1] for part in said.split(", ")}
    assert changes - {"unchanged"} <= set(recipe()["randomise"])
    assert len(changes) > 4

    small = drawn(
        tiles, pool, tmp_path / "small", classes=["blowhole"], attributes={"extent": "small"}
    )
    table = pd.read_csv(pool / "metadata.csv", index_col="file_name")
    names = pd.read_csv(small.path / "provenance.csv")["made_from"].str.split(" ").str[0]
    assert len(names)
    assert set(table["extent"].reindex(names)) == {"small"}


def test_what_was_not_drawn_or_not_mapped_is_refused(
    tiles: Path, pool: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="can make no image of 'crack'"):
        drawn(tiles, pool, out, classes=["crack"])
    with pytest.raises(InputError, match="does not know: 'blow_hole' – did you mean 'blowhole'"):
        drawn(tiles, pool, out, classes_there={"pore": "blow_hole"})
    assert not out.exists()
