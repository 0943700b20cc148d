"""A batch is as large as it pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from synthlift.registry import descriptor
from synthlift.vision.batching import TOGETHER, sized, threads_for
from synthlift.vision.classifiers.base import build_network
from synthlift.vision.prediction import Classifier, ClassifierFacts


def classifier_of(kind: str, size: int, **config: Any) -> Classifier:
    component = descriptor("classifiers", kind)
    facts = ClassifierFacts(
        kind=kind,
        config=config,
        identity="",
        classes=("a", "b"),
        image_shape=(size, size, 3),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    settings = component.config.model_validate(config)
    network = build_network(component, settings, task=facts.task, seed=0, pretrained=False)
    return Classifier(network, facts)


@pytest.mark.parametrize(
    ("kind", "size", "config", "together", "threads"),
    [
        ("small_cnn", 8, {}, TOGETHER, 1),
        ("small_cnn", 64, {}, TOGETHER, 1),
        ("resnet", 128, {"depth": 18}, 1, 3),
    ],
)
def test_only_small_networks_compute_pictures_together(
    kind: str, size: int, config: dict[str, Any], together: int, threads: int
) -> None:
    classifier = sized(classifier_of(kind, size, **config))
    assert classifier.micro_batch == together
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_for(classifier):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)


@pytest.mark.parametrize("kind", ["small_cnn", "resnet"])
def test_the_order_of_its_numbers_changes_no_answer(kind: str) -> None:
    plain, served = classifier_of(kind, 64), sized(classifier_of(kind, 64))
    pixels = np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3)).astype(np.uint8)
    together = served.probabilities(pixels)
    assert np.allclose(together, plain.probabilities(pixels), atol=1e-5)
    alone = np.concatenate([served.probabilities(pixels[i : i + 1]) for i in range(11)])
    assert np.array_equal(alone, together), "whatever a picture's company"
