from __future__ import annotations

from dataclasses import fields

import pytest

from synthlift.registry import ComponentConfig, available
from synthlift.testing.classifiers import CHECKS, Check
from synthlift.vision.classifiers.base import ImageTask

# timm's own default would be large; its smallest residual network shows the same contract.
CONFIGS: dict[str, list[dict[str, object]]] = {
    "small_cnn": [{}],
    "resnet": [{}, {"depth": 18, "width": 8}],
    "timm": [{"model": "test_resnet"}],
    "clip": [
        {"model": "transformers", "tuning": "zero_shot"},
        {"model": "transformers", "tuning": "lora"},
        {"model": "transformers", "tuning": "full"},
        {"model": "open_clip", "tuning": "lora"},
        {"model": "open_clip_bert", "tuning": "lora"},
    ],
}
CASES = [(kind, settings) for kind, several in CONFIGS.items() for settings in several]


def test_every_registered_classifier_is_tested() -> None:
    assert set(available("classifiers")) == set(CONFIGS)


def test_a_classifier_is_given_no_images_at_all() -> None:
    known = {"image_shape", "classes", "mean", "std", "names"}
    assert {field.name for field in fields(ImageTask)} == known


@pytest.fixture
def config(
    kind: str, settings: dict[str, object], request: pytest.FixtureRequest
) -> ComponentConfig:
    """The settings, with a checkpoint where the kind needs one: its libraries take seconds."""
    if kind == "clip":
        clips = request.getfixturevalue("tiny_clips")
        settings = {**settings, "model": str(clips[str(settings["model"])])}
    return available("classifiers")[kind].config.model_validate(settings)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "settings"), CASES, ids=lambda value: str(value))
def test_contract(
    kind: str, settings: dict[str, object], config: ComponentConfig, check: Check
) -> None:
    check(available("classifiers")[kind], config)
