from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.batches import Batch, draw_times, training_batches
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.learning.examples import (
    Examples,
    apply_augmentation,
    draw_augmentation,
    load_examples,
    to_pixels,
    to_unit,
)
from synthlift.testing.inputs import draw_images
from synthlift.types import UNLABELLED, ImageSet

CLASSES = ("disc", "bars", "ramp")


def _examples(labels: np.ndarray | None = None, *, class_balance: float = 0.0) -> Examples:
    pixels, drawn = draw_images(30, seed=0)
    images = ImageSet.from_arrays(pixels, drawn if labels is None else labels, CLASSES)
    return load_examples(images, Vocabulary.of(images), class_balance=class_balance, device="cpu")


def training_batch(examples: Examples, config: FlowConfig, *, seed: int, step: int) -> Batch:
    return next(training_batches(examples, config, seed=seed, steps=range(step, step + 1)))


def test_pixels_survive_the_way_to_floats_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(to_unit(every)), every)
    assert [float(to_unit(every).min()), float(to_unit(every).max())] == [-1, 1]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    examples, config = _examples(), FlowConfig(batch_size=16, augmentation=0.5)
    first = training_batch(examples, config, seed=1, step=7)
    again = training_batch(examples, config, seed=1, step=7)
    assert torch.equal(first.x_nchw, again.x_nchw)
    assert torch.equal(first.wanted_nk, again.wanted_nk)
    for seed, step in ((1, 8), (2, 7)):
        other = training_batch(examples, config, seed=seed, step=step)
        assert not torch.equal(first.x_nchw, other.x_nchw)


def test_the_target_is_noise_minus_image() -> None:
    config = FlowConfig(batch_size=64, augmentation=0, label_dropout=0, guidance_scale=1)
    examples = _examples()
    batch = training_batch(examples, config, seed=0, step=0)
    t = batch.times_n[:, None, None, None]
    images = batch.x_nchw - t * batch.target_nchw
    assert examples.pixels_nchw is not None
    known = {image.numpy().tobytes() for image in examples.pixels_nchw}
    assert all(image.numpy().tobytes() in known for image in to_pixels(images))


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.9), (0.5, 0.75), (1.0, 0.5)])
def test_class_balance_tempers_a_long_tail(balance: float, share: float) -> None:
    examples = _examples(np.repeat([0, 1], [27, 3]), class_balance=balance)
    assert float(examples.weights_n[:27].sum()) == pytest.approx(share)


@pytest.mark.parametrize(
    ("cells", "shares"), [(False, [0.45, 0.05, 0.5]), (True, [1 / 3, 1 / 3, 1 / 3])]
)
def test_cells_are_balanced_where_that_is_wanted(cells: bool, shares: list[float]) -> None:
    """18 light and 2 dark discs, 10 light bars."""
    pixels, _ = draw_images(30, seed=0)
    images = ImageSet.from_arrays(pixels, np.repeat([0, 1], [20, 10]), CLASSES)
    tones = np.array(["light"] * 18 + ["dark"] * 2 + ["light"] * 10)
    images = replace(images, attributes={"tone": tones})
    examples = load_examples(
        images, Vocabulary.of(images, ("tone",)), class_balance=1.0, device="cpu", cells=cells
    )
    found = [float(examples.weights_n[a:b].sum()) for a, b in ((0, 18), (18, 20), (20, 30))]
    assert found == pytest.approx(shares)


def test_images_without_a_label_train_the_unconditional_model() -> None:
    examples = _examples(np.repeat([0, UNLABELLED], [10, 20]))
    assert examples.wanted_nk[:, 0].tolist() == [0] * 10 + [3] * 20


def test_labels_are_dropped_at_the_stated_rate() -> None:
    config = FlowConfig(batch_size=2000, label_dropout=0.2, augmentation=0)
    labels = training_batch(_examples(), config, seed=0, step=0).wanted_nk
    assert float((labels == 3).double().mean()) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("kind", ["uniform", "logit_normal", "log_normal"])
def test_times_have_the_stated_distribution(kind: str) -> None:
    times = draw_times(4000, kind=kind, stream=torch.Generator().manual_seed(0))
    assert float(times.min()) >= 0
    assert float(times.max()) <= 1
    quartile = {
        "uniform": 0.25,
        "logit_normal": 1 / (1 + np.exp(0.6745)),
        "log_normal": 1 / (1 + np.exp(1.2 + 1.2 * 0.6745)),
    }[kind]
    assert float(times.double().quantile(0.25)) == pytest.approx(quartile, abs=0.005)


def test_augmentation_moves_by_the_stated_amounts_and_zero_changes_nothing() -> None:
    image = torch.zeros(4, 1, 16, 16)
    image[:, :, 8, 8] = 1
    amounts = torch.zeros(4, 4)
    amounts[1, 0] = -1  # 2 of 16 pixels along the first axis
    amounts[2, 1] = -1  # … and along the second
    amounts[3, 3] = 1
    moved = apply_augmentation(image, amounts)
    assert torch.equal(moved[0], image[0])
    assert moved[1, 0, 10, 8] == pytest.approx(1, abs=1e-4)
    assert moved[2, 0, 8, 10] == pytest.approx(1, abs=1e-4)
    assert not torch.equal(moved[3], image[3])


def test_half_of_the_examples_are_mirrored_where_that_is_wanted() -> None:
    config = FlowConfig(batch_size=256, augmentation=0, flip="yes")
    examples = _examples()
    batch = training_batch(examples, config, seed=0, step=0)
    images = to_pixels(batch.x_nchw - batch.times_n[:, None, None, None] * batch.target_nchw)
    assert examples.pixels_nchw is not None
    known = {image.numpy().tobytes() for image in examples.pixels_nchw}
    turned = {image.numpy().tobytes() for image in examples.pixels_nchw.flip(3)}
    drawn = [image.numpy().tobytes() for image in images]
    assert set(drawn) <= known | turned
    assert 0.4 < np.mean([image in known for image in drawn]) < 0.6


def test_turning_an_oblong_image_keeps_its_shape_square() -> None:
    down, right = np.mgrid[:16, :48]
    blob = np.exp(-((down - 7.5) ** 2 + (right - 23.5) ** 2) / 18).astype(np.float32)
    turned = apply_augmentation(torch.from_numpy(blob)[None, None], torch.tensor([[0.0, 0, 1, 0]]))
    assert float((turned[0, 0] - torch.from_numpy(blob)).abs().max()) < 0.04


def test_augmentation_is_drawn_for_the_stated_share() -> None:
    amounts = draw_augmentation(2000, share=0.3, stream=torch.Generator().manual_seed(0))
    used = (amounts != 0).any(dim=1).double().mean()
    assert float(used) == pytest.approx(0.3, abs=0.04)
    assert float(amounts.abs().max()) <= 1
