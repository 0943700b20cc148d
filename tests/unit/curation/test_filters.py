from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from synthlift.curation.class_agreement import ClassAgreement
from synthlift.curation.config import (
    ClassAgreementConfig,
    ExactDuplicatesConfig,
    NearCopiesConfig,
)
from synthlift.curation.exact_duplicates import ExactDuplicates
from synthlift.curation.near_copies import NearCopies
from synthlift.errors import InputError
from synthlift.types import (
    Filter,
    FilterInputs,
    Float32,
    ImageBatch,
    ImageSet,
    LockedTest,
    UInt8,
)
from synthlift.vision import features
from synthlift.vision.encoders import RandomConvolutions
from tests.unit.counted import counted

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def every() -> ImageSet:
    digits = load_digits()
    pixels = (digits.images * 15).astype(np.uint8)[..., np.newaxis]
    ids = [f"digit_{i}" for i in range(len(pixels))]
    return ImageSet.from_arrays(pixels, digits.target, CLASSES, ids=ids)


@pytest.fixture(scope="module")
def inputs(every: ImageSet) -> FilterInputs:
    names = np.array(["locked"])
    return FilterInputs(
        train=every.subset(np.arange(600)),
        validation=every.subset(np.arange(600, 1000)),
        test=LockedTest(ids=names, groups=names, hashes=names),
        encoder=RandomConvolutions(),
    )


def _batch(images: ImageSet, rows: slice) -> ImageBatch:
    part = images.subset(np.arange(len(images))[rows])
    return ImageBatch(part.pixels(), part.labels)


def test_exact_duplicates_names_the_first_original(every: ImageSet, inputs: FilterInputs) -> None:
    judge = ExactDuplicates(ExactDuplicatesConfig())
    doubled = inputs.train.subset(np.array([5, 6, 5]))
    judge.calibrate(replace(inputs, train=doubled))
    pixels = every.pixels()[[5, 5, 7]] + np.array([0, 1, 0], np.uint8).reshape(3, 1, 1, 1)
    copy, near, new = judge.judge(ImageBatch(pixels, np.zeros(3, int)))
    assert (copy.flagged, copy.score) == (True, 0.0)
    assert copy.reason == "same pixels as training image digit_5"
    assert not near.flagged
    assert (new.flagged, new.score, new.reason) == (False, 1.0, "")


def test_near_copies_finds_disturbed_copies_and_names_them(
    every: ImageSet, inputs: FilterInputs
) -> None:
    judge = NearCopies(NearCopiesConfig())
    judge.calibrate(inputs)
    noise = np.random.default_rng(0).normal(0, 5, (100, 8, 8, 1))
    train = inputs.train.pixels(np.arange(100))
    copies = np.clip(train + noise, 0, 255).astype(np.uint8)
    verdicts = judge.judge(ImageBatch(copies, inputs.train.labels[:100]))
    found = [v for v in verdicts if v.flagged]
    assert len(found) >= 97
    named = sum(v.reason == f"copy of training image digit_{i}" for i, v in enumerate(verdicts))
    assert named >= 95
    assert max(v.score for v in found) <= 0.02


def test_near_copies_spares_new_real_images(every: ImageSet, inputs: FilterInputs) -> None:
    judge = NearCopies(NearCopiesConfig())
    judge.calibrate(inputs)
    verdicts = judge.judge(_batch(every, slice(1000, None)))
    assert np.mean([v.flagged for v in verdicts]) <= 0.03
    assert np.mean([v.score for v in verdicts]) > 0.3


def test_near_copies_off_rejects_nothing(inputs: FilterInputs) -> None:
    judge = NearCopies(NearCopiesConfig(quantile=0, relative=0))
    judge.calibrate(inputs)
    verdicts = judge.judge(ImageBatch(inputs.train.pixels(), inputs.train.labels))
    assert not any(v.flagged for v in verdicts)


def test_near_copies_without_validation_says_what_to_do(inputs: FilterInputs) -> None:
    empty = replace(inputs, validation=inputs.validation.subset(np.zeros(0, dtype=np.intp)))
    with pytest.raises(InputError, match="got no validation images") as caught:
        NearCopies(NearCopiesConfig()).calibrate(empty)
    assert "data.split.validation" in caught.value.remedy


def _brightness(pixels: UInt8) -> Float32:
    """Probability of class 0 = brightness, of class 1 = darkness."""
    bright = pixels.reshape(len(pixels), -1).mean(axis=1) / 255
    return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


def _agreement(
    inputs: FilterInputs, levels: list[int], labels: list[int], keep: float
) -> ClassAgreement:
    judge = ClassAgreement(ClassAgreementConfig(keep=keep))
    reference = _levels(levels, labels)
    judge.calibrate(replace(inputs, reference=reference, scorer=_brightness))
    return judge


def _levels(levels: list[int], labels: list[int]) -> ImageBatch:
    pixels = np.array(levels, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    return ImageBatch(pixels, np.array(labels))


@pytest.mark.parametrize(("keep", "rejected"), [(1.0, 0), (0.9, 2), (0.5, 10)])
def test_agreement_keeps_the_same_share_of_easy_and_hard_classes(
    inputs: FilterInputs, keep: float, rejected: int
) -> None:
    # Class 0 is believed at 0.80 to 0.88, class 1 only at 0.02 to 0.09.
    levels = [205 + i for i in range(20)] + [250 - i for i in range(20)]
    labels = [0] * 20 + [1] * 20
    judge = _agreement(inputs, levels, labels, keep)
    flagged = np.array([v.flagged for v in judge.judge(_levels(levels, labels))])
    assert [flagged[:20].sum(), flagged[20:].sum()] == [rejected, rejected]
    assert flagged[:rejected].all()
    assert flagged[20 : 20 + rejected].all()


def test_agreement_uses_thresholds_of_the_first_chunk_on_later_images(inputs: FilterInputs) -> None:
    judge = _agreement(inputs, [100 + i for i in range(10)], [0] * 10, 0.9)
    low, high = judge.judge(_levels([100, 101], [0, 0]))
    assert low.flagged
    assert low.reason == "among the least typical of '0' (probability 0.392)"
    assert not high.flagged
    assert high.score == pytest.approx(101 / 255)


@pytest.mark.parametrize(
    ("probability", "said"), [(0.9981, "0.998"), (0.99962, "over 0.999"), (0.0004, "0.000")]
)
def test_agreement_calls_no_probable_image_unlike_its_class(
    inputs: FilterInputs, probability: float, said: str
) -> None:
    def scorer(pixels: UInt8) -> Float32:
        own = np.where(pixels[:, 0, 0, 0] > 0, 0.9999, probability)
        return np.stack([own, 1 - own], axis=1).astype(np.float32)

    judge = ClassAgreement(ClassAgreementConfig(keep=0.9))
    batch = _levels([0] + [255] * 9, [0] * 10)
    judge.calibrate(replace(inputs, reference=batch, scorer=scorer))
    first, *others = judge.judge(batch)
    assert first.reason == f"among the least typical of '0' (probability {said})"
    assert not any(other.flagged for other in others)


def test_agreement_never_rejects_a_tiny_class_by_rounding_nor_an_unseen_one(
    inputs: FilterInputs,
) -> None:
    judge = _agreement(inputs, [100, 120, 140], [0, 0, 0], 0.9)
    assert not any(v.flagged for v in judge.judge(_levels([100, 255], [0, 1])))


def test_agreement_without_classifier_or_chunk_says_what_to_do(inputs: FilterInputs) -> None:
    judge = ClassAgreement(ClassAgreementConfig())
    with pytest.raises(InputError, match="got no classifier"):
        judge.calibrate(inputs)
    with pytest.raises(InputError, match="got no first chunk of images"):
        judge.calibrate(replace(inputs, scorer=_brightness))


@pytest.mark.parametrize(
    "judge", [ExactDuplicates(ExactDuplicatesConfig()), NearCopies(NearCopiesConfig())]
)
def test_filters_read_few_training_images_at_once_and_judge_alike(
    judge: Filter,
    every: ImageSet,
    inputs: FilterInputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = _batch(every, slice(550, 700))
    judge.calibrate(inputs)
    expected = judge.judge(batch)
    assert any(verdict.flagged for verdict in expected)
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("synthlift.vision.neighbours.BLOCK_BYTES", 2**20)
    monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", 50 * 64)
    train, rows = counted(inputs.train)
    judge.calibrate(replace(inputs, train=train))
    assert judge.judge(batch) == expected
    assert sum(rows.asked) == len(train)
    assert max(rows.asked) <= features.TOGETHER


def test_near_copies_takes_features_that_are_known_already(
    every: ImageSet, inputs: FilterInputs
) -> None:
    batch = _batch(every, slice(550, 700))
    judge = NearCopies(NearCopiesConfig())
    judge.calibrate(inputs)
    expected = judge.judge(batch)
    train, rows = counted(inputs.train)
    features_nd = inputs.encoder(inputs.train.pixels())
    judge.calibrate(replace(inputs, train=train, features=features_nd))
    assert judge.judge(batch) == expected
    assert not rows.asked
