"""A study whose images come from prompts over class and attributes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthlift import api
from synthlift.errors import InputError
from synthlift.generators.pipelines.wishes import brought_to
from synthlift.spec.provenance import LICENCE
from synthlift.spec.study import Study
from synthlift.store.packed import ORIGINALS, open_images, open_originals
from tests.e2e.test_cells import cell_study, source
from tests.e2e.tiny import Ran, home_of, run

__all__ = ["source"]  # the folder of drawn images and the table beside it

TERMS = "Draw no swans.\n\nNor geese.\n"
ARM = "targeted-fill_label+tone_to_largest@1+rival"


def prompted(source: Path, model: Path, **changes: Any) -> Study:
    generator = {
        "kind": "text_to_image",
        "model": str(model),
        "prompt": "a {tone} {label}",
        "sampler_steps": 1,
        "micro_batch": 16,
        **changes,
    }
    study = cell_study(source, generators=[generator])
    data = study.data.model_copy(update={"names": {"ramp": "slope", "bars": "set of bars"}})
    return study.model_copy(update={"data": data})


@pytest.fixture(scope="module")
def ran(source: Path, tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("home")
    model = shutil.copytree(tiny_pipeline, tmp_path_factory.mktemp("licensed") / "model")
    (model / "LICENSE").write_text(TERMS)
    return run(prompted(source, model), home=home, out="prompted")


def test_attributes_and_names_flow_into_prompts(ran: Ran) -> None:
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    said = set(told["prompt"])
    things = ("disc", "set of bars", "slope")
    shown = {f"a {tone} {thing}" for tone in ("dark", "light") for thing in things}
    # Values go together as they do in the training images: none of them is a dark disc.
    assert said == shown - {"a dark disc"}
    cells = told[told["attributes"] == '{"tone":"dark"}']
    assert len(cells)
    assert cells["prompt"].str.startswith("a dark ").all()


def test_provenance_names_the_prompt(ran: Ran, tmp_path: Path) -> None:
    with home_of(Path(ran.folder).parent):
        api.export(
            ran.folder,
            arm=ARM,
            out=tmp_path / "out",
            form="csv",
            synthetic_only=True,
            accept_copies=True,
        )
    table = pd.read_csv(tmp_path / "out" / "metadata.csv")
    assert table["prompt"].str.fullmatch(r"a (dark|light) (disc|set of bars|slope)").all()
    with Image.open(tmp_path / "out" / table["file_name"][0]) as picture:
        assert picture.info["synthlift:prompt"] == table["prompt"][0]
    (generator,) = ran.results["generators"]
    assert (tmp_path / "out" / f"{generator['name']}-{LICENCE}").read_text() == TERMS
    assert "Draw no swans. (LICENSE)" in (tmp_path / "out" / "DATA_CARD.md").read_text()
    assert generator["config"]["own_scheduler"] == "DDIMScheduler"
    judged = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert generator["kept_share"] == pytest.approx(judged["kept"].mean())


def test_exports_hand_over_images_as_they_were_drawn(ran: Ran, tmp_path: Path) -> None:
    def exported(name: str) -> Path:
        out = tmp_path / name
        with home_of(Path(ran.folder).parent):
            api.export(
                ran.folder, arm=ARM, out=out, form="csv", synthetic_only=True, accept_copies=True
            )
        return out

    out = exported("out")
    table = pd.read_csv(out / "metadata.csv")
    assert (table["pixels"] == "as drawn").all()
    for name in table["file_name"]:
        with Image.open(out / name) as picture:
            assert picture.size == (16, 16)
    assert "as their generator drew them" in (out / "DATA_CARD.md").read_text()
    store = Path(ran.folder).parent / "store"
    chunks = [path.parent for path in store.rglob(ORIGINALS)]
    assert chunks
    for chunk in chunks:
        seen, drawn = open_images(chunk), open_originals(chunk)
        assert drawn is not None
        rows = np.arange(drawn.shape[0])
        brought = [brought_to(seen.shape[1:], image) for image in drawn[rows]]
        assert np.array_equal(np.stack(brought), seen[rows])
    away = store.rename(store.with_name("away"))
    try:
        again = exported("again")
    finally:
        away.rename(store)
    for name in table["file_name"]:
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_a_placeholder_without_a_column_is_refused(
    source: Path, tiny_pipeline: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="tnoe"):
        run(prompted(source, tiny_pipeline, prompt="{label} {tnoe}"), home=tmp_path, out="no")


def test_a_folder_without_a_pipeline_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pipeline") as caught:
        run(prompted(source, tmp_path), home=tmp_path / "home", out="no")
    assert "model_index.json" in caught.value.rule
