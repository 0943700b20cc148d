from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.spec.arms import Arm, Recipe
from synthlift.training.batches import Batches, Stream, TrainingSeeds
from synthlift.training.regimes import Phase, phases_of
from synthlift.types import Int64

REAL = np.repeat([0, 1, 2], [12, 6, 2])
SYNTHETIC = np.repeat([1, 2], [6, 10])
NONE = np.zeros(0, np.int64)
SEEDS = TrainingSeeds(1, 2, 3, 4)


def _arm(**fields: Any) -> Arm:
    return Arm(**{"name": "a", "role": "generative", **fields})


def _phases(arm: Arm, real: Int64 = REAL, synthetic: Int64 = SYNTHETIC) -> tuple[Phase, ...]:
    return phases_of(arm, real_labels=real, synthetic_labels=synthetic, classes=3)


def _shown(phase: Phase, steps: int, batch_size: int) -> tuple[Int64, Int64, list[int]]:
    """Times that each real and synthetic image was shown, and synthetic images per batch."""
    batches = Batches(phase, seeds=SEEDS, batch_size=batch_size)
    real, synthetic, per_batch = np.zeros(len(REAL), int), np.zeros(len(SYNTHETIC), int), []
    for step in range(steps):
        batch = batches.take(step, real_start=real.sum(), synthetic_start=synthetic.sum())
        np.add.at(real, batch.real, 1)
        np.add.at(synthetic, batch.synthetic, 1)
        per_batch.append(len(batch.synthetic))
        assert len(batch.real) + len(batch.synthetic) == batch_size
    return real, synthetic, per_batch


def test_joint_shows_every_image_of_the_union_once_an_epoch() -> None:
    (phase,) = _phases(_arm())
    assert phase.synthetic_share == pytest.approx(16 / 36)
    real, synthetic, _ = _shown(phase, steps=9, batch_size=12)
    assert (real == 3).all()
    assert (synthetic == 3).all()


def test_effective_counts_are_the_unions_under_uniform_sampling() -> None:
    (phase,) = _phases(_arm())
    np.testing.assert_allclose(phase.effective_counts(REAL, SYNTHETIC, 3), [12, 12, 12])
    np.testing.assert_allclose(phase.counts(REAL, SYNTHETIC, 3), [12, 12, 12])


def test_class_balanced_sampling_shows_classes_equally() -> None:
    balanced = _arm(recipe=Recipe(sampler="class_balanced"))
    (phase,) = _phases(balanced, synthetic=SYNTHETIC[:4])
    np.testing.assert_allclose(phase.effective_counts(REAL, SYNTHETIC[:4], 3), 24 / 3)
    (plain,) = _phases(balanced, synthetic=NONE)
    real, _, _ = _shown(plain, steps=60, batch_size=10)
    shown = np.bincount(REAL, real)
    np.testing.assert_allclose(shown, 200, atol=30)
    assert real[:12].max() - real[:12].min() <= 60


def test_batch_share_holds_in_every_batch() -> None:
    (phase,) = _phases(_arm(regime="batch_share", synthetic_share=0.25))
    _, _, per_batch = _shown(phase, steps=20, batch_size=8)
    assert set(per_batch) == {2}
    share = phase.effective_counts(REAL, SYNTHETIC, 3) / 36
    np.testing.assert_allclose(share[0], 0.75 * 12 / 20)
    assert share.sum() == pytest.approx(1)


def test_synthetic_only_never_touches_real_images() -> None:
    (phase,) = _phases(_arm(regime="synthetic_only"))
    real, synthetic, _ = _shown(phase, steps=4, batch_size=8)
    assert real.sum() == 0
    assert (synthetic == 2).all()


def test_synthetic_only_without_images_says_what_to_do() -> None:
    with pytest.raises(InputError) as caught:
        _phases(_arm(regime="synthetic_only"), synthetic=NONE)
    assert "no synthetic images left" in str(caught.value)
    assert caught.value.remedy.startswith("relax the curation")


def test_pretrain_finetune_ends_on_real_images_with_the_same_total() -> None:
    first, second = _phases(_arm(regime="pretrain_finetune"))
    assert (first.synthetic_share, second.synthetic_share) == (1.0, 0.0)
    assert first.share_of_steps + second.share_of_steps == 1
    assert _shown(first, 3, 8)[0].sum() == 0
    assert _shown(second, 3, 8)[1].sum() == 0
    np.testing.assert_allclose(second.effective_counts(REAL, SYNTHETIC, 3), [12, 6, 2])


@pytest.mark.parametrize("regime", ["joint", "pretrain_finetune", "batch_share"])
def test_without_synthetic_images_every_regime_is_plain_real_training(regime: str) -> None:
    share = 0.5 if regime == "batch_share" else None
    (phase,) = _phases(_arm(regime=regime, synthetic_share=share), synthetic=NONE)
    (plain,) = _phases(_arm(), synthetic=NONE)
    np.testing.assert_array_equal(phase.real_weights, plain.real_weights)
    assert (phase.synthetic_share, phase.share_of_steps) == (0.0, 1.0)


def test_targeted_duplication_repeats_rare_classes_up_to_the_largest() -> None:
    (phase,) = _phases(_arm(duplicate=True), synthetic=NONE)
    np.testing.assert_allclose(np.bincount(REAL, phase.real_weights), [1 / 3] * 3)


def test_untargeted_duplication_equals_plain_real_under_uniform_sampling() -> None:
    # METHOD §3: duplicating every image alike changes nothing, down to the order of the images.
    balanced = np.repeat([0, 1, 2], 5)
    (twice,) = _phases(_arm(duplicate=True), real=balanced, synthetic=NONE)
    (plain,) = _phases(_arm(), real=balanced, synthetic=NONE)
    np.testing.assert_array_equal(
        Stream(twice.real_weights, seed=5).take(0, 100),
        Stream(plain.real_weights, seed=5).take(0, 100),
    )
    doubled = Stream(np.full(15, 2.0) / 30, seed=5).take(0, 100)
    np.testing.assert_array_equal(doubled, Stream(plain.real_weights, seed=5).take(0, 100))


def test_a_mixed_arm_meets_the_real_images_in_its_rivals_order() -> None:
    (mixed,), (rival,) = _phases(_arm()), _phases(_arm(), synthetic=NONE)
    orders = []
    for phase in (mixed, rival):
        batches, seen, synthetic, order = Batches(phase, seeds=SEEDS, batch_size=8), 0, 0, NONE
        for step in range(12):
            batch = batches.take(step, real_start=seen, synthetic_start=synthetic)
            order = np.concatenate([order, batch.real])
            seen, synthetic = seen + len(batch.real), synthetic + len(batch.synthetic)
        orders.append(order)
    shared = len(orders[0])
    assert 40 < shared < len(orders[1])
    np.testing.assert_array_equal(orders[0], orders[1][:shared])


def test_a_stream_gives_the_same_rows_however_it_is_asked() -> None:
    weights = np.arange(1.0, 8.0) / 28
    whole = Stream(weights, seed=9).take(0, 50)
    stream = Stream(weights, seed=9)
    pieces = [stream.take(start, 7) for start in range(0, 49, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole[:49])
    np.testing.assert_array_equal(Stream(weights, seed=9).take(20, 10), whole[20:30])
    long = Stream(weights, seed=9).take(0, 7000)
    np.testing.assert_allclose(np.bincount(long) / 7000, weights, atol=0.005)
