from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from synthlift.errors import InputError, Interrupted, StageError
from synthlift.spec.arms import Arm, Loss, Recipe, Regime
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.settings import ResolvedTraining, resolve_training
from synthlift.training.state import CHECKPOINT, learning_rate
from synthlift.training.trainer import Numerics, TrainedClassifier, TrainingJob, train
from synthlift.types import ImageSet, RunContext
from synthlift.vision.classifiers.descriptors import (
    RESNET,
    SMALL_CNN,
    ResNetConfig,
    SmallCNNConfig,
)
from synthlift.vision.prediction import compute

CLASSES = tuple(str(k) for k in range(10))


def _digits(rows: slice) -> ImageSet:
    images, labels = load_digits(return_X_y=True)
    pixels = np.clip(images.reshape(-1, 8, 8, 1) * 16, 0, 255).astype(np.uint8)
    chosen = np.random.default_rng(0).permutation(len(labels))[rows]
    return ImageSet.from_arrays(pixels[chosen], labels[chosen], CLASSES)


REAL, VALIDATION, TEST = _digits(slice(300)), _digits(slice(300, 400)), _digits(slice(400, 900))


def _job(*, steps: int = 30, **fields: Any) -> TrainingJob:
    settings = {name: fields.pop(name) for name in tuple(fields) if name in Training.model_fields}
    resolved = resolve_training(
        Training(**{"steps": steps, "batch_size": 32, **settings}),
        train_count=len(REAL),
        image_size=8,
        classes=10,
    )
    defaults: dict[str, Any] = {
        "real": REAL,
        "validation": VALIDATION,
        "arm": Arm(name="a", role="rival", recipe=Recipe(augmentation="medium")),
        "classifier": SMALL_CNN,
        "config": SmallCNNConfig(width=8, hidden=32),
        "settings": resolved,
        "seeds": TrainingSeeds(1, 2, 3, 4),
    }
    return TrainingJob(**{**defaults, **fields})


def _run(folder: Path, **fields: Any) -> RunContext:
    return RunContext(folder=folder, seed=0, **fields)


def _bits(trained: TrainedClassifier) -> bytes:
    return b"".join(t.numpy().tobytes() for t in trained.network.state_dict().values())


def _accuracy(trained: TrainedClassifier, images: ImageSet) -> float:
    logits = compute(trained.network, images.pixels(), what="logits")
    return float((logits.argmax(axis=1) == images.labels).mean())


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_learns_digits(tmp_path: Path, optimizer: str) -> None:
    job = _job(steps=150, optimizer=optimizer, config=SmallCNNConfig(), label_smoothing=0.05)
    trained = train(job, run=_run(tmp_path))
    assert _accuracy(trained, TEST) > 0.88
    losses = [float(point["loss"]) for point in trained.history]
    assert losses[-1] < losses[0] / 2
    assert trained.best_step == 150
    assert trained.validation_logits.shape == (100, 10)
    assert trained.facts.temperature != 1.0


def test_small_residual_network_learns_digits(tmp_path: Path) -> None:
    job = _job(steps=80, classifier=RESNET, config=ResNetConfig(width=8))
    assert _accuracy(train(job, run=_run(tmp_path)), TEST) > 0.75


def test_two_runs_give_the_same_bits_and_leave_global_random_state(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    first = train(_job(), run=_run(tmp_path / "a"))
    torch.manual_seed(99)
    again = train(_job(), run=_run(tmp_path / "b"))
    assert _bits(first) == _bits(again)
    assert first.history == again.history
    assert not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    train(_job(steps=5), run=_run(tmp_path / "c"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seed", ["initialisation", "order", "augmentation"])
def test_every_seed_matters(tmp_path: Path, seed: str) -> None:
    seeds = replace(TrainingSeeds(1, 2, 3, 4), **{seed: 77})
    ours = train(_job(steps=5), run=_run(tmp_path))
    assert _bits(train(_job(steps=5, seeds=seeds), run=_run(tmp_path))) != _bits(ours)


def test_synthetic_order_does_not_touch_a_rival(tmp_path: Path) -> None:
    seeds = TrainingSeeds(1, 2, 3, 77)
    ours = train(_job(steps=5), run=_run(tmp_path))
    assert _bits(train(_job(steps=5, seeds=seeds), run=_run(tmp_path))) == _bits(ours)


@pytest.mark.parametrize("regime", ["joint", "pretrain_finetune"])
@pytest.mark.parametrize("stop_at", [7, 22])
def test_resumed_training_gives_the_same_bits(tmp_path: Path, regime: Regime, stop_at: int) -> None:
    synthetic = _digits(slice(900, 1000))
    job = _job(
        arm=Arm(name="a", role="generative", regime=regime, recipe=Recipe(augmentation="strong")),
        synthetic_pixels=synthetic.pixels(),
        synthetic_labels=synthetic.labels,
        early_stopping=True,
    )

    def stop(done: int, _total: int, _note: str) -> None:
        if done == stop_at:
            raise Interrupted("stopped")

    undisturbed = train(job, run=_run(tmp_path / "a"))
    with pytest.raises(Interrupted):
        train(job, run=_run(tmp_path / "b", progress=stop), checkpoint_seconds=0)
    assert (tmp_path / "b" / CHECKPOINT).is_file()
    seen: list[int] = []
    resumed = train(
        job, run=_run(tmp_path / "b", progress=lambda done, _total, _note: seen.append(done))
    )
    assert seen[0] == stop_at + 1
    assert _bits(resumed) == _bits(undisturbed)
    assert resumed.history == undisturbed.history
    assert resumed.best_step == undisturbed.best_step


def test_all_regimes_take_equal_steps(tmp_path: Path) -> None:
    synthetic = _digits(slice(900, 1000))
    regimes: tuple[Regime, ...] = get_args(Regime)
    for regime in regimes:
        arm = Arm(
            name="a",
            role="generative",
            regime=regime,
            synthetic_share=0.5 if regime == "batch_share" else None,
        )
        job = _job(
            steps=11,
            arm=arm,
            synthetic_pixels=synthetic.pixels(),
            synthetic_labels=synthetic.labels,
        )
        counted: list[int] = []
        train(job, run=_run(tmp_path, progress=lambda done, _t, _n, c=counted: c.append(done)))
        assert counted == list(range(1, 12)), regime


def test_images_that_mix_classes_are_learnt_as_such(tmp_path: Path) -> None:
    zeros, ones = (VALIDATION.pixels()[VALIDATION.labels == k][:5] for k in (0, 1))
    labels = np.zeros(10, np.int64)
    halves = np.full((10, 10), 0, np.float32)
    halves[:, :2] = 0.5
    given: dict[str, Any] = {
        "arm": Arm(name="a", role="generative", regime="synthetic_only"),
        "synthetic_pixels": np.concatenate([zeros, ones]),
        "synthetic_labels": labels,
        "steps": 60,
    }
    certain = np.eye(10, dtype=np.float32)[labels]
    hard = train(_job(**given), run=_run(tmp_path / "hard"))
    same = train(_job(**given, synthetic_targets=certain), run=_run(tmp_path / "same"))
    assert _bits(same) == _bits(hard)
    soft = train(_job(**given, synthetic_targets=halves), run=_run(tmp_path / "soft"))
    logits = compute(soft.network, given["synthetic_pixels"], what="logits")
    found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found[:, :2].mean(0) == pytest.approx([0.5, 0.5], abs=0.1)


def test_early_stopping_keeps_the_best_step_on_validation(tmp_path: Path) -> None:
    job = _job(steps=60, early_stopping=True, optimizer="sgd", learning_rate=0.3, ema=0.0)
    trained = train(job, run=_run(tmp_path))
    scores = {
        int(point["step"]): float(point["validation_balanced_accuracy"])
        for point in trained.history
    }
    assert scores[trained.best_step] == max(scores.values())
    right = trained.validation_logits.argmax(axis=1) == VALIDATION.labels
    recall = [right[VALIDATION.labels == k].mean() for k in np.unique(VALIDATION.labels)]
    assert float(np.mean(recall)) == pytest.approx(max(scores.values()))


def test_early_stopping_without_validation_is_refused(tmp_path: Path) -> None:
    empty = VALIDATION.subset(np.arange(0))
    with pytest.raises(InputError, match="early stopping without validation"):
        train(_job(early_stopping=True, validation=empty), run=_run(tmp_path))
    trained = train(_job(steps=2, validation=empty), run=_run(tmp_path))
    assert trained.facts.temperature == 1.0
    assert trained.facts.temperature_note == "not calibrated: only 0 validation images"


def test_diverging_training_is_refused_with_a_remedy(tmp_path: Path) -> None:
    job = _job(steps=40, optimizer="sgd", learning_rate=1e6)
    with pytest.raises(StageError, match=r"--set training\.learning_rate=200000"):
        train(job, run=_run(tmp_path))


def test_averaging_follows_its_formula() -> None:
    from synthlift.training.state import average, start_state
    from synthlift.training.trainer import Numerics
    from synthlift.vision.classifiers.base import ImageTask, build_network

    task = ImageTask((8, 8, 1), 10, (0.5,), (0.2,))
    network = build_network(RESNET, ResNetConfig(width=8), task=task, seed=0)
    settings = _job().settings
    state = start_state(network, settings, device="cpu", numerics=Numerics())
    expected = 0.0
    for step, value in enumerate([3.0, 5.0, 9.0, 4.0]):
        torch.nn.init.constant_(state.network.head.bias, value)  # type: ignore[arg-type]
        average(state, decay=0.15, steps_in_phase=step)
        keep = min(0.15, (1 + step) / (10 + step)) if step else 0.0
        expected = keep * expected + (1 - keep) * value
        got = state.averaged.head.bias
        assert isinstance(got, torch.Tensor)
        torch.testing.assert_close(got, torch.full((10,), expected))
    counters = [b for n, b in state.averaged.named_buffers() if n.endswith("tracked")]
    assert counters
    assert all(int(c) == 0 for c in counters)


def test_logit_adjustment_helps_the_rarest_classes(tmp_path: Path) -> None:
    keep = np.concatenate(
        [np.flatnonzero(REAL.labels == k)[: 25 if k < 5 else 4] for k in range(10)]
    )
    tail = REAL.subset(keep)
    accuracy = {}
    losses: tuple[Loss, ...] = ("cross_entropy", "logit_adjusted")
    for loss in losses:
        recipe = Recipe(augmentation="medium", loss=loss)
        arm = Arm(name=loss, role="rival", recipe=recipe)
        trained = train(_job(steps=150, real=tail, arm=arm), run=_run(tmp_path))
        accuracy[loss] = _accuracy(trained, TEST.subset(np.flatnonzero(TEST.labels >= 5)))
    assert accuracy["logit_adjusted"] > accuracy["cross_entropy"]


def test_numerics_change_digits_but_not_the_lesson(tmp_path: Path) -> None:
    runs = {
        numerics: train(_job(steps=80, numerics=numerics), run=_run(tmp_path))
        for numerics in (Numerics(), Numerics(channels_last=False), Numerics(bf16=True))
    }
    accuracies = [_accuracy(trained, TEST) for trained in runs.values()]
    assert max(accuracies) - min(accuracies) < 0.06
    assert _bits(runs[Numerics()]) != _bits(runs[Numerics(bf16=True)])


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(step, 200, peak=2.0) for step in range(200)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[10] == 2.0
    assert rates[105] == pytest.approx(1.0)
    assert rates[-1] < 1e-3
    assert learning_rate(0, 1, peak=2.0) == 2.0


def test_settings_are_resolved_with_reasons() -> None:
    auto = resolve_training(Training(), train_count=145, image_size=8, classes=10)
    assert isinstance(auto, ResolvedTraining)
    assert str(auto.steps) in auto.reason
    more = resolve_training(Training(), train_count=5000, image_size=32, classes=10)
    assert more.steps > auto.steps
    given = resolve_training(
        Training(steps=7, flip="auto", learning_rate=0.1, optimizer="sgd"),
        train_count=145,
        image_size=8,
        classes=10,
        flip_keeps_class=True,
    )
    assert (given.steps, given.learning_rate, given.flip) == (7, 0.1, True)
    tuned = resolve_training(
        Training(), train_count=145, image_size=8, classes=10, learning_rate_factor=0.1
    )
    assert tuned.learning_rate == pytest.approx(auto.learning_rate / 10)
    assert given.reason == "given in the study file"
    assert ResolvedTraining.model_validate(given.model_dump(mode="json")) == given
