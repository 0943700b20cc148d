"""Filters on digits with planted faults, and how many new real digits each rejects by mistake."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from synthlift.curation.confidence_band import ConfidenceBand
from synthlift.curation.config import (
    ConfidenceBandConfig,
    DiversityConfig,
    LowContrastConfig,
    OutliersConfig,
    PixelCopiesConfig,
    QualityConfig,
)
from synthlift.curation.diversity import Diversity
from synthlift.curation.low_contrast import LowContrast
from synthlift.curation.outliers import Outliers
from synthlift.curation.pixel_copies import PixelCopies
from synthlift.curation.quality import Quality
from synthlift.curation.ranges import class_quantiles
from synthlift.errors import InputError
from synthlift.types import (
    Filter,
    FilterInputs,
    Float32,
    ImageBatch,
    ImageSet,
    Int64,
    LockedTest,
    UInt8,
)
from synthlift.vision.copying import blur
from synthlift.vision.encoders import CallableEncoder, RandomConvolutions

CLASSES = tuple("0123456789")
FALSE_REJECTION = {
    "pixel_copies": 0.03,
    "confidence_band": 0.05,
    "outliers": 0.08,
    "low_contrast": 0.01,
    "quality": 0.03,
}
"""Share of new real digits that a filter may reject at its defaults."""


@pytest.fixture(scope="module")
def every() -> ImageSet:
    digits = load_digits()
    # Shuffled, since the file goes from writer to writer.
    rows = np.random.default_rng(0).permutation(len(digits.target))
    pixels = (digits.images[rows] * 15).astype(np.uint8)[..., np.newaxis]
    ids = [f"digit_{i}" for i in range(len(pixels))]
    return ImageSet.from_arrays(pixels, digits.target[rows], CLASSES, ids=ids)


@pytest.fixture(scope="module")
def inputs(every: ImageSet) -> FilterInputs:
    names = np.array(["locked"])
    train = every.subset(np.arange(600))
    model = LogisticRegression(C=0.01, max_iter=500).fit(_flat(train.pixels()), train.labels)

    def scorer(pixels: UInt8) -> Float32:
        return np.asarray(model.predict_proba(_flat(pixels)), dtype=np.float32)

    return FilterInputs(
        train=train,
        validation=every.subset(np.arange(600, 1100)),
        test=LockedTest(ids=names, groups=names, hashes=names),
        encoder=RandomConvolutions(),
        scorer=scorer,
    )


@pytest.fixture(scope="module")
def fresh(every: ImageSet) -> ImageBatch:
    """Real digits that nothing was calibrated on."""
    rest = every.subset(np.arange(1100, len(every)))
    return ImageBatch(rest.pixels(), rest.labels)


def _flat(pixels: UInt8) -> Float32:
    return np.asarray(pixels.reshape(len(pixels), -1) / 16, dtype=np.float32)


def _filters(inputs: FilterInputs) -> dict[str, Filter]:
    made: dict[str, Filter] = {
        "pixel_copies": PixelCopies(PixelCopiesConfig()),
        "confidence_band": ConfidenceBand(ConfidenceBandConfig()),
        "outliers": Outliers(OutliersConfig()),
        "low_contrast": LowContrast(LowContrastConfig()),
        "quality": Quality(QualityConfig()),
    }
    for judge in made.values():
        judge.calibrate(inputs)
    return made


@pytest.fixture(scope="module")
def filters(inputs: FilterInputs) -> dict[str, Filter]:
    return _filters(inputs)


def _rejected(judge: Filter, pixels: UInt8, labels: Int64) -> float:
    return float(np.mean([v.flagged for v in judge.judge(ImageBatch(pixels, labels))]))


@pytest.mark.parametrize("name", FALSE_REJECTION)
def test_few_new_real_images_are_rejected(
    filters: dict[str, Filter], fresh: ImageBatch, name: str
) -> None:
    flagged = np.array([v.flagged for v in filters[name].judge(fresh)])
    assert flagged.mean() <= FALSE_REJECTION[name]
    for label in range(10):
        assert flagged[fresh.labels == label].mean() <= 0.2, f"class {label} is starved"


def test_a_rare_class_among_thousands_has_a_mean_of_its_own() -> None:
    """Of 6,000 images, the few of one class are no part of a sample over all."""
    random = np.random.default_rng(0)
    levels = np.repeat([60, 200], [6000, 4])
    pixels = random.normal(levels[:, None, None, None], 12, (6004, 8, 8, 1)).clip(0, 255)
    labels = np.repeat([0, 1], [6000, 4])
    every = ImageSet.from_arrays(
        pixels.astype(np.uint8), labels, ("usual", "rare"), ids=[f"i{n}" for n in range(6004)]
    )
    held_out = every.subset(np.r_[0:200, 6003])
    names = np.array(["locked"])
    inputs = FilterInputs(
        train=every.subset(np.arange(200, 6003)),
        validation=held_out,
        test=LockedTest(ids=names, groups=names, hashes=names),
        encoder=CallableEncoder("pixels", _flat),
        scorer=None,
    )
    judge = Outliers(OutliersConfig(method="mahalanobis"))
    judge.calibrate(inputs)
    rare = every.subset(np.array([6003])).pixels()
    assert not judge.judge(ImageBatch(rare, np.array([1])))[0].flagged
    usual = every.subset(np.array([0])).pixels()
    assert judge.judge(ImageBatch(usual, np.array([1])))[0].flagged, "of another class altogether"


def test_brightened_and_mirrored_copies_are_found_in_pixels(
    filters: dict[str, Filter], inputs: FilterInputs
) -> None:
    originals = inputs.train.pixels(np.arange(100))
    dimmed = (originals * 0.6 + 30).astype(np.uint8)
    for pixels in (dimmed, dimmed[:, :, ::-1]):
        verdicts = filters["pixel_copies"].judge(ImageBatch(pixels, inputs.train.labels[:100]))
        assert np.mean([v.flagged for v in verdicts]) >= 0.97
        named = [v.reason == f"pixels of training image digit_{i}" for i, v in enumerate(verdicts)]
        assert np.mean(named) >= 0.97


def test_the_band_rejects_wrong_labels(filters: dict[str, Filter], fresh: ImageBatch) -> None:
    wrong = (fresh.labels + 1) % 10
    assert _rejected(filters["confidence_band"], fresh.pixels, wrong) >= 0.95
    first = filters["confidence_band"].judge(ImageBatch(fresh.pixels[:1], wrong[:1]))[0]
    assert first.reason.startswith(f"less surely '{wrong[0]}' than all but 2% of new real images")


def test_an_upper_bound_rejects_what_is_most_typical(
    inputs: FilterInputs, fresh: ImageBatch
) -> None:
    judge = ConfidenceBand(ConfidenceBandConfig(low=0, high=0.8))
    judge.calibrate(inputs)
    verdicts = judge.judge(fresh)
    flagged = np.array([v.flagged for v in verdicts])
    assert 0.1 <= flagged.mean() <= 0.3
    scores = np.array([v.score for v in verdicts])
    for label in range(10):
        own = fresh.labels == label
        if flagged[own].any():
            assert scores[own & flagged].min() >= scores[own & ~flagged].max()


def test_the_band_needs_a_classifier_and_held_out_images(inputs: FilterInputs) -> None:
    judge = ConfidenceBand(ConfidenceBandConfig())
    with pytest.raises(InputError, match="got no classifier"):
        judge.calibrate(replace(inputs, scorer=None))
    empty = inputs.validation.subset(np.zeros(0, np.intp))
    for needy in (judge, PixelCopies(PixelCopiesConfig()), Outliers(OutliersConfig())):
        with pytest.raises(InputError, match="got no validation images"):
            needy.calibrate(replace(inputs, validation=empty))


@pytest.mark.parametrize("method", ["mahalanobis", "knn", "both"])
def test_noise_and_other_classes_are_outliers(
    inputs: FilterInputs, fresh: ImageBatch, method: str
) -> None:
    judge = Outliers(OutliersConfig.model_validate({"method": method}))
    judge.calibrate(inputs)
    noise = np.random.default_rng(0).integers(0, 241, (60, 8, 8, 1), dtype=np.uint8)
    assert _rejected(judge, noise, np.arange(60) % 10) == 1
    assert _rejected(judge, fresh.pixels, (fresh.labels + 1) % 10) >= 0.6
    upside_down = fresh.pixels[:, ::-1]
    turned = np.isin(fresh.labels, [2, 4, 5, 7])
    assert _rejected(judge, upside_down[turned], fresh.labels[turned]) >= 0.4


def test_outliers_take_features_that_are_known_already(
    inputs: FilterInputs, fresh: ImageBatch
) -> None:
    judge = Outliers(OutliersConfig())
    judge.calibrate(inputs)
    expected = judge.judge(fresh)
    judge.calibrate(replace(inputs, features=inputs.encoder(inputs.train.pixels())))
    assert judge.judge(fresh) == expected


def test_images_without_anything_to_see_are_named(
    filters: dict[str, Filter], fresh: ImageBatch
) -> None:
    shape, labels = (8, 8, 1), np.arange(4)
    faint = (fresh.pixels[:4] * 0.1 + 110).astype(np.uint8)
    planted = {
        "black": np.zeros((4, *shape), np.uint8),
        "white": np.full((4, *shape), 255, np.uint8),
        "constant": np.full((4, *shape), 128, np.uint8),
        "low contrast": faint,
    }
    for word, pixels in planted.items():
        for verdict in filters["low_contrast"].judge(ImageBatch(pixels, labels)):
            assert verdict.flagged, word
            assert verdict.reason.startswith(f"{word}: "), verdict.reason


def test_dark_pictures_of_a_dark_class_are_kept() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 30, (80, 8, 8, 1), dtype=np.uint8)
    pixels[40:] = rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    train = ImageSet.from_arrays(pixels, np.repeat([0, 1], 40), ["night", "day"])
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    judge = LowContrast(LowContrastConfig())
    judge.calibrate(FilterInputs(train, train, lock, RandomConvolutions()))
    night, day = judge.judge(ImageBatch(pixels[[0, 0]], np.array([0, 1])))
    assert not night.flagged
    assert day.flagged


def test_quality_tells_blur_from_noise(filters: dict[str, Filter], fresh: ImageBatch) -> None:
    blurred = blur(blur(fresh.pixels))
    checked = fresh.pixels.astype(np.int64)
    checked[:, ::2, ::2] += 90
    checked[:, 1::2, 1::2] += 90
    grainy = np.clip(checked, 0, 255).astype(np.uint8)
    judge = filters["quality"]
    soft, hard = (judge.judge(ImageBatch(p, fresh.labels)) for p in (blurred, grainy))
    assert np.mean([v.flagged for v in soft]) >= 0.9
    assert np.mean([v.flagged for v in hard]) >= 0.6
    less = ("blurrier", "less fine detail", "a steeper", "less contrast")
    assert all(v.reason.startswith(less) for v in soft if v.flagged)
    more = ("grainier", "more fine detail", "a flatter", "more contrast")
    assert np.mean([v.reason.startswith(more) for v in hard if v.flagged]) >= 0.9


def test_strength_zero_rejects_nothing(inputs: FilterInputs, fresh: ImageBatch) -> None:
    rng = np.random.default_rng(1)
    pixels = np.concatenate([np.zeros((5, 8, 8, 1)), rng.integers(0, 255, (5, 8, 8, 1))])
    batch = ImageBatch(pixels.astype(np.uint8), np.arange(10))
    off: list[Filter] = [
        PixelCopies(PixelCopiesConfig(quantile=0)),
        ConfidenceBand(ConfidenceBandConfig(low=0, high=1)),
        Outliers(OutliersConfig(quantile=0)),
        LowContrast(LowContrastConfig(share=0)),
        Quality(QualityConfig(quantile=0)),
    ]
    for judge in off:
        judge.calibrate(inputs)
        assert not any(v.flagged for v in judge.judge(batch)), type(judge).__name__


def _spots(*modes: tuple[int, int]) -> ImageBatch:
    """So many images of each level, a little apart from each other."""
    levels = [level + i for level, count in modes for i in range(count)]
    pixels = np.array(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageBatch(pixels, np.zeros(len(levels), dtype=np.int64))


def _selector(inputs: FilterInputs, **settings: object) -> Diversity:
    encoder = CallableEncoder("level", lambda p: p.reshape(len(p), -1).astype(np.float32))
    selector = Diversity(DiversityConfig.model_validate(settings))
    selector.calibrate(replace(inputs, encoder=encoder))
    return selector


def test_every_mode_is_selected_before_any_is_repeated(inputs: FilterInputs) -> None:
    batch = _spots((10, 9), (100, 5), (200, 3))
    levels = batch.pixels.ravel()
    facility = levels[_selector(inputs).order(batch)]
    assert {int(v) // 50 for v in facility[:3]} == {0, 2, 4}
    # The largest mode comes first, by its middle.
    centre = levels[_selector(inputs, method="k_centre").order(batch)]
    assert {int(v) // 50 for v in centre[:3]} == {0, 2, 4}


def test_repetitions_of_an_image_come_last(inputs: FilterInputs) -> None:
    pixels = np.array([10, 10, 10, 60, 60, 120], np.uint8).reshape(-1, 1, 1, 1)
    order = _selector(inputs).order(ImageBatch(pixels, np.zeros(6, int)))
    assert set(pixels.ravel()[order[:3]].tolist()) == {10, 60, 120}


def test_many_images_are_ordered_in_parts(
    inputs: FilterInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthlift.curation.diversity.MOST", 10)
    batch = _spots((10, 10), (100, 10), (200, 5))
    order = _selector(inputs).order(batch)
    assert sorted(order.tolist()) == list(range(25))
    # Each part gives its first before any gives its last.
    assert {int(row) // 10 for row in order[:3]} == {0, 1, 2}


def test_small_classes_share_their_quantiles() -> None:
    values = np.concatenate([np.arange(100), np.arange(500, 515), np.arange(600, 610)]).astype(
        float
    )
    labels = np.repeat([0, 1, 2], [100, 15, 10])
    found = class_quantiles(values, labels=labels, classes=4, quantile=0.5)
    small = float(np.median(values[100:]))
    assert found.tolist() == [49.5, small, small, small]
    few = class_quantiles(values[:112], labels=labels[:112], classes=2, quantile=0.5)
    assert few[1] == np.median(values[:112])
