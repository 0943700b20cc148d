"""The flow in the latents of an autoencoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.errors import InputError, SynthliftError
from synthlift.generators.autoencoders.base import open_autoencoder
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow import encoding
from synthlift.generators.flow import space as spaces
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.encoding import channel_statistics, encode_images, latent_examples
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.flow.space import SPREAD, LatentSpace, PixelSpace
from synthlift.generators.learning import examples
from synthlift.generators.learning.examples import load_examples
from synthlift.generators.learning.transport import Transport
from synthlift.spec.loading import load_study
from synthlift.store.files import hash_files
from synthlift.testing.inputs import draw_images, drawn_inputs
from synthlift.types import (
    ExposesLoss,
    FitInputs,
    ImageBatch,
    ImageSet,
    LockedTest,
    MonitorReading,
    RunContext,
    SampleRequest,
    UInt8,
)
from tests.autoencoders import pooling_weights, random_weights, write_pair
from tests.unit.generators.killing import Progress, kill_once_told

QUICK: dict[str, Any] = {"steps": 6, "batch_size": 8, "width": 8, "sampler_steps": 2}


def _inputs(train: ImageSet) -> FitInputs:
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    return FitInputs(train=train, validation=train.subset(np.arange(0)), test=lock)


def _set(count: int = 12, *, size: int = 8, channels: int = 3) -> ImageSet:
    pixels, labels = draw_images(count, seed=0, size=size, channels=channels)
    return ImageSet.from_arrays(pixels, labels, ("disc", "bars", "ramp"))


def fit(
    folder: Path, autoencoder: Path, *, train: ImageSet | None = None, **more: Any
) -> FlowFitted:
    config = FlowConfig(**{**QUICK, "autoencoder": str(autoencoder), **more})
    folder.mkdir(parents=True, exist_ok=True)
    inputs = drawn_inputs() if train is None else _inputs(train)
    return FlowGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=3))


def _drawn(fitted: FlowFitted, count: int = 6) -> UInt8:
    requests = [SampleRequest(index=i, label=i % 3, seed=i) for i in range(count)]
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


# ── the space ─────────────────────────────────────────────────────────────────────────────────


def _space(folder: Path, shape: tuple[int, int, int]) -> LatentSpace:
    opened = open_autoencoder(write_pair(folder, pooling_weights()))
    return LatentSpace(opened, path=str(folder), image_shape=shape, device="cpu")


@pytest.mark.parametrize("shape", [(8, 8, 3), (7, 9, 3), (7, 9, 1)])
def test_images_of_any_size_and_grey_ones_come_back_as_they_were(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    """Odd sides are continued by their last row and column, which the decoded image loses again."""
    space = _space(tmp_path, shape)
    height, width, channels = shape
    assert space.shape == (4, 4 + width % 2, 3)
    coarse = torch.randint(0, 256, (5, channels, 5, 5), generator=torch.Generator().manual_seed(0))
    whole = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    pixels = whole[:, :, :height, :width].to(torch.uint8)
    again = space.leave(space.enter(pixels))
    assert again.shape == pixels.shape
    assert int((again.int() - pixels.int()).abs().max()) <= 1


def test_both_ways_treat_each_image_by_itself(tmp_path: Path) -> None:
    opened = open_autoencoder(write_pair(tmp_path, random_weights()))
    space = LatentSpace(opened, path="", image_shape=(8, 8, 3), device="cpu")
    pixels = torch.from_numpy(_set(70).pixels()).permute(0, 3, 1, 2)
    together = space.enter(pixels)
    assert torch.equal(space.enter(pixels[66:67])[0], together[66])
    assert torch.equal(space.leave(together[66:67])[0], space.leave(together)[66])


def test_drawn_latents_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SynthliftError, match="decoded numbers that are no colours"):
        _space(tmp_path, (8, 8, 3)).leave(torch.full((1, 3, 4, 4), float("nan")))


# ── encoding ──────────────────────────────────────────────────────────────────────────────────


def _encoded(folder: Path, *, versions: int, share: float = 0.5) -> tuple[Any, LatentSpace, Any]:
    train, space = _set(12), _space(folder / "weights", (8, 8, 3))
    given = FlowConfig(autoencoder=str(folder / "weights"), encoded_versions=versions)
    config = settle(given, examples=12, image_shape=(8, 8, 3))
    run = RunContext(folder=folder, seed=1)
    base = load_examples(train, Vocabulary.of(train), class_balance=0.0, device="cpu")
    encoded = encode_images(
        train,
        space,
        wanted_nk=base.wanted_nk,
        transport=Transport(),
        config=config,
        run=run,
    )
    mean, deviation = channel_statistics(encoded)
    space = space.standardised(mean=mean, deviation=deviation)
    return encoded, space, latent_examples(base, encoded, space, share=share)


def test_latents_of_the_images_as_they_are_have_mean_zero_and_one_spread(tmp_path: Path) -> None:
    _, _, found = _encoded(tmp_path, versions=2)
    seen = found.seen(found.pixels_nchw)[::3]
    assert seen.shape == (12, 3, 4, 4)
    torch.testing.assert_close(seen.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    spread = seen.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(spread, torch.full((3,), SPREAD), atol=1e-3, rtol=0)


def test_versions_take_their_share_and_tell_how_they_were_moved(tmp_path: Path) -> None:
    _, space, found = _encoded(tmp_path, versions=3, share=0.6)
    weights = found.weights_n.reshape(12, 4)
    torch.testing.assert_close(weights.sum(dim=1), torch.full((12,), 1 / 12).double())
    torch.testing.assert_close(weights[:, 0], torch.full((12,), 0.4 / 12).double())
    moved = found.moved_n4.reshape(12, 4, 4)
    assert (moved[:, 0] == 0).all()
    assert (moved[:, 1:] != 0).any(dim=2).all()
    plain = space.enter(torch.from_numpy(_set(12).pixels()).permute(0, 3, 1, 2))
    latents = found.seen(found.pixels_nchw).reshape(12, 4, 3, 4, 4)
    torch.testing.assert_close(latents[:, 0], plain, atol=2e-3, rtol=0)
    assert not torch.isclose(latents[:, 1], plain, atol=0.05).all()


def test_without_versions_nothing_is_moved(tmp_path: Path) -> None:
    without: tuple[dict[str, Any], ...] = ({"encoded_versions": 0}, {"augmentation": 0.0})
    for number, settings in enumerate(without):
        folder = tmp_path / str(number)
        fitted = fit(folder, write_pair(tmp_path / "a", pooling_weights()), **settings)
        assert len(np.load(next((folder / "latents").iterdir()))) == 96  # 48 of them unlabelled
        assert np.isfinite(_drawn(fitted)).all()


def test_latents_that_are_not_finite_name_their_image(tmp_path: Path) -> None:
    encoder, decoder = pooling_weights()
    for name in ("0.weight", "2.weight"):
        encoder[name] = encoder[name] * 1e4  # finite together, but not in 16 bits
    folder = write_pair(tmp_path / "loud", (encoder, decoder))
    with pytest.raises(InputError, match="latents of training image 'train_0' that are not finite"):
        fit(tmp_path / "run", folder)


def test_latents_that_are_read_batch_by_batch_give_the_same_bits(
    tmp_path: Path, tiny_autoencoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK_PIXELS", 10 * 64)
    fit(tmp_path / "a", tiny_autoencoder).save(tmp_path / "in-memory")
    monkeypatch.setattr(examples, "IN_MEMORY_BYTES", 0)
    fit(tmp_path / "b", tiny_autoencoder).save(tmp_path / "read")
    assert hash_files(tmp_path / "read") == hash_files(tmp_path / "in-memory")
    assert len(list((tmp_path / "a" / "latents").iterdir())) == 10


# ── killed and resumed ────────────────────────────────────────────────────────────────────────


def _accepts(step: int, samples: ImageBatch) -> MonitorReading:
    del step
    assert samples.pixels.shape[1:] == (8, 8, 1)
    return MonitorReading(value=1.1, acceptable=True)


def fit_watched(folder: Path, autoencoder: Path, progress: Any = None) -> FlowFitted:
    """A fit of ten chunks and 60 steps, with check-points after each window."""
    encoding.CHUNK_PIXELS = 10 * 64
    settings = {"steps": 60, "readings": 2, "monitor_images": 6, "checkpoint_seconds": 1e-6}
    run = RunContext(folder=folder, seed=3, monitor=_accepts)
    run = replace(run, progress=progress) if progress else run
    config = FlowConfig(**{**QUICK, **settings, "autoencoder": str(autoencoder)})
    return FlowGenerator(config).fit(drawn_inputs(), run=run)


def _fit_telling(progress: Progress, folder: Path, autoencoder: Path) -> None:
    fit_watched(folder, autoencoder, progress)


@pytest.mark.parametrize(
    ("phase", "at"), [("encoding", 300), pytest.param("loss", 40, marks=pytest.mark.slow)]
)
def test_a_killed_fit_goes_on_and_ends_with_the_same_bits(
    tmp_path: Path, tiny_autoencoder: Path, phase: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK_PIXELS", encoding.CHUNK_PIXELS)
    killed = tmp_path / "killed"
    killed.mkdir()
    child = partial(_fit_telling, folder=killed, autoencoder=tiny_autoencoder)
    kill_once_told(child, lambda done, note: note.split()[0] == phase and done >= at)
    left = {path: path.stat().st_mtime_ns for path in (killed / "latents").glob("*.npy")}
    assert 3 <= len(left) <= 10
    fit_watched(killed, tiny_autoencoder).save(tmp_path / "a")
    assert all(path.stat().st_mtime_ns == before for path, before in left.items())
    whole = tmp_path / "whole"
    whole.mkdir()
    fit_watched(whole, tiny_autoencoder).save(tmp_path / "b")
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")


# ── saved ─────────────────────────────────────────────────────────────────────────────────────


def test_a_small_autoencoder_is_kept_with_the_generator(tmp_path: Path) -> None:
    weights = write_pair(tmp_path / "weights", random_weights())
    fitted = fit(tmp_path / "run", weights)
    fitted.save(tmp_path / "saved")
    shutil.rmtree(weights)
    loaded = FlowGenerator(FlowConfig()).load(tmp_path / "saved")
    assert np.array_equal(_drawn(loaded), _drawn(fitted))
    assert loaded.facts()["latents"]["shape"] == [2, 2, 4]


def test_a_large_one_stays_where_it_is_and_must_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaces, "KEPT_BYTES", 100)
    weights = write_pair(tmp_path / "weights", random_weights())
    fitted = fit(tmp_path / "run", weights)
    fitted.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "autoencoder").exists()
    loaded = FlowGenerator(FlowConfig()).load(tmp_path / "saved")
    assert np.array_equal(_drawn(loaded), _drawn(fitted))
    write_pair(weights, random_weights(seed=1))
    with pytest.raises(InputError, match="is another one than was planned with"):
        FlowGenerator(FlowConfig()).load(tmp_path / "saved")
    shutil.rmtree(weights)
    with pytest.raises(InputError, match="does not exist"):
        FlowGenerator(FlowConfig()).load(tmp_path / "saved")


# ── settings ──────────────────────────────────────────────────────────────────────────────────


def test_the_hash_is_filled_in_and_files_that_changed_since_are_refused(tmp_path: Path) -> None:
    weights = write_pair(tmp_path / "weights", random_weights())
    config = FlowConfig(**QUICK, autoencoder=str(weights))
    assert len(config.autoencoder_sha256) == 64
    write_pair(weights, random_weights(seed=1))
    with pytest.raises(InputError, match="is another one than was planned with"):
        FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=tmp_path, seed=0))
    with pytest.raises(InputError, match="does not exist"):
        FlowConfig(autoencoder=str(tmp_path / "nowhere"))


def test_what_encoding_costs_counts_toward_a_budget(tiny_autoencoder: Path) -> None:
    def sampled(**more: Any) -> int:
        config = FlowConfig(readings=2, monitor_images=10, **more)
        return config.monitored_images(examples=1000, image_shape=(64, 64, 3))

    assert sampled() == 20
    assert sampled(autoencoder=str(tiny_autoencoder)) == 20 + 3000


def test_latents_are_learnt_by_a_u_net_even_if_they_are_few(tiny_autoencoder: Path) -> None:
    given = FlowConfig(autoencoder=str(tiny_autoencoder))
    settled = settle(given, examples=500, image_shape=(8, 8, 1))
    assert settled.network == "unet"
    assert "auto" not in settled.model_dump().values()


def test_a_study_file_names_the_autoencoder_from_its_own_folder(tmp_path: Path) -> None:
    write_pair(tmp_path / "weights", random_weights())
    (tmp_path / "images").mkdir()
    path = tmp_path / "study.yaml"
    path.write_text("data: {source: images}\ngenerators: [{kind: flow, autoencoder: ./weights}]\n")
    study = load_study(path)
    told = study.generators[0].settings()
    assert told["autoencoder"] == str(tmp_path / "weights")


# ── what is learnt ────────────────────────────────────────────────────────────────────────────


def test_the_loss_is_that_of_latents_and_of_each_image_by_itself(
    tmp_path: Path, tiny_autoencoder: Path
) -> None:
    train = _set(60, channels=1)
    fitted = fit(tmp_path, tiny_autoencoder, train=train, steps=150, network="mlp", width=32)
    assert isinstance(fitted, ExposesLoss)
    losses = fitted.loss(train, seed=0)
    assert np.array_equal(fitted.loss(train.subset(np.array([7])), seed=0), losses[7:8])
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    strange = ImageSet.from_arrays(noise, np.zeros(20, np.int64), train.classes)
    assert losses.mean() < 0.7 * fitted.loss(strange, seed=0).mean()


def test_digits_are_learnt_in_latents(tmp_path: Path, tiny_autoencoder: Path) -> None:
    """Digits of twice the size lose nothing in means of 2 × 2 pixels: only learning is tested."""
    digits = load_digits()
    small = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    pixels = small.repeat(2, axis=1).repeat(2, axis=2)
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels, labels = pixels[order], digits.target[order]
    train = ImageSet.from_arrays(pixels[:300], labels[:300], tuple("0123456789"))
    settings = {"steps": 400, "batch_size": 128, "network": "mlp", "width": 64, "depth": 3}
    fitted = fit(tmp_path, tiny_autoencoder, train=train, **settings, sampler_steps=6)
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(300)]
    drawn = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
    wanted = np.arange(300) % 10

    def score(images: UInt8, truth: np.ndarray) -> float:
        flat = (images.reshape(len(images), -1), pixels[1297:].reshape(500, -1))
        return float(SVC(C=10).fit(flat[0], truth).score(flat[1], labels[1297:]))

    assert score(drawn, wanted) > 0.85 * score(pixels[:300], labels[:300])


@pytest.mark.slow
def test_a_fit_in_the_latents_of_taef2(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    """Samples of a short fit are smooth images, not what random latents decode to."""
    weights = real_data("../weights/taef2_encoder.pth").parent
    train = _set(90, size=32)
    fitted = fit(
        tmp_path, weights, train=train, steps=150, batch_size=32, width=64, encoded_versions=1
    )
    drawn, labels = _drawn(fitted, 30), np.arange(30) % 3
    flat = train.pixels().reshape(90, -1)
    judged = SVC(C=10).fit(flat, train.labels).predict(drawn.reshape(30, -1))
    assert (judged == labels).mean() > 0.8


def test_pixels_stay_what_they_were(tmp_path: Path) -> None:
    space = PixelSpace((8, 8, 1))
    every = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    assert torch.equal(space.leave(space.enter(every)), every)
    assert space.as_json() == {}
    space.save(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
