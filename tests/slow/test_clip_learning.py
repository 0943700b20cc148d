"""What a small CLIP of our own learns from few drawings, on drawings of digits it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from synthlift.drawings import WORDS
from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.spec.arms import Arm
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.settings import resolve_training
from synthlift.training.trainer import TrainingJob, train
from synthlift.types import ImageSet, Int64, RunContext, UInt8
from synthlift.vision.classifiers.descriptors import CLIP
from synthlift.vision.clip.config import ClipConfig
from synthlift.vision.prediction import compute
from tests.judges import fresh_drawings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not embedded_model("clip").is_dir(), reason="the package comes without its small CLIP"
    ),
]

SEEDS = (0, 1, 2)
UNKNOWN = {word: f"thing {chr(ord('a') + k)}" for k, word in enumerate(WORDS)}
"""Words that say nothing about a class: all that can be known of it is in the images."""

Drawn = tuple[UInt8, Int64]


def drawn(count: int, *, seed: int, held_out: bool) -> Drawn:
    pictures, told = fresh_drawings(count, seed=seed, held_out=held_out)
    return pictures, np.array([WORDS.index(one.word) for one in told])


@pytest.fixture(scope="module")
def pool() -> Drawn:
    return drawn(900, seed=11, held_out=False)


@pytest.fixture(scope="module")
def unseen() -> Drawn:
    return drawn(600, seed=12, held_out=True)


def accuracy(
    folder: Path,
    pool: Drawn,
    unseen: Drawn,
    *,
    tuning: str,
    shots: int,
    seed: int = 0,
    names: Mapping[str, str],
) -> float:
    """Balanced accuracy on unseen drawings after so many of each class."""
    torch.set_num_threads(1)
    order = np.random.default_rng(seed)
    rows = np.concatenate(
        [order.permutation(np.flatnonzero(pool[1] == k))[:shots] for k in range(len(WORDS))]
    )
    real = ImageSet.from_arrays(pool[0][rows], pool[1][rows], WORDS)
    config = ClipConfig.model_validate({"model": EMBEDDED, "tuning": tuning, "names": names})
    job = TrainingJob(
        real=real,
        validation=real.subset(np.arange(0)),
        arm=Arm(name="few", role="rival"),
        classifier=CLIP,
        config=config,
        settings=resolve_training(
            Training(steps=100, batch_size=32),
            train_count=len(rows),
            image_size=32,
            classes=len(WORDS),
            learning_rate_factor=config.learning_rate_factor(),
        ),
        seeds=TrainingSeeds(seed, 2, 3, 4),
    )
    trained = train(job, run=RunContext(folder=folder, seed=0))
    found = compute(trained.network, unseen[0], what="logits").argmax(axis=1)
    right = [(found[unseen[1] == k] == k).mean() for k in range(len(WORDS))]
    return float(np.mean(right))


def test_zero_shot_knows_the_words_that_it_was_taught(
    tmp_path: Path, pool: Drawn, unseen: Drawn
) -> None:
    known = accuracy(tmp_path / "a", pool, unseen, tuning="zero_shot", shots=1, names={})
    unknown = accuracy(tmp_path / "b", pool, unseen, tuning="zero_shot", shots=1, names=UNKNOWN)
    assert known > 0.7  # 16 classes: chance is 0.06
    assert unknown < 0.25


@pytest.mark.timeout(1200)
def test_more_shots_of_unknown_things_teach_more(
    tmp_path: Path, pool: Drawn, unseen: Drawn
) -> None:
    found = {
        shots: [
            accuracy(
                tmp_path / f"{shots}-{seed}",
                pool,
                unseen,
                tuning="linear_probe",
                shots=shots,
                seed=seed,
                names=UNKNOWN,
            )
            for seed in SEEDS
        ]
        for shots in (1, 4, 16)
    }
    assert min(found[4]) > max(found[1]) + 0.1
    assert min(found[16]) > max(found[4]) + 0.03
