from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from synthlift.errors import InputError
from synthlift.generators.translation.config import TranslationConfig, settle
from synthlift.generators.translation.likeness import signal_to_noise, similarity
from synthlift.generators.translation.networks import build_heads, build_translator, plan_network
from synthlift.generators.translation.training import contrastive_loss, moved
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import (
    FitInputs,
    GuardedPixels,
    ImageSet,
)
from tests.unit.generators.translating import (
    MODES,
    TINY,
    fit,
    requests_of,
)

# ── the parts ─────────────────────────────────────────────────────────────────────────────────


def test_similarity_is_that_of_the_formula_place_by_place() -> None:
    """Wang 2004, eq. 13, by loops over windows with NumPy's own variance."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (3, 9, 12, 3)).astype(np.uint8)
    second = np.clip(first + rng.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = []
    for a, b in zip(first.astype(float), second.astype(float), strict=True):
        values = []
        for channel in range(3):
            for down in range(3):
                for right_ in range(6):
                    x = a[down : down + 7, right_ : right_ + 7, channel].ravel()
                    y = b[down : down + 7, right_ : right_ + 7, channel].ravel()
                    both = np.cov(x, y)
                    top = (2 * x.mean() * y.mean() + c1) * (2 * both[0, 1] + c2)
                    low = x.mean() ** 2 + y.mean() ** 2 + c1
                    values.append(top / (low * (both[0, 0] + both[1, 1] + c2)))
        expected.append(np.mean(values))
    assert similarity(first, second) == pytest.approx(expected, abs=1e-9)
    assert similarity(first, first) == pytest.approx([1, 1, 1])
    assert similarity(first[:, :4, :4], first[:, :4, :4]) == pytest.approx([1, 1, 1])


def test_signal_to_noise_is_in_decibels() -> None:
    black = np.zeros((2, 4, 4, 1), np.uint8)
    other = np.array([255, 1], np.uint8)[:, None, None, None] + black
    assert signal_to_noise(black, other) == pytest.approx([0, 48.1308], abs=1e-3)
    assert np.isinf(signal_to_noise(black, black)).all()


def test_the_contrastive_loss_is_small_where_places_are_kept() -> None:
    config = settle(TranslationConfig(source="./x"), examples=9, image_shape=(8, 8, 1))
    plan = plan_network(config, image_shape=(8, 8, 1), conditions=(3,))
    translator, heads = build_translator(plan, seed=0), build_heads(plan, seed=1)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def loss(after: torch.Tensor) -> float:
        stream = torch.Generator().manual_seed(2)
        with torch.no_grad():
            found = contrastive_loss(translator, heads, before=images, after=after, stream=stream)
        return float(found)

    kept, scattered = loss(images), loss(images.flip(2))
    assert kept < scattered
    assert scattered > np.log(16)


def test_pairs_move_by_whole_pixels_alike() -> None:
    stream = torch.Generator().manual_seed(0)
    image = torch.arange(16 * 16.0).view(1, 1, 16, 16).repeat(50, 2, 1, 1)
    found = moved(image, share=1.0, stream=stream)
    assert torch.equal(found[:, 0], found[:, 1])
    inner = found[:, 0, 4:12, 4:12] - image[:, 0, 4:12, 4:12]
    shifts = inner.flatten(1)
    assert torch.equal(shifts.min(1).values, shifts.max(1).values)
    assert {float(v) for v in shifts[:, 0]} <= {
        float(16 * down + right_) for down in range(-2, 3) for right_ in range(-2, 3)
    }
    assert len({float(v) for v in shifts[:, 0]}) > 10
    assert torch.equal(moved(image, share=0.0, stream=stream), image)


# ── bad input ─────────────────────────────────────────────────────────────────────────────────


def refused(tmp_path: Path, inputs: FitInputs, *words: str, **settings: Any) -> None:
    with pytest.raises(InputError) as caught:
        fit(tmp_path, inputs, **TINY, **settings)
    for word in words:
        assert word in str(caught.value)


def test_missing_or_empty_masks_are_refused(tmp_path: Path) -> None:
    inputs = drawn_inputs()
    refused(tmp_path, replace(inputs, masks=None), "no masks", "data.masks", source="masks")
    none = GuardedPixels(np.zeros((48, 8, 8, 1), np.uint8), np.arange(48))
    refused(tmp_path, replace(inputs, masks=none), "marks anything", source="masks")


def test_pairs_that_cannot_be_found_are_refused_with_counts_and_names(tmp_path: Path) -> None:
    inputs = drawn_inputs()
    source = inputs.sources["source"]
    strange = replace(inputs, sources={"source": inputs.sources["pool"]})
    words = (
        "none of 48 source images ('further_6_0', ",
        "and 43 more",
        "'train_0'",
        "pairing: none",
    )
    refused(tmp_path, strange, *words, **MODES["by name"])
    ids = np.array([f"a/{n}" for n in source.ids[:48]] + [f"b/{n}" for n in source.ids[:48]])
    twice = replace(source, ids=ids, labels=np.concatenate([source.labels[:48]] * 2))
    both = ("two source images of class 'disc' are called 'train_0'", "a/train_0 and b/train_0")
    refused(tmp_path, replace(inputs, sources={"source": twice}), *both, **MODES["by name"])


def test_a_source_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    inputs = drawn_inputs()
    source = inputs.sources["source"]

    def given(one: ImageSet) -> FitInputs:
        return replace(inputs, sources={"source": one})

    nothing = given(source.subset(np.arange(0)))
    refused(tmp_path, nothing, "'./x' has no image left", **MODES["unpaired"])
    refused(tmp_path, given(source.without_labels()), "has no image left", **MODES["unpaired"])
    other = replace(source, labels=np.full(len(source), 3, np.int64))
    words = ("has images of 'never_seen'", "of 'disc', 'bars', 'ramp'", "under 'classes'")
    refused(tmp_path, given(other), *words, **MODES["unpaired"])
    large = ImageSet.from_arrays(np.zeros((3, 9, 8, 1), np.uint8), [0, 1, 2], source.classes)
    refused(tmp_path, given(large), "9 × 8 × 1, training images of 8 × 8 × 1", **MODES["unpaired"])


def test_what_cannot_be_asked_for_is_refused(tmp_path: Path) -> None:
    fitted = fit(tmp_path, drawn_inputs(), **TINY, **MODES["unpaired"])
    for label in (-1, 4):
        with pytest.raises(InputError, match=f"wants class {label}"):
            list(fitted.sample(requests_of(label, 1)))
    with pytest.raises(InputError, match="sets attribute 'tone'"):
        list(fitted.sample(requests_of(0, 1, attributes={"tone": "dark"})))
    with pytest.raises(InputError, match="sets 'strength'"):
        list(fitted.sample(requests_of(0, 1, params={"strength": 1})))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source": "masks", "classes": {"a": "b"}}, "'classes' describes a folder or table"),
        ({"source": "masks", "change": 0}, "makes the same image again"),
        ({"source": "./x", "variations": 2, "change": 0}, "makes the same image again"),
        ({"source": "./x", "pairing": "nam"}, "'none' or 'name'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        TranslationConfig.model_validate(settings)


def test_settings_are_settled_and_told_to_a_planner() -> None:
    config = TranslationConfig(source="./x")
    few, many = (config.automatic_steps(examples=n, image_shape=(8, 8, 1)) for n in (5, 100_000))
    assert few is not None
    assert many is not None
    assert 0 < few < many
    assert config.monitored_images(examples=5, image_shape=(8, 8, 1)) == 10 * 128
    assert settle(config, examples=5, image_shape=(8, 8, 1)).variations == 1
    paired = TranslationConfig(source="masks")
    assert settle(paired, examples=5, image_shape=(64, 64, 3)).variations == 10
    assert paired.pools() == {}
    assert paired.wants_masks()
    assert config.pools()["source"]["source"] == "./x"
