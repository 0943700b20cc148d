"""What a small CLIP of our own learns from few drawings, on drawings of digits it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.drawings import WORDS
from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.spec.arms import Arm, Regime
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.settings import resolve_training
from synthlift.training.trainer import TrainingJob, train
from synthlift.types import ImageSet, Int64, RunContext, UInt8
from synthlift.vision.classifiers.descriptors import CLIP
from synthlift.vision.clip.config import ClipConfig
from synthlift.vision.prediction import compute
from tests.judges import fresh_drawings
from tests.learning import PLAIN, fit, inputs, said
from tests.learning import drawn as drawn_from

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not embedded_model("clip").is_dir(), reason="the package comes without its small CLIP"
    ),
]

SEEDS = (0, 1, 2)
SHOTS = (1, 4, 16)
PROBE = {"tuning": "linear_probe", "steps": 100}
LORA = {"tuning": "lora", "steps": 100, "learning_rate": 2e-3}
"""Chosen on other drawings, of digits that the small CLIP had seen; see docs/howto/classifiers.md.
"""
REGIMES: dict[str, Regime | None] = {
    "real": None,
    "joint": "joint",
    "pretrain": "pretrain_finetune",
}
SYNTHETIC = 10
"""Drawn by the pipeline, of each class."""
UNKNOWN = {word: f"thing {chr(ord('a') + k)}" for k, word in enumerate(WORDS)}
"""Words that say nothing about a class: all that can be known of it is in the images."""

Drawn = tuple[UInt8, Int64]
ByShots = dict[int, list[float]]
ByRegime = dict[str, list[float]]


def drawn(count: int, *, seed: int, held_out: bool) -> Drawn:
    pictures, told = fresh_drawings(count, seed=seed, held_out=held_out)
    return pictures, np.array([WORDS.index(one.word) for one in told])


@pytest.fixture(scope="module")
def pool() -> Drawn:
    return drawn(900, seed=11, held_out=False)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """What the small text-to-image pipeline draws of each class."""
    told = [
        replace(one, word=word)
        for place, word in enumerate(WORDS)
        for one in fresh_drawings(SYNTHETIC, seed=100 + place)[1]
    ]
    none = inputs(np.zeros((16, 32, 32, 3), np.uint8), range(16), classes=WORDS)
    fitted = fit({}, none, tmp_path_factory.mktemp("pipeline"))
    pictures = drawn_from(fitted, [said(PLAIN, one) for one in told], seed=14_000)
    return pictures, np.repeat(np.arange(len(WORDS)), SYNTHETIC)


@pytest.fixture(scope="module")
def unseen() -> Drawn:
    return drawn(600, seed=12, held_out=True)


def few(pool: Drawn, *, shots: int, seed: int) -> Drawn:
    """So many drawings of each class."""
    order = np.random.default_rng(seed)
    rows = np.concatenate(
        [order.permutation(np.flatnonzero(pool[1] == k))[:shots] for k in range(len(WORDS))]
    )
    return pool[0][rows], pool[1][rows]


def accuracy(
    folder: Path,
    real: Drawn,
    tested: Drawn,
    *,
    seed: int = 0,
    names: Mapping[str, str] = UNKNOWN,
    training: Mapping[str, Any] = PROBE,
    synthetic: Drawn | None = None,
    regime: Regime = "joint",
) -> float:
    """Balanced accuracy on other drawings after these.

    Args:
        folder: for check-points.
        real: drawings and their classes.
        tested: likewise.
        seed: of the training.
        names: words for the classes.
        training: what is tuned, and how.
        synthetic: further ones.
        regime: how these are used.
    """
    torch.set_num_threads(1)
    given = dict(training)
    config = ClipConfig.model_validate(
        {"model": EMBEDDED, "tuning": given.pop("tuning"), "names": names}
    )
    images = ImageSet.from_arrays(*real, WORDS)
    job = TrainingJob(
        real=images,
        validation=images.subset(np.arange(0)),
        arm=Arm(name="few", role="rival", regime=regime),
        classifier=CLIP,
        config=config,
        settings=resolve_training(
            Training(batch_size=32, **given),
            train_count=len(images),
            image_size=32,
            classes=len(WORDS),
            learning_rate_factor=config.learning_rate_factor(),
        ),
        seeds=TrainingSeeds(seed, 2, 3, 4),
        synthetic_pixels=None if synthetic is None else synthetic[0],
        synthetic_labels=None if synthetic is None else synthetic[1],
    )
    trained = train(job, run=RunContext(folder=folder, seed=0))
    found = compute(trained.network, tested[0], what="logits").argmax(axis=1)
    right = [(found[tested[1] == k] == k).mean() for k in range(len(WORDS))]
    return float(np.mean(right))


def test_zero_shot_knows_the_words_that_it_was_taught(
    tmp_path: Path, pool: Drawn, unseen: Drawn
) -> None:
    one, nothing = few(pool, shots=1, seed=0), {"tuning": "zero_shot"}
    known = accuracy(tmp_path / "a", one, unseen, names={}, training=nothing)
    unknown = accuracy(tmp_path / "b", one, unseen, training=nothing)
    assert known > 0.7  # 16 classes: chance is 0.06
    assert unknown < 0.25


def by_shots(folder: Path, pool: Drawn, tested: Drawn, training: Mapping[str, Any]) -> ByShots:
    """Balanced accuracies of each seed, by the number of drawings of a class."""
    return {
        shots: [
            accuracy(
                folder / f"{shots}-{seed}",
                few(pool, shots=shots, seed=seed),
                tested,
                seed=seed,
                training=training,
            )
            for seed in SEEDS
        ]
        for shots in SHOTS
    }


@pytest.mark.timeout(3600)
def test_more_shots_of_unknown_things_teach_more(
    tmp_path: Path, pool: Drawn, unseen: Drawn
) -> None:
    probe = by_shots(tmp_path / "probe", pool, unseen, PROBE)
    lora = by_shots(tmp_path / "lora", pool, unseen, LORA)
    for found in (probe, lora):
        assert min(found[4]) > max(found[1]) + 0.1, (probe, lora)
        assert min(found[16]) > max(found[4]) + 0.03, (probe, lora)
    # More is learnt than a head where there are images enough to learn it from.
    assert np.mean(lora[16]) > np.mean(probe[16]), (probe, lora)


def by_regime(folder: Path, pool: Drawn, synthetic: Drawn, tested: Drawn) -> ByRegime:
    """Balanced accuracies of each seed, by images of a class and what is done with them."""
    found: ByRegime = {}
    for shots in (1, 16):
        for name, further in REGIMES.items():
            found[f"{name}, {shots} real"] = [
                accuracy(
                    folder / f"{name}-{shots}-{seed}",
                    few(pool, shots=shots, seed=seed),
                    tested,
                    seed=seed,
                    training=LORA,
                    synthetic=synthetic if further else None,
                    regime=further or "joint",
                )
                for seed in SEEDS
            ]
    return found


@pytest.mark.timeout(3600)
def test_synthetic_images_of_unknown_things_teach_what_few_real_ones_cannot(
    tmp_path: Path, pool: Drawn, synthetic: Drawn, unseen: Drawn
) -> None:
    found = by_regime(tmp_path, pool, synthetic, unseen)
    # Pictures of what the pipeline knows stand in for real ones where there is one of each class.
    assert np.mean(found["joint, 1 real"]) > np.mean(found["real, 1 real"]) + 0.05, found
    assert np.mean(found["pretrain, 1 real"]) > np.mean(found["real, 1 real"]) + 0.05, found
