"""Starting from a given picture: what stays of it, and what may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.drawings import Traits
from synthlift.embedded import EMBEDDED
from synthlift.errors import InputError
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowGenerator
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.image_to_image.generator import ImageToImageGenerator
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import (
    FitInputs,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
    UInt8,
    Varies,
)
from tests.judges import Judges, fresh_drawings

KEPT = FOLLOWED = 0.8
"""Least share of images that show the picture's class at low strength, the asked one at high."""
NEARER = 0.5
"""At low strength images are at most so far from the picture, as a share of that at high."""


def inputs_of(train: ImageSet) -> FitInputs:
    none = train.ids[:0]
    return FitInputs(
        train=train, validation=train, test=LockedTest(ids=none, groups=none, hashes=none)
    )


def varied(fitted: Varies, start: UInt8, labels: list[int], *, strength: float) -> UInt8:
    """One image a label from one picture."""
    requests = [SampleRequest(index=i, label=k, seed=70 + i) for i, k in enumerate(labels)]
    batches = list(fitted.vary(start, requests, strength=strength))
    return np.concatenate([batch.pixels for batch in batches])


# ── a flow ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet]:
    """Digits to learn from, and held-out ones."""
    found = load_digits()
    pixels = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(pixels))
    every = ImageSet.from_arrays(pixels[order], found.target[order], tuple("0123456789"))
    return every.subset(np.arange(1400)), every.subset(np.arange(1400, 1460))


def test_a_flow_keeps_a_digit_at_low_strength_and_follows_the_asked_class_at_high(
    digits: tuple[ImageSet, ImageSet], tmp_path: Path
) -> None:
    train, held_out = digits
    config = FlowConfig(steps=500, batch_size=64, width=128, depth=2, readings=0)
    fitted = FlowGenerator(config).fit(inputs_of(train), run=RunContext(folder=tmp_path, seed=0))
    judge = SVC(C=10).fit(train.pixels().reshape(len(train), -1), train.labels)
    own = held_out.labels
    asked = (own + 3) % 10
    shares, distances = {}, {}
    for strength, expected in ((0.25, own), (0.9, asked)):
        drawn = np.concatenate(
            [
                varied(fitted, image, [int(label)], strength=strength)
                for image, label in zip(held_out.pixels(), asked, strict=True)
            ]
        )
        seen = judge.predict(drawn.reshape(len(drawn), -1))
        shares[strength] = float((seen == expected).mean())
        away = drawn.astype(np.float64) - held_out.pixels()
        distances[strength] = float(np.sqrt((away**2).mean(axis=(1, 2, 3))).mean())
    assert shares[0.25] >= KEPT, (shares, distances)
    assert shares[0.9] >= FOLLOWED, (shares, distances)
    assert distances[0.25] <= NEARER * distances[0.9], distances


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 32, "depth": 1},
        {"network": "unet", "width": 8},
        {"parametrisation": "edm", "width": 32, "depth": 1, "sampler": "heun"},
    ],
    ids=str,
)
def test_at_full_strength_nothing_is_left_of_the_picture(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config = FlowConfig(steps=4, batch_size=8, sampler_steps=3, micro_batch=4, **settings)
    fitted = FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=tmp_path, seed=1))
    start = drawn_inputs().train.pixels(np.array([0]))[0]
    requests = [SampleRequest(index=i, label=i % 3, seed=70 + i) for i in range(6)]
    plain = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    labels = [request.label for request in requests]
    assert np.array_equal(varied(fitted, start, labels, strength=1), plain)
    little = varied(fitted, start, labels, strength=0.001).astype(int)
    assert np.abs(little - start).mean() < 0.2 * np.abs(plain.astype(int) - start).mean()


# ── pipelines ─────────────────────────────────────────────────────────────────────────────────


def blank(side: int, *names: str) -> ImageSet:
    """One black picture of each class: what a pipeline needs to know the classes."""
    pixels = np.zeros((len(names), side, side, 3), np.uint8)
    return ImageSet.from_arrays(pixels, np.arange(len(names)), names)


def test_the_embedded_model_keeps_a_drawing_at_low_strength_and_follows_words_at_high(
    tmp_path: Path,
) -> None:
    config = TextToImageConfig(
        model=EMBEDDED,
        prompt=("a thick {label} upright on a black background",),
        sampler_steps=15,
        guidance_scale=2.0,
        micro_batch=16,
    )
    words = ("red seven", "blue zero")
    fitted = TextToImageGenerator(config).fit(
        inputs_of(blank(32, *words)), run=RunContext(folder=tmp_path, seed=1)
    )
    pictures, traits = fresh_drawings(400, seed=11)
    seven = next(
        i for i, one in enumerate(traits) if (one.word, one.background) == ("seven", "black")
    )
    count = 16
    kept = varied(fitted, pictures[seven], [1] * count, strength=0.2)
    changed = varied(fitted, pictures[seven], [1] * count, strength=0.95)
    judges = Judges(count=1500)
    zero = Traits("zero", "blue", "upright", "thick", "black")
    assert judges.right(kept, [traits[seven]] * count)["word"].mean() >= KEPT
    assert judges.right(changed, [zero] * count)["word"].mean() >= FOLLOWED
    assert judges.right(changed, [zero] * count)["colour"].mean() >= FOLLOWED


def tiny(model: Path, folder: Path, **settings: Any) -> Any:
    """A pipeline of random weights as generator of its kind."""
    config = {"model": str(model), "sampler_steps": 4, "micro_batch": 4, **settings}
    run = RunContext(folder=folder, seed=3)
    if "method" in settings:
        changing = ImageToImageGenerator(ImageToImageConfig.model_validate(config))
        return changing.fit(drawn_inputs(), run=run)
    return TextToImageGenerator(TextToImageConfig.model_validate(config)).fit(
        drawn_inputs(), run=run
    )


@pytest.mark.parametrize(
    "settings", [{}, {"method": "variation"}, {"method": "inpainting"}], ids=str
)
def test_a_pipeline_that_is_open_for_another_task_shares_its_models(
    settings: dict[str, Any], tiny_pipeline: Path, tmp_path: Path
) -> None:
    alone, both = (tiny(tiny_pipeline, tmp_path, **settings) for _ in range(2))
    start = drawn_inputs().train.pixels(np.array([0]))[0]
    requests = [SampleRequest(index=i, label=i % 3, seed=i) for i in range(5)]
    before = drawn(both.sample(requests))
    varied_after = drawn(both.vary(start, requests, strength=0.5))
    assert np.array_equal(varied_after, drawn(alone.vary(start, requests, strength=0.5)))
    assert np.array_equal(drawn(both.sample(requests)), before)
    assert np.array_equal(drawn(alone.sample(requests)), before)
    networks = {id(one.pipeline.unet) for one in both._pipelines.values()}
    assert len(networks) == 1


def drawn(batches: Any) -> UInt8:
    return np.concatenate([batch.pixels for batch in batches])


@pytest.mark.parametrize("strength", [0.01, 1 / 3, 1])
def test_at_least_one_step_is_taken(strength: float, tiny_pipeline: Path, tmp_path: Path) -> None:
    fitted = tiny(tiny_pipeline, tmp_path, sampler_steps=1)
    start = drawn_inputs().train.pixels(np.array([0]))[0]
    found = varied(fitted, start, [0, 0], strength=strength)
    assert not np.array_equal(found[0], found[1]), "each has its own noise"


def test_a_model_that_repaints_masks_is_refused(tmp_path: Path) -> None:
    from tests.pipelines import tiny_stable_diffusion

    fitted = tiny(tiny_stable_diffusion(tmp_path / "model", seen=9), tmp_path)
    with pytest.raises(InputError, match=r"(?s)start from an image alone.*sees 9 channels"):
        varied(fitted, np.zeros((16, 16, 3), np.uint8), [0], strength=0.5)
