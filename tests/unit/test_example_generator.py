"""The very example of CONTRIBUTING.md, used as a study would use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from synthlift import registry
from synthlift.registry import descriptor, load_plugin
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "my_generator.py"


@pytest.fixture(scope="module")
def inputs() -> FitInputs:
    digits = load_digits()
    pixels = (digits.images[:300] * 15).astype(np.uint8)[..., np.newaxis]
    images = ImageSet.from_arrays(pixels, digits.target[:300], [str(d) for d in range(10)])
    names = np.array(["locked"])
    return FitInputs(
        train=images.subset(np.arange(200)),
        validation=images.subset(np.arange(200, 300)),
        test=LockedTest(ids=names, groups=names, hashes=names),
    )


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_plugins", {})
    load_plugin(EXAMPLE)
    found = descriptor("generators", "class_gaussian")
    return found.build(found.config.model_validate({"spread": 0.8}))


def sampled(fitted: Any, requests: list[SampleRequest]) -> UInt8:
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def test_the_example_learns_samples_and_comes_back_from_disk(
    generator: Any, inputs: FitInputs, tmp_path: Path
) -> None:
    fitted = generator.fit(inputs, run=RunContext(folder=tmp_path, seed=0))
    requests = [SampleRequest(index=i, label=i % 10, seed=1000 + i) for i in range(40)]
    pixels = sampled(fitted, requests)
    assert pixels.shape == (40, *fitted.image_shape) == (40, 8, 8, 1)
    assert pixels.dtype == np.uint8
    labels = np.concatenate([batch.labels for batch in fitted.sample(requests)])
    assert labels.tolist() == [request.label for request in requests]

    alone = np.concatenate([sampled(fitted, [request]) for request in reversed(requests)])[::-1]
    assert np.array_equal(alone, pixels)  # neither batch nor order changes a pixel

    fitted.save(tmp_path / "saved")
    assert np.array_equal(sampled(generator.load(tmp_path / "saved"), requests), pixels)


def test_the_example_draws_the_class_that_was_asked(
    generator: Any, inputs: FitInputs, tmp_path: Path
) -> None:
    fitted = generator.fit(inputs, run=RunContext(folder=tmp_path, seed=0))
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(200)]
    flat = sampled(fitted, requests).reshape(200, -1).astype(float)
    train = inputs.train.pixels().reshape(200, -1).astype(float)
    nearest = ((flat[:, None] - train[None]) ** 2).sum(axis=2).argmin(axis=1)
    agreement = (inputs.train.labels[nearest] == np.array([r.label for r in requests])).mean()
    assert agreement > 0.95


def test_contributing_shows_the_file_as_it_is() -> None:
    assert EXAMPLE.read_text() in (ROOT / "CONTRIBUTING.md").read_text()
