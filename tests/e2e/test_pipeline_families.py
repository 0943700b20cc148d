"""Every family of pipelines, as a tiny random one, from words over curation to a verdict."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from synthlift import api
from synthlift.testing.inputs import CLASSES
from tests.e2e.tiny import draw_folder, home_of, run, study_of
from tests.flow_files import file_of_parts, sd3_network
from tests.further_pipelines import (
    tiny_flux_2,
    tiny_flux_2_klein,
    tiny_qwen_image,
    tiny_z_image,
)
from tests.pipelines import FAMILIES, SIDE, tiny_stable_diffusion_2
from tests.single_files import settings_alone, single_file

LARGE = {
    "qwen": tiny_qwen_image,
    "z-image": tiny_z_image,
    "flux-2": tiny_flux_2,
    "klein": tiny_flux_2_klein,
}
EVERY = {**FAMILIES, "sd-turbo": tiny_stable_diffusion_2, **LARGE}
SIZELESS = ("flux", "flux-network", *LARGE)
"""They do not say their size, and are then large."""
FEW_STEPS = {"lcm": (4, 1.5), "sd-turbo": (4, 0.0)}
IN_ONE_FILE = ("sd-file", "sd3-file", "flux-network")
DRAWN = [name for name in CLASSES if name != "never_seen"]


def settings_of(family: str, place: Path) -> dict[str, Any]:
    """Names a tiny model of a family, or one in a file with the settings and parts beside it."""
    if family not in IN_ONE_FILE:
        return {"model": str(EVERY[family](place / family))}
    file, beside = place / f"{family}.safetensors", place / "beside"
    whole = EVERY[family.partition("-")[0]](place / "whole")
    if family == "sd-file":
        single_file(whole, file)
        settings_alone(whole, beside)
    elif family == "sd3-file":
        weights = load_file(next((whole / "transformer").glob("*.safetensors")))
        # Text encoders that differ in nothing but their names lie in the folder.
        file_of_parts(sd3_network(weights), whole, file, encoders=())
        beside = whole
    else:
        beside = Path(shutil.copytree(whole, beside))
        shutil.move(next((beside / "transformer").glob("*.safetensors")), file)
    return {"model": str(file), "config": str(beside)}


@pytest.mark.slow
@pytest.mark.parametrize("family", [*EVERY, *IN_ONE_FILE])
def test_words_become_images_that_are_curated_and_studied(
    family: str, tiny_clip: Path, tmp_path: Path
) -> None:
    source = draw_folder(tmp_path / "real", per_class=30)
    few = FEW_STEPS.get(family)
    (tmp_path / "models").mkdir()
    model = settings_of(family, tmp_path / "models")
    generator: dict[str, Any] = {"kind": "text_to_image", "micro_batch": 16, **model}
    if family in SIZELESS:
        generator["size"] = SIDE
    study = study_of(
        source,
        generators=[generator if few else {**generator, "sampler_steps": 2}],
        clip=str(tiny_clip),
        curation=["near_copies", {"kind": "clip_score", "text": "prompt", "keep": 0.8}],
        replicates=1,
        plugins=[],
    )
    asked = tmp_path / "study.yaml"
    asked.write_text(yaml.safe_dump(study.model_dump(mode="json")))
    with home_of(tmp_path / "home") as store:
        made = api.generate(asked, per_class=4, out=tmp_path / "pool", store=store, workers=1)
        curated = api.curate(
            made.path,
            real=source,
            out=tmp_path / "curated",
            store=store,
            workers=1,
            overrides=["training.steps=20", "training.flip=no"],
        )
    assert made.counts == dict.fromkeys(DRAWN, 4)
    told = pd.read_csv(made.path / "provenance.csv")
    assert set(told["prompt"]) == {f"a photo of {name}" for name in DRAWN}
    pictures = [np.asarray(Image.open(path)) for path in sorted(made.path.rglob("*/*.png"))]
    assert all(np.ptp(picture) > 0 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert curated.images == 4 * len(DRAWN)
    assert sum(sum(own.values()) for own in curated.counts.values()) == curated.images
    ran = run(study, home=tmp_path / "home")
    assert ran.results["verdict"]["word"]
    judged = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert judged["score_clip_score"].nunique() > 1
    reasons = set(judged[judged["rejected_by"] == "clip_score"]["reason"])
    assert all("the least like prompts of" in reason for reason in reasons)
    (found,) = ran.results["generators"]
    assert found["one_pool"]
    suited = (found["config"]["sampler_steps"], found["config"]["guidance_scale"])
    assert suited == (few or (2, 2.0))
