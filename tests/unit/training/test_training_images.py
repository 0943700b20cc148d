"""Images that stay where they lie: the same weights, and never more than a batch or two at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from synthlift.errors import Interrupted, LeakageError
from synthlift.spec.arms import Arm, Recipe, Regime
from synthlift.store import pixel_files
from synthlift.store.pixel_files import FileRows, open_rows
from synthlift.testing.inputs import CLASSES, draw_images
from synthlift.training import images
from synthlift.training.batches import Batch, TrainingSeeds
from synthlift.training.images import InMemory, Mapped, Streamed, training_images
from synthlift.training.settings import ResolvedTraining
from synthlift.training.trainer import Numerics, TrainedClassifier, TrainingJob, train
from synthlift.types import GuardedPixels, ImageSet, RunContext, UInt8
from synthlift.vision.classifiers.descriptors import SMALL_CNN, SmallCNNConfig
from tests.unit.counted import CountedRows

SIZE, BATCH = 12, 16
SETTINGS = ResolvedTraining(
    steps=12,
    batch_size=BATCH,
    optimizer="adam",
    learning_rate=2e-3,
    weight_decay=0.01,
    label_smoothing=0.0,
    ema=0.9,
    flip=True,
    early_stopping=True,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _set(count: int, *, seed: int, channels: int = 3) -> ImageSet:
    pixels, labels = draw_images(count, seed=seed, size=SIZE, channels=channels)
    return ImageSet.from_arrays(pixels, labels, CLASSES[:3])


def _job(regime: Regime = "joint", *, synthetic: int = 30, channels: int = 3) -> TrainingJob:
    beside = _set(synthetic, seed=3, channels=channels) if synthetic else None
    share = 0.5 if regime == "batch_share" else None
    recipe = Recipe(augmentation="strong")
    return TrainingJob(
        real=_set(50, seed=1, channels=channels),
        validation=_set(20, seed=2, channels=channels),
        arm=Arm(name="a", role="generative", regime=regime, recipe=recipe, synthetic_share=share),
        classifier=SMALL_CNN,
        config=SmallCNNConfig(width=8, hidden=16),
        settings=SETTINGS,
        seeds=TrainingSeeds(1, 2, 3, 4),
        synthetic_pixels=None if beside is None else beside.source,
        synthetic_labels=None if beside is None else beside.labels,
    )


def _train(job: TrainingJob, folder: Path, **fields: Any) -> TrainedClassifier:
    return train(job, run=RunContext(folder=folder, seed=0, **fields), checkpoint_seconds=0)


def _same(first: TrainedClassifier, second: TrainedClassifier) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return (
        all(torch.equal(ours[name], theirs[name]) for name in ours)
        and first.history == second.history
        and np.array_equal(first.validation_logits, second.validation_logits)
        and first.facts == second.facts
    )


CASES = [(regime, 30) for regime in get_args(Regime)] + [("joint", 0)]


@pytest.mark.parametrize(("regime", "synthetic"), CASES)
@pytest.mark.parametrize(("channels", "last"), [(3, True), (3, False), (1, True), (1, False)])
def test_streamed_and_mapped_images_give_the_same_bits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    regime: Regime,
    synthetic: int,
    channels: int,
    last: bool,
) -> None:
    job = _job(regime, synthetic=synthetic, channels=channels)
    job = replace(job, numerics=Numerics(channels_last=last))
    in_memory = _train(job, tmp_path / "a")
    monkeypatch.setattr(images, "SHARED_BYTES", 0)
    assert _same(_train(job, tmp_path / "b"), in_memory)
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 0)
    assert _same(_train(job, tmp_path / "c"), in_memory)


def test_a_streamed_training_resumes_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job("pretrain_finetune")
    undisturbed = _train(job, tmp_path / "a")
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 0)

    def stop(done: int, _total: int, _note: str) -> None:
        if done == 5:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        _train(job, tmp_path / "b", progress=stop)
    assert _same(_train(job, tmp_path / "b"), undisturbed)


def test_the_limit_counts_real_and_synthetic_images_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.zeros((10, 4, 4, 3), np.uint8)

    def kind(synthetic: UInt8 | None) -> type:
        layout = torch.channels_last
        return type(training_images(pixels, synthetic, layout=layout, device="cpu"))

    monkeypatch.setattr(images, "IN_MEMORY_BYTES", pixels.nbytes)
    assert kind(None) is InMemory
    assert kind(pixels[:1]) is Streamed
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 2 * pixels.nbytes)
    assert kind(pixels) is InMemory


def test_large_images_on_the_processor_stay_where_they_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "SHARED_BYTES", 1000)
    path = tmp_path / "pixels.npy"
    np.save(path, np.zeros((30, 8, 8, 3), np.uint8))
    whole = np.load(path, mmap_mode="r")
    sources = {
        "mapped": (GuardedPixels(whole, np.arange(20)), "cpu", Mapped),
        "few": (GuardedPixels(whole, np.arange(5)), "cpu", InMemory),
        "read": (GuardedPixels(FileRows(path), np.arange(20)), "cpu", InMemory),
        "elsewhere": (GuardedPixels(whole, np.arange(20)), "meta", InMemory),
    }
    for name, (rows, device, kind) in sources.items():
        found = training_images(rows, None, layout=torch.channels_last, device=device)
        assert type(found) is kind, name


def test_no_more_than_a_batch_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 0)
    block = 5 * SIZE * SIZE * 3
    monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", block)
    job = _job("batch_share")
    real, synthetic = CountedRows(job.real.pixels()), CountedRows(_set(30, seed=3).pixels())
    source = GuardedPixels(real, np.arange(50))
    job = replace(job, real=replace(job.real, source=source), synthetic_pixels=synthetic)
    _train(job, tmp_path)
    assert max(real.asked) == BATCH // 2
    assert max(synthetic.asked) == BATCH // 2
    # Statistics of all images, five at a time, and half of every batch.
    assert sum(real.asked) == 50 + SETTINGS.steps * BATCH // 2


def test_the_next_batch_is_read_ahead_and_no_further() -> None:
    pixels = CountedRows(_set(40, seed=1).pixels())
    none = np.zeros(0, np.int64)
    taken: list[int] = []

    def batches() -> Iterator[Batch]:
        for step in range(4):
            taken.append(step)
            yield Batch(np.arange(step, step + 3), 0, none, 0)

    feed = Streamed([pixels], layout=torch.channels_last, device="cpu").feed(batches())
    for step, (batch, found) in enumerate(feed):
        assert batch.real[0] == step
        assert taken[-1] == min(step + 1, 3)
        np.testing.assert_array_equal(
            found.permute(0, 2, 3, 1).numpy(), pixels[np.arange(step, step + 3)]
        )


@pytest.mark.parametrize(("limit", "error"), [(0, LeakageError), (2**30, IndexError)])
def test_a_row_outside_the_training_set_stays_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", limit)
    path = tmp_path / "pixels.npy"
    np.save(path, _set(60, seed=1).pixels())
    guarded = GuardedPixels(FileRows(path), np.arange(50))
    fed = training_images(guarded, None, layout=torch.channels_last, device="cpu")
    beyond = Batch(np.array([49, 50]), 0, np.zeros(0, np.int64), 0)
    with pytest.raises(error):
        list(fed.feed(iter([beyond])))


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_training_on_a_large_file_does_not_make_the_process_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, count, side = tmp_path / "pixels.npy", 12_000, 64
    random = np.random.default_rng(0)
    np.save(path, random.integers(0, 256, (count, side, side, 3), dtype=np.uint8))
    labels = np.arange(count) % 3
    names = np.array([f"{row:04}" for row in range(count)])
    train_on, held_out = np.arange(count - 200), np.arange(count - 200, count)

    def part(rows: np.ndarray) -> ImageSet:
        source = GuardedPixels(open_rows(path), rows)
        return ImageSet(names[rows], labels[rows], names[rows], CLASSES[:3], source)

    def grown(folder: Path) -> int:
        before = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        _train(replace(_job(synthetic=0), real=part(train_on), validation=part(held_out)), folder)
        return _resident("VmHWM") - before

    monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", 2**20)
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(pixel_files, "LARGE_BYTES", 0)
    grown(tmp_path / "warm-up")
    streamed = grown(tmp_path / "streamed")
    monkeypatch.setattr(pixel_files, "LARGE_BYTES", 2**40)
    mapped = grown(tmp_path / "mapped")
    size = path.stat().st_size
    assert mapped > 0.9 * size, "the measure does not see what it should"
    assert streamed < 0.2 * size
