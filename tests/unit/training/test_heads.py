"""Points between the features of real images, and heads that are trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from synthlift.errors import InputError, Interrupted
from synthlift.spec.arms import Arm, Recipe, Regime
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.heads import NEIGHBOURS, mixup_points, require_head, smote_points
from synthlift.training.regimes import HEAD_SHARE, filled_labels, phases_of
from synthlift.training.settings import resolve_training
from synthlift.training.state import CHECKPOINT
from synthlift.training.trainer import TrainedClassifier, TrainingJob, train
from synthlift.types import Float64, ImageSet, Int64, RunContext
from synthlift.vision import features as vision_features
from synthlift.vision.classifiers.base import ImageNetwork
from synthlift.vision.classifiers.descriptors import SMALL_CNN, SmallCNNConfig
from synthlift.vision.prediction import compute

REGIMES: tuple[Regime, ...] = ("feature_smote", "feature_mixup")
COUNTS = st.lists(st.integers(0, 14), min_size=2, max_size=4).filter(lambda counts: max(counts) > 0)


def drawn(counts: list[int], seed: int) -> tuple[Any, Int64]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    return rng.normal(size=(len(labels), 5)).astype(np.float32), labels


def on_segment(point: Float64, start: Float64, end: Float64) -> bool:
    along = end - start
    length = float(along @ along)
    place = float((point - start) @ along) / length if length else 0.0
    gap = np.linalg.norm(point - (start + place * along))
    return bool(-1e-5 <= place <= 1 + 1e-5 and gap < 1e-4)


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.integers(0, 10_000))
def test_every_new_point_lies_between_two_neighbours_of_its_class(
    counts: list[int], seed: int
) -> None:
    features, labels = drawn(counts, seed)
    points = smote_points(features, labels, classes=len(counts), seed=seed)
    wanted = filled_labels(labels, len(counts))
    assert (labels[points.first] == wanted).all()
    filled = np.bincount(wanted, minlength=len(counts))
    assert filled.tolist() == [max(counts) if n else 0 for n in counts]
    made = points.features(features, np.arange(len(wanted))).astype(np.float64)
    assert (made[: len(labels)] == features).all()
    wide = features.astype(np.float64)
    for row in range(len(labels), len(wanted)):
        own = wide[labels == wanted[row]]
        segments = []
        for start in own:
            order = np.argsort(np.linalg.norm(own - start, axis=1))
            segments += [(start, own[k]) for k in order[1 : NEIGHBOURS + 1]] or [(start, start)]
        assert any(on_segment(made[row], *ends) for ends in segments)


def test_images_start_segments_equally_often_and_places_are_spread() -> None:
    features, labels = drawn([203, 7], seed=1)
    points = smote_points(features, labels, classes=2, seed=4)
    new = points.first[210:]
    assert set(np.unique(new, return_counts=True)[1]) == {28}
    share = points.share[210:]
    assert 0.4 < share.mean() < 0.6
    assert share.min() < 0.05 < 0.95 < share.max()
    again = smote_points(features, labels, classes=2, seed=4)
    assert (again.share == points.share).all()
    other = smote_points(features, labels, classes=2, seed=5)
    assert not (other.share == points.share).all()


def test_mixup_starts_from_every_class_alike_and_ends_anywhere() -> None:
    _, labels = drawn([90, 6, 30], seed=2)
    points = mixup_points(labels, classes=3, seed=3)
    assert np.bincount(labels[points.first]).tolist() == [90, 90, 90]
    assert np.bincount(labels[points.second]).tolist() == [90, 90, 90]
    assert (labels[points.first] != labels[points.second]).mean() > 0.4
    # Beta(0.2, 0.2) lies mostly near its ends.
    assert ((points.share < 0.1) | (points.share > 0.9)).mean() > 0.5


@pytest.mark.parametrize("regime", REGIMES)
def test_the_head_has_its_share_of_equal_steps(regime: Regime) -> None:
    labels = np.array([0] * 9 + [1] * 3)
    arm = Arm(name="a", role="rival", regime=regime)
    first, head = phases_of(
        arm, real_labels=labels, synthetic_labels=np.zeros(0, np.int64), classes=3
    )
    assert first.share_of_steps + head.share_of_steps == 1
    assert head.share_of_steps == HEAD_SHARE
    assert len(head.real_weights) == 18


# ── training ──────────────────────────────────────────────────────────────────────────────────


def digits(rows: slice, most: dict[int, int] | None = None) -> ImageSet:
    images, labels = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(labels))[rows]
    if most is not None:
        chosen = np.concatenate([chosen[labels[chosen] == k][:n] for k, n in most.items()])
    pixels = np.clip(images.reshape(-1, 8, 8, 1) * 16, 0, 255).astype(np.uint8)
    return ImageSet.from_arrays(pixels[chosen], labels[chosen], [str(k) for k in range(10)])


LONG_TAIL = digits(slice(900), {k: 60 if k < 5 else 5 for k in range(10)})
HELD_OUT, TEST = digits(slice(900, 1000)), digits(slice(1000, 1797))


def job_of(regime: Regime, *, steps: int = 30, **changes: Any) -> TrainingJob:
    settings = resolve_training(
        Training(steps=steps, batch_size=32), train_count=325, image_size=8, classes=10
    )
    given: dict[str, Any] = {
        "real": LONG_TAIL,
        "validation": HELD_OUT,
        "arm": Arm(name="a", role="rival", regime=regime, recipe=Recipe(augmentation="light")),
        "classifier": SMALL_CNN,
        "config": SmallCNNConfig(width=8, hidden=32),
        "settings": settings,
        "seeds": TrainingSeeds(1, 2, 3, 4),
    }
    return TrainingJob(**{**given, **changes})


def bits(trained: TrainedClassifier) -> bytes:
    return b"".join(t.numpy().tobytes() for t in trained.network.state_dict().values())


def rare_recall(trained: TrainedClassifier) -> float:
    right = compute(trained.network, TEST.pixels(), what="logits").argmax(axis=1) == TEST.labels
    return float(np.mean([right[TEST.labels == k].mean() for k in range(5, 10)]))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("regime", REGIMES)
def test_rare_classes_gain(tmp_path: Path, regime: Regime) -> None:
    found = {}
    for one in ("joint", regime):
        job = job_of(one, steps=150, config=SmallCNNConfig())
        found[one] = rare_recall(train(job, run=RunContext(tmp_path, seed=0)))
    # 0.50 against 0.79 and 0.82.
    assert found[regime] > found["joint"] + 0.1


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("stop_at", [24, 27])
def test_only_the_head_moves_and_a_resumed_training_gives_the_same_bits(
    tmp_path: Path, regime: Regime, stop_at: int
) -> None:
    job = job_of(regime)

    def stop(done: int, _total: int, _note: str) -> None:
        if done == stop_at:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        train(job, run=RunContext(tmp_path / "b", seed=0, progress=stop), checkpoint_seconds=0)
    kept = torch.load(tmp_path / "b" / CHECKPOINT, weights_only=True)
    undisturbed = train(job, run=RunContext(tmp_path / "a", seed=0))
    final = undisturbed.network.state_dict()
    for name, value in kept["averaged"].items():
        if not name.startswith("head"):
            assert torch.equal(value, final[name])
    assert not torch.equal(kept["averaged"]["head.weight"], final["head.weight"])
    resumed = train(job, run=RunContext(tmp_path / "b", seed=0))
    assert bits(resumed) == bits(undisturbed)
    assert resumed.history == undisturbed.history


def test_features_in_a_file_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = train(job_of("feature_smote"), run=RunContext(tmp_path, seed=0))
    monkeypatch.setattr(vision_features, "IN_MEMORY_BYTES", 1000)
    in_file = train(job_of("feature_smote"), run=RunContext(tmp_path, seed=0))
    assert bits(in_file) == bits(in_memory)


def test_a_network_without_a_head_is_refused() -> None:
    network = ImageNetwork(nn.Flatten(), nn.Identity(), mean=[0.5], std=[0.2])
    with pytest.raises(InputError, match="no weights") as caught:
        require_head(network, kind="mine")
    assert "small_cnn" in str(caught.value)
