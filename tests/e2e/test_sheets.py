"""Sheets of what a generator draws while it trains, where a user finds them."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift import api
from synthlift.spec.provenance import provenance_in, provenance_of
from synthlift.study.stages.sheets import MOST_SHEETS, SheetKeeper
from synthlift.testing.inputs import CLASSES, draw_images
from synthlift.types import ImageBatch, MonitorReading
from tests.e2e.every_generator import study_with
from tests.e2e.tiny import home_of, run

QUICK: dict[str, Any] = {"steps": 6, "readings": 3}


@pytest.mark.parametrize("kind", ["flow", "gan", "vae", "translation"])
def test_a_sheet_a_look_lies_in_the_run_folder(kind: str, tmp_path: Path) -> None:
    ran = run(study_with(kind, tmp_path / "data", **QUICK), home=tmp_path / "home")
    place = ran.folder / "training" / kind / "fit-0"
    assert [path.name for path in sorted(place.iterdir())] == [
        "curves.jsonl",
        *(f"step-{step:07d}.png" for step in (2, 4, 6)),
    ]
    first, last = (np.asarray(Image.open(place / f"step-{step:07d}.png")) for step in (2, 6))
    assert first.shape == last.shape
    assert not np.array_equal(first, last), "nothing was learnt between the looks"
    if kind != "flow":
        return
    # In another run folder of the same store, where nothing is trained any more, too.
    again = run(study_with(kind, tmp_path / "data", **QUICK), home=tmp_path / "home", out="again")
    assert not again.computed("fit")
    assert sorted(path.name for path in (again.folder / "training" / kind / "fit-0").iterdir())
    keys = {folder.name for folder in (tmp_path / "home" / "store" / "artefacts").glob("fit-*")}
    assert len(keys) == 1, "where sheets are written takes part in the key"


def test_generate_shows_them_beside_the_images(tmp_path: Path) -> None:
    study = study_with("flow", tmp_path / "data", **QUICK)
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(study.model_dump(mode="json")))
    with home_of(tmp_path) as store:
        made = api.generate(file, per_class=2, out=tmp_path / "out", store=store)
    assert len(list((made.path / "training" / "flow").glob("step-*.png"))) == 3
    assert provenance_of(made.sheet) is not None
    assert made.counts == {"bars": 2, "disc": 2, "ramp": 2}


def test_there_are_never_many_and_a_killed_fit_writes_the_same_again(tmp_path: Path) -> None:
    pixels, labels = draw_images(30, seed=0)
    batch, steps = ImageBatch(pixels, labels), range(10, 1010, 10)

    def accepts(step: int, samples: ImageBatch) -> MonitorReading:
        return MonitorReading(value=1.0, acceptable=True)

    places = [tmp_path / name for name in ("work", "run")]
    keep = SheetKeeper(accepts, classes=CLASSES, places=places)
    for step in steps:
        assert keep(step, batch).acceptable
    names = [path.name for path in sorted(places[0].iterdir())]
    assert len(names) <= MOST_SHEETS
    assert names[-1] == "step-0001000.png"
    last = (places[0] / names[-1]).read_bytes()
    said = provenance_in(last)
    assert said is not None, "it says that it is synthetic"
    assert said["version"] == version("synthlift")
    shutil.rmtree(places[1])
    keep(1000, batch)
    assert (places[1] / names[-1]).read_bytes() == last
