from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthlift.generators.vae.generator import VAEFitted
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import ExposesLoss, ImageSet, SampleRequest
from tests.unit.generators.one_pass import DIGITS, digits, fit, inputs_of, pixels_of, recognised


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> VAEFitted:
    """Fitted on 300 digits."""
    pixels, labels = digits()
    train = ImageSet.from_arrays(pixels[:300], labels[:300], DIGITS)
    found = fit("vae", tmp_path_factory.mktemp("vae"), inputs_of(train), steps=400)
    assert isinstance(found, VAEFitted)
    return found


def test_digits_are_learnt_in_seconds(fitted: VAEFitted) -> None:
    by_unseen, by_samples = recognised(fitted, seen=300)
    assert by_unseen > 0.9
    assert by_samples > 0.85


def test_samples_of_a_class_differ_as_real_digits_do(fitted: VAEFitted) -> None:
    pixels, labels = digits()
    requests = [SampleRequest(index=i, label=int(k), seed=i) for i, k in enumerate(labels[:300])]
    drawn = pixels_of(fitted, requests)

    def spread(images: np.ndarray) -> float:
        return float(np.mean([images[labels[:300] == k].std(axis=0).mean() for k in range(10)]))

    assert spread(drawn) > 0.5 * spread(pixels[:300])
    assert len(np.unique(drawn.reshape(300, -1), axis=0)) == 300


def test_loss_is_repeatable_batch_free_and_tells_strange_images(fitted: VAEFitted) -> None:
    assert isinstance(fitted, ExposesLoss)
    pixels, labels = digits()
    images = ImageSet.from_arrays(pixels[:90], labels[:90], DIGITS)
    losses = fitted.loss(images, seed=4)
    assert losses.shape == (90,)
    assert np.isfinite(losses).all()
    np.testing.assert_array_equal(fitted.loss(images, seed=4), losses)
    part = fitted.loss(images.subset(np.arange(70, 75)), seed=4)
    np.testing.assert_array_equal(part, losses[70:75])
    strange = ImageSet.from_arrays(255 - pixels[:90], labels[:90], DIGITS)
    assert fitted.loss(strange, seed=4).mean() > losses.mean()
    nameless = fitted.loss(images.without_labels(), seed=4)
    assert np.isfinite(nameless).all()


def test_the_loss_falls_and_its_parts_are_told(tmp_path: Path) -> None:
    found = fit("vae", tmp_path, drawn_inputs(), steps=200, width=64)
    assert isinstance(found, VAEFitted)
    facts = found.facts()
    errors = np.array(facts["curves"]["reconstruction_error"])
    assert errors[-1, 0] == 200
    assert errors[-5:, 1].mean() < 0.5 * errors[0, 1]
    assert min(value for _, value in facts["curves"]["divergence"]) >= 0
    assert len(facts["losses"]) == 100
    assert "warnings" not in facts
