"""Class maps: what they mark is what the class was told by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from synthlift.types import Int64, UInt8
from synthlift.vision.classifiers.base import ImageTask, build_network, seeded
from synthlift.vision.classifiers.descriptors import (
    RESNET,
    SMALL_CNN,
    TIMM,
    ResNetConfig,
    SmallCNNConfig,
    TimmConfig,
)
from synthlift.vision.prediction import Classifier, ClassifierFacts
from synthlift.vision.saliency import evidence_inside, grad_cam, overlay

SIDE, OBJECT = 32, 10
CLASSES = ("nothing", "checks")


def draw(count: int, *, seed: int) -> tuple[UInt8, Int64, np.ndarray]:
    """Noise, in every second image with checks on it; also where these are [count, SIDE, SIDE]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(110, 25, (count, SIDE, SIDE, 1))
    places = np.zeros((count, SIDE, SIDE), bool)
    labels = np.arange(count) % 2
    checks = 60.0 * (-1) ** (np.add.outer(np.arange(OBJECT) // 2, np.arange(OBJECT) // 2))
    for i in np.flatnonzero(labels):
        top, left = rng.integers(0, SIDE - OBJECT, 2)
        box = (i, slice(top, top + OBJECT), slice(left, left + OBJECT))
        images[box][..., 0] += checks
        places[box] = True
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels.astype(np.int64), places


def build(kind: str, *, side: int = SIDE) -> Classifier:
    known = {
        "small_cnn": (SMALL_CNN, SmallCNNConfig()),
        "resnet": (RESNET, ResNetConfig(depth=8)),
        "vit": (TIMM, TimmConfig(model="vit_tiny_patch16_224", input_size=32)),
    }
    descriptor, config = known[kind]
    task = ImageTask((side, side, 1), 2, (0.4,), (0.2,))
    facts = ClassifierFacts(
        kind=descriptor.kind,
        config=config.model_dump(mode="json"),
        identity=descriptor.identity(),
        classes=CLASSES,
        image_shape=task.image_shape,
        mean=task.mean,
        std=task.std,
    )
    return Classifier(build_network(descriptor, config, task=task, seed=1), facts)


def train(classifier: Classifier) -> None:
    pixels, labels, _ = draw(512, seed=1)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    answers = torch.from_numpy(labels)
    network = classifier.network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    with seeded(3):
        for step in range(120):
            rows = slice(64 * (step % 8), 64 * (step % 8) + 64)
            loss = F.cross_entropy(network(images[rows]), answers[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    network.eval()


def test_the_energy_lies_on_the_drawn_object() -> None:
    torch.set_num_threads(1)
    classifier = build("small_cnn")
    train(classifier)
    pixels, labels, places = draw(60, seed=9)
    assert (classifier.probabilities(pixels).argmax(axis=1) == labels).mean() > 0.95
    shown = labels == 1
    pixels, labels, places = pixels[shown], labels[shown], places[shown]
    maps = grad_cam(classifier, pixels, classes=labels)
    assert maps is not None
    assert maps.shape == (30, SIDE, SIDE)
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1)
    # Cells of the map are nearly as large as the object, so that it is grown by half a cell.
    near = np.stack([_grown(place) for place in places])
    energy = (maps * near).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    inside = [
        evidence_inside(one, box.astype(np.uint8)) for one, box in zip(maps, near, strict=True)
    ]
    assert inside == pytest.approx(energy.tolist(), rel=1e-5)
    assert evidence_inside(np.zeros_like(maps[0]), near[0].astype(np.uint8)) is None
    by_chance = near.mean(axis=(1, 2))
    elsewhere = (maps * np.roll(near, 1, axis=0)).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    assert np.median(energy) > 0.45
    assert np.median(energy / by_chance) > 1.6
    # Boxes of other images overlap this one's, so that they hold some of its energy, too.
    assert np.median(energy) > 1.25 * np.median(elsewhere), "the map follows the object"
    highest = [near[i].reshape(-1)[one.argmax()] for i, one in enumerate(maps)]
    assert np.mean(highest) > 2 * by_chance.mean(), "the peak lies on the object"


def _grown(place: np.ndarray, by: int = 4) -> np.ndarray:
    rows, columns = np.nonzero(place)
    grown = np.zeros_like(place)
    top, left = max(0, rows.min() - by), max(0, columns.min() - by)
    grown[top : rows.max() + by + 1, left : columns.max() + by + 1] = True
    return grown


def test_with_average_pooling_it_is_grad_cam_as_published() -> None:
    classifier = build("resnet")
    pixels, labels, _ = draw(3, seed=4)
    maps = grad_cam(classifier, pixels, classes=labels)
    trunk = classifier.network.trunk
    assert isinstance(trunk, torch.nn.Sequential)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    last = trunk[:-2]((images - classifier.network.mean) / classifier.network.std)
    logits = classifier.network.head(last.mean(dim=(2, 3)))
    (slopes,) = torch.autograd.grad(logits[torch.arange(3), labels].sum(), last)
    weights = slopes.mean(dim=(2, 3), keepdim=True)  # eq. 1
    coarse = torch.relu((weights * last).sum(dim=1, keepdim=True))  # eq. 2
    fine = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    fine = fine / fine.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    assert np.abs(fine.detach().numpy() - maps).max() < 1e-4


def test_a_map_leaves_the_model_as_it_was_and_does_not_depend_on_other_pictures() -> None:
    classifier = build("resnet")
    pixels, labels, _ = draw(4, seed=2)
    before = classifier.logits(pixels)
    together = grad_cam(classifier, pixels, classes=labels)
    assert together is not None
    (alone,) = grad_cam(classifier, pixels[1:2], classes=labels[1:2])  # type: ignore[misc]
    assert np.abs(together[1] - alone).max() < 1e-3
    assert (classifier.logits(pixels) == before).all()
    assert all(one.grad is None for one in classifier.network.parameters())


def test_the_tiny_digits_have_a_map_and_a_transformer_has_none() -> None:
    pixels, labels, _ = draw(2, seed=2)
    small = build("small_cnn", side=8)
    assert grad_cam(small, pixels[:, :8, :8], classes=labels) is not None
    assert grad_cam(build("vit"), pixels, classes=labels) is None


def test_an_overlay_shows_the_picture_and_is_brightest_where_the_map_is() -> None:
    pixels, _, _ = draw(1, seed=2)
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[8:16, 8:16] = 1
    laid = overlay(pixels[0], heat)
    assert laid.shape == (192, 192, 3)
    light = laid.astype(int).sum(axis=2)
    assert light[60:84, 60:84].min() > light[120:, 120:].max()
    enlarged = np.kron(pixels[0, 20:, 20:, 0], np.ones((6, 6)))
    assert np.corrcoef(light[120:, 120:].ravel(), enlarged.ravel())[0, 1] > 0.95
