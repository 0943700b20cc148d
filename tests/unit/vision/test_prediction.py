from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.types import UInt8
from synthlift.vision.classifiers.base import ImageTask, build_network
from synthlift.vision.classifiers.descriptors import (
    RESNET,
    SMALL_CNN,
    ResNetConfig,
    SmallCNNConfig,
)
from synthlift.vision.prediction import (
    DESCRIPTION,
    Classifier,
    ClassifierFacts,
    load_classifier,
    save_classifier,
)


def _pixels(count: int, side: int = 20, channels: int = 3) -> UInt8:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def _classifier(kind: str, *, side: int = 20, channels: int = 3) -> Classifier:
    descriptor, config = (
        (SMALL_CNN, SmallCNNConfig()) if kind == "small_cnn" else (RESNET, ResNetConfig(depth=14))
    )
    task = ImageTask((side, side, channels), 4, (0.5,) * channels, (0.25,) * channels)
    facts = ClassifierFacts(
        kind=kind,
        config=config.model_dump(mode="json"),
        identity=descriptor.identity(),
        classes=("a", "b", "c", "d"),
        image_shape=task.image_shape,
        mean=task.mean,
        std=task.std,
        fit="crop",
        temperature=1.7,
        initialisation="trained from scratch",
    )
    return Classifier(build_network(descriptor, config, task=task, seed=3), facts)


@pytest.mark.parametrize("kind", ["small_cnn", "resnet"])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_a_prediction_does_not_depend_on_its_batch(kind: str, side: int, channels: int) -> None:
    torch.set_num_threads(1)
    classifier, pixels = (
        _classifier(kind, side=side, channels=channels),
        _pixels(70, side, channels),
    )
    for function in (classifier.logits, classifier.probabilities, classifier.features):
        whole = function(pixels)
        assert whole.dtype == np.float32
        shuffled = np.random.default_rng(1).permutation(70)
        np.testing.assert_array_equal(function(pixels[shuffled]), whole[shuffled])
        np.testing.assert_array_equal(function(pixels[66:67]), whole[66:67])
        np.testing.assert_array_equal(function(pixels[5:69]), whole[5:69])


@pytest.mark.parametrize("kind", ["small_cnn", "resnet"])
def test_saved_and_loaded_classifiers_agree_to_the_bit(tmp_path: Path, kind: str) -> None:
    classifier, pixels = _classifier(kind), _pixels(5)
    save_classifier(tmp_path, network=classifier.network, facts=classifier.facts)
    again = load_classifier(tmp_path)
    assert again.facts == classifier.facts
    np.testing.assert_array_equal(again(pixels), classifier.probabilities(pixels))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    assert (described["fit"], described["temperature"]) == ("crop", 1.7)


def test_probabilities_are_the_tempered_softmax() -> None:
    classifier, pixels = _classifier("small_cnn"), _pixels(9)
    expected = torch.softmax(torch.from_numpy(classifier.logits(pixels)).double() / 1.7, dim=1)
    np.testing.assert_allclose(classifier.probabilities(pixels), expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(classifier(pixels).sum(axis=1), 1, rtol=1e-6)


def test_no_images_give_no_rows() -> None:
    classifier = _classifier("small_cnn")
    assert classifier.probabilities(_pixels(0)).shape == (0, 4)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        _classifier("small_cnn").logits(_pixels(2, side=24))
    assert caught.value.given == "images of shape (2, 24, 24, 3)"
    assert "[n, 20, 20, 3]" in caught.value.rule


def test_a_folder_without_classifier_and_a_newer_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no classifier"):
        load_classifier(tmp_path)
    classifier = _classifier("small_cnn")
    save_classifier(tmp_path, network=classifier.network, facts=classifier.facts)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**described, "version": 99}))
    with pytest.raises(InputError, match="format version 99"):
        load_classifier(tmp_path)
