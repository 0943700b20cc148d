"""What every filter component must satisfy; third parties run it on their own descriptor.

from synthlift.testing.filters import CHECKS

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_my_filter(check):
    check(MY_DESCRIPTOR, MyConfig())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.testing.inputs import (
    assert_never_opened,
    draw_images,
    drawn_inputs,
    global_random_state_untouched,
)
from synthlift.types import Filter, FilterInputs, Float32, ImageBatch, ImageSet, Scorer, UInt8
from synthlift.vision.encoders import CallableEncoder

Check = Callable[[Descriptor, ComponentConfig], None]

MOST = 0.5
STRENGTHS = ("off", "light", "medium", "strong")


def filter_inputs() -> FilterInputs:
    """Drawn images, pixels as features, and a classifier that compares with class means."""
    inputs = drawn_inputs()
    pixels, labels = draw_images(60, seed=3)
    return FilterInputs(
        train=inputs.train,
        validation=inputs.validation,
        test=inputs.test,
        encoder=CallableEncoder("pixels", _flat),
        reference=ImageBatch(pixels=pixels, labels=labels),
        scorer=_mean_scorer(inputs.train),
        texts=_MeanMatch(inputs.train),
    )


def _flat(pixels: UInt8) -> Float32:
    return np.asarray(pixels.reshape(len(pixels), -1) / 255, dtype=np.float32)


def _mean_scorer(train: ImageSet) -> Scorer:
    features = _flat(train.pixels())
    means = np.stack([features[train.labels == label].mean(axis=0) for label in range(3)])

    def score(pixels: UInt8) -> Float32:
        gaps = ((_flat(pixels)[:, None] - means) ** 2).sum(axis=2)
        likely = np.exp(-(gaps - gaps.min(axis=1, keepdims=True)))
        none = np.zeros((len(pixels), len(train.classes) - 3))
        shares = np.hstack([likely / likely.sum(axis=1, keepdims=True), none])
        return np.asarray(shares, dtype=np.float32)

    return score


class _MeanMatch:
    """Stands for a CLIP checkpoint: the text of a class is the mean of its images.

    Args:
        train: labelled images.
    """

    def __init__(self, train: ImageSet) -> None:
        features = _flat(train.pixels())
        self._mean = features.mean(axis=0)
        means = [features[train.labels == label].mean(axis=0) for label in range(3)]
        self._texts = np.stack(means + [self._mean] * (len(train.classes) - 3)) - self._mean

    def classes(self, pixels: UInt8) -> Float32:
        """Cosines [n, K]."""
        seen = (_flat(pixels) - self._mean)[:, None]
        lengths = np.sqrt((seen**2).sum(axis=2) * (self._texts**2).sum(axis=1)) + 1e-6
        return np.asarray((seen * self._texts).sum(axis=2) / lengths, dtype=np.float32)

    def prompts(self, pixels: UInt8, prompts: Sequence[str]) -> Float32:
        """Cosines [n]; a prompt is the index of a class."""
        every = self.classes(pixels)
        return np.asarray(every[np.arange(len(pixels)), [int(one) for one in prompts]])


def _calibrated(descriptor: Descriptor, config: ComponentConfig) -> Filter:
    judge: Filter = descriptor.build(config)
    judge.calibrate(filter_inputs())
    return judge


def _mixture() -> ImageBatch:
    """New images, training images and images under a wrong label."""
    pixels, labels = draw_images(24, seed=4)
    train = filter_inputs().train
    wrong = (labels[:6] + 1) % 3
    return ImageBatch(
        pixels=np.concatenate([pixels, train.pixels(np.arange(6)), pixels[:6]]),
        labels=np.concatenate([labels, train.labels[:6], wrong]),
    )


def gives_one_verdict_per_image(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Scores lie in [0, 1]; a reason stands exactly where an image is rejected."""
    batch = _mixture()
    verdicts = _calibrated(descriptor, config).judge(batch)
    assert len(verdicts) == len(batch)
    for verdict in verdicts:
        assert 0 <= verdict.score <= 1
        assert isinstance(verdict.flagged, bool)
        assert bool(verdict.reason) == verdict.flagged, f"reason '{verdict.reason}'"


def judges_each_image_alone(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The verdict is the same alone, in company and in any order."""
    judge, batch = _calibrated(descriptor, config), _mixture()
    together = judge.judge(batch)
    order = np.arange(len(batch))[::-1]
    assert judge.judge(ImageBatch(batch.pixels[order], batch.labels[order]))[::-1] == together
    for row, verdict in enumerate(together):
        alone = ImageBatch(batch.pixels[row : row + 1], batch.labels[row : row + 1])
        assert judge.judge(alone) == [verdict], f"image {row} is judged differently alone"


def calibration_is_repeatable(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Two calibrations on the same inputs judge alike: thresholds need not be saved."""
    first, second = _calibrated(descriptor, config), _calibrated(descriptor, config)
    assert first.judge(_mixture()) == second.judge(_mixture())


def spares_most_new_images(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Fresh images of the same kind are not rejected wholesale, in no class."""
    pixels, labels = draw_images(60, seed=6)
    verdicts = _calibrated(descriptor, config).judge(ImageBatch(pixels, labels))
    flagged = np.array([verdict.flagged for verdict in verdicts])
    for label in range(3):
        assert flagged[labels == label].mean() <= MOST, f"class {label} is starved"


def leaves_global_random_state(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Calibrating and judging draw nothing from anyone else's random numbers."""
    with global_random_state_untouched():
        _calibrated(descriptor, config).judge(_mixture())


def never_reaches_for_the_test(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Neither calibrating nor judging asks the locked test set for pixels or labels."""
    inputs = filter_inputs()
    judge: Filter = descriptor.build(config)
    judge.calibrate(inputs)
    judge.judge(_mixture())
    assert_never_opened(inputs.test)


def config_survives_json(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The Config survives JSON: it is part of keys."""
    assert type(config).model_validate_json(config.model_dump_json()) == config
    assert isinstance(config, descriptor.config)


def strengths_reject_more_and_more(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Strengths, where there are any, are valid settings with known names, the weakest first."""
    found = config.strengths()
    assert list(found) == [name for name in STRENGTHS if name in found]
    rejected = []
    for settings in found.values():
        stronger = descriptor.config.model_validate({**config.model_dump(), **settings})
        verdicts = _calibrated(descriptor, stronger).judge(_mixture())
        rejected.append(sum(verdict.flagged for verdict in verdicts))
    assert rejected == sorted(rejected), f"rejected at each strength: {rejected}"


CHECKS: tuple[Check, ...] = (
    gives_one_verdict_per_image,
    judges_each_image_alone,
    calibration_is_repeatable,
    spares_most_new_images,
    leaves_global_random_state,
    never_reaches_for_the_test,
    config_survives_json,
    strengths_reject_more_and_more,
)


def check_filter(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Run the whole suite.

    Raises:
        AssertionError: the contract is broken; the message says how.
    """
    for check in CHECKS:
        check(descriptor, config)
