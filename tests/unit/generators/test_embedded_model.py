"""The pipeline that comes with the package draws what a prompt says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from synthlift.drawings import WORDS, Traits
from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.generators.pipelines.files import PipelineFiles, hash_pipeline
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8
from synthlift.vision.clip.files import hash_clip
from synthlift.weights.files import hash_weights_of
from synthlift.weights.recognising import licence_of, licence_text
from tests.judges import Judges, fresh_drawings

MOST_BYTES = 8 * 2**20
EACH = 6
"""Pictures of a class in the quick test."""
LEAST = {"word": 0.88, "slant": 0.92, "thickness": 0.78, "colour": 0.77, "background": 0.95}
"""Of 96 pictures: limits three standard errors or more below what 960 showed: 0.95, 0.99, 0.89,
0.875 and 1.

Aimed at is 0.85 of each; see the model's card.
"""


def drawn(prompts: list[str], folder: Path) -> UInt8:
    """Draw one picture of each prompt by the generator, as a study does."""
    config = TextToImageConfig(
        model=EMBEDDED, prompt=("{label}",), sampler_steps=15, guidance_scale=2.0, micro_batch=32
    )
    empty = ImageSet.from_arrays(
        np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64), ("seven",)
    )
    none = empty.ids[:0]
    inputs = FitInputs(
        train=empty, validation=empty, test=LockedTest(ids=none, groups=none, hashes=none)
    )
    fitted = TextToImageGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=1))
    requests = [
        SampleRequest(index=i, label=0, seed=1000 + i, params={"prompt": text})
        for i, text in enumerate(prompts)
    ]
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def told(one: Traits) -> str:
    return f"a {one.thickness} {one.colour} {one.word} {one.slant} on a {one.background} background"


def shares(each: int, folder: Path) -> dict[str, float]:
    """Share of pictures that show each trait as the prompt says, and all of them."""
    traits = [
        Traits(word, one.colour, one.slant, one.thickness, one.background)
        for word in WORDS
        for one in fresh_drawings(each, seed=WORDS.index(word))[1]
    ]
    right = Judges().right(drawn([told(one) for one in traits], folder), traits)
    every = np.all([*right.values()], axis=0)
    return {**{name: float(found.mean()) for name, found in right.items()}, "all": every.mean()}


def test_it_draws_what_prompts_say(tmp_path: Path) -> None:
    found = shares(EACH, tmp_path)
    assert {name: found[name] >= least for name, least in LEAST.items()} == dict.fromkeys(
        LEAST, True
    ), found


@pytest.mark.slow
def test_it_draws_what_prompts_say_in_many_pictures(tmp_path: Path) -> None:
    found = shares(60, tmp_path)
    assert found["word"] >= 0.9, found
    assert found["slant"] >= 0.95, found
    assert min(found["thickness"], found["colour"]) >= 0.85, found
    assert found["background"] >= 0.98, found


def test_the_package_holds_a_small_model_that_a_study_names_by_a_word() -> None:
    folder = embedded_model("text_to_image")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    known = TextToImageConfig(model=EMBEDDED)
    assert known.model_sha256 == hash_pipeline(PipelineFiles(folder))
    assert known.licence == "", "keys hold it, and were made without"
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


@pytest.mark.parametrize("name", ["text_to_image", "clip"])
def test_a_packaged_model_tells_its_licence_which_changes_no_hash(
    name: Literal["text_to_image", "clip"], tmp_path: Path
) -> None:
    told = embedded_model(name)
    assert licence_of(told) == "apache-2.0"
    for words in ("Apache License", "Version 2.0", "CC BY 4.0"):
        assert words in licence_text(told)
    silent = shutil.copytree(told, tmp_path / name, ignore=shutil.ignore_patterns("L*", "R*"))
    assert (licence_of(silent), licence_text(silent)) == ("", "")
    assert hash_weights_of(silent) == hash_weights_of(told)
    if name == "clip":
        assert hash_clip(silent) == hash_clip(told)
