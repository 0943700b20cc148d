"""What is frozen stays frozen, bit by bit, and what is trained resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from synthlift.errors import Interrupted
from synthlift.spec.arms import Arm, Recipe
from synthlift.spec.study import Training
from synthlift.training.batches import TrainingSeeds
from synthlift.training.settings import resolve_training
from synthlift.training.state import CHECKPOINT
from synthlift.training.trainer import TrainedClassifier, TrainingJob, train
from synthlift.types import ImageSet, RunContext
from synthlift.vision.classifiers.base import ImageNetwork, ImageTask, build_network
from synthlift.vision.classifiers.descriptors import CLIP
from synthlift.vision.clip.config import ClipConfig

NAMES = ("zero", "one", "two", "three")


def digits(rows: slice) -> ImageSet:
    images, labels = load_digits(n_class=4, return_X_y=True)
    pixels = np.clip(images.reshape(-1, 8, 8, 1) * 16, 0, 255).astype(np.uint8)
    chosen = np.random.default_rng(0).permutation(len(labels))[rows]
    return ImageSet.from_arrays(pixels[chosen], labels[chosen], NAMES)


def job(model: Path, *, tuning: str, steps: int = 12, **further: object) -> TrainingJob:
    config = ClipConfig.model_validate({"model": str(model), "tuning": tuning})
    given = Training.model_validate({"steps": steps, "batch_size": 16, **further})
    return TrainingJob(
        real=digits(slice(80)),
        validation=digits(slice(80, 120)),
        arm=Arm(name="a", role="rival", recipe=Recipe(augmentation="medium")),
        classifier=CLIP,
        config=config,
        settings=resolve_training(given, train_count=80, image_size=8, classes=4),
        seeds=TrainingSeeds(1, 2, 3, 4),
    )


def begun(asked: TrainingJob) -> ImageNetwork:
    task = ImageTask((8, 8, 1), 4, (0.5,), (0.5,), names=NAMES)
    return build_network(CLIP, asked.config, task=task, seed=1)


def changed(trained: TrainedClassifier, asked: TrainingJob) -> set[str]:
    before, after = begun(asked).state_dict(), trained.network.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_zero_shot_takes_no_step_and_is_calibrated_like_any_other(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    asked = job(tiny_clips["transformers"], tuning="zero_shot")
    trained = train(asked, run=RunContext(folder=tmp_path, seed=0))
    assert (trained.steps, trained.best_step, trained.history) == (0, 0, [])
    assert not changed(trained, asked)
    assert trained.facts.temperature != 1.0


@pytest.mark.parametrize(
    ("library", "early_stopping"),
    [
        ("transformers", True),
        ("siglip", False),
        ("siglip2", False),
        ("open_clip", False),
        ("open_clip_bert", False),
    ],
)
def test_only_what_is_tuned_changes(
    library: str, early_stopping: bool, tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    head = {"head.weight", "head.bias"}
    for tuning in ("linear_probe", "lora", "full"):
        asked = job(tiny_clips[library], tuning=tuning, early_stopping=early_stopping)
        trained = train(asked, run=RunContext(folder=tmp_path / tuning, seed=0))
        found = changed(trained, asked)
        assert trained.steps == 12
        if tuning == "linear_probe":
            assert found == head
        elif tuning == "lora":
            assert found > head
            assert all(".lora_" in name for name in found - head)
        else:
            assert {name for name in found if name.startswith("trunk.model.")}
            assert not any(".lora_" in name for name in found)


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_lora_resumes_with_the_same_bits_from_a_check_point_without_frozen_weights(
    library: str, tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    asked = job(tiny_clips[library], tuning="lora", early_stopping=True)

    def stop(done: int, _total: int, _note: str) -> None:
        if done == 7:
            raise Interrupted("stopped")

    undisturbed = train(asked, run=RunContext(folder=tmp_path / "a", seed=0))
    broken = RunContext(folder=tmp_path / "b", seed=0, progress=stop)
    with pytest.raises(Interrupted):
        train(asked, run=broken, checkpoint_seconds=0)
    kept = torch.load(tmp_path / "b" / CHECKPOINT, weights_only=True)
    for part in ("network", "averaged", "best"):
        assert {n.split(".")[-1] for n in kept[part]} >= {"weight", "bias"}
        assert all(".lora_" in n or n.startswith(("head.", "mean", "std")) for n in kept[part])
    resumed = train(asked, run=RunContext(folder=tmp_path / "b", seed=0))
    states = [one.network.state_dict() for one in (undisturbed, resumed)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert undisturbed.history == resumed.history


def test_a_linear_probe_learns_from_the_texts_on(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    asked = job(tiny_clips["transformers"], tuning="linear_probe", steps=60)
    trained = train(asked, run=RunContext(folder=tmp_path, seed=0))
    losses = [float(point["loss"]) for point in trained.history]
    assert losses[-1] < 0.8 * losses[0]
