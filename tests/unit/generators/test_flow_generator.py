from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.errors import InputError, Interrupted
from synthlift.generators.descriptors import FLOW
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.flow.network import build_network, plan_network
from synthlift.generators.flow.saving import read_folder
from synthlift.generators.flow.space import PixelSpace
from synthlift.generators.gan.config import GANConfig
from synthlift.generators.learning import examples
from synthlift.generators.vae.config import VAEConfig
from synthlift.registry import ComponentConfig
from synthlift.store.files import hash_files
from synthlift.testing.inputs import CLASSES, draw_images, drawn_inputs
from synthlift.types import (
    ExposesLoss,
    FitInputs,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
    UInt8,
)
from synthlift.vision.copying import CopyingMonitor, copying_reference, measure_copying
from synthlift.vision.encoders import RandomConvolutions
from tests.unit.counted import counted

TINY = FlowConfig(steps=12, batch_size=16, width=32, depth=1, sampler_steps=2, micro_batch=8)


def _inputs(train: ImageSet, validation: ImageSet) -> FitInputs:
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    return FitInputs(train=train, validation=validation, test=lock)


def _pixels(fitted: FlowFitted, requests: list[SampleRequest]) -> UInt8:
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FlowFitted:
    run = RunContext(folder=tmp_path_factory.mktemp("fit"), seed=1)
    return FlowGenerator(TINY).fit(drawn_inputs(), run=run)


@pytest.mark.parametrize(
    ("shape", "name"),
    [((8, 8, 1), "FlowMLP"), ((16, 16, 3), "FlowMLP"), ((28, 28, 1), "FlowUNet")],
)
def test_the_network_follows_the_image_size(shape: tuple[int, int, int], name: str) -> None:
    config = settle(FlowConfig(), examples=100, image_shape=shape)
    plan = plan_network(config, image_shape=shape, conditions=(4,))
    assert plan["_class_name"] == name
    assert config.time_shift == (1 if name == "FlowMLP" else 2)


@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 20, 3), (64, 64, 3), (130, 130, 1)])
def test_the_unet_takes_any_size(shape: tuple[int, int, int]) -> None:
    import torch

    config = settle(FlowConfig(width=8), examples=9, image_shape=shape)
    plan = plan_network(config, image_shape=shape, conditions=(2,))
    network = build_network(json.loads(json.dumps(plan)), seed=0)
    x = torch.zeros(2, shape[2], *shape[:2])
    assert network(x, torch.rand(2), torch.tensor([[0], [2]])).shape == x.shape


def _mirrored_shapes(count: int, *, size: int) -> ImageSet:
    """Discs and bars: a mirror keeps these, as it does animals."""
    pixels, labels = draw_images(count, seed=3, size=size)
    kept = np.flatnonzero(labels < 2)
    return ImageSet.from_arrays(pixels[kept], labels[kept], ("disc", "bars"))


def _flips(train: ImageSet, folder: Path, **settings: Any) -> str:
    """What a fit of one step made of the setting."""
    inputs = _inputs(train, train.subset(np.arange(0)))
    config = FlowConfig(steps=1, batch_size=4, readings=0, width=8, **settings)
    fitted = FlowGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=1))
    return str(fitted.facts()["config"]["flip"])


def test_mirrored_examples_follow_the_data(tmp_path: Path) -> None:
    digits = load_digits()
    pixels = np.rint(digits.images[:400, :, :, None] * (255 / 16)).astype(np.uint8)
    numbers = ImageSet.from_arrays(pixels, digits.target[:400], tuple("0123456789"))
    large = numbers.pixels().repeat(3, axis=1).repeat(3, axis=2)
    numbers = ImageSet.from_arrays(large, numbers.labels, numbers.classes)
    shapes = _mirrored_shapes(300, size=24)
    for train, settings, expected in (
        (shapes, {}, "no"),
        (shapes, {"flip": "auto"}, "yes"),
        (numbers, {"flip": "auto"}, "no"),
        (numbers, {"flip": "yes"}, "yes"),
    ):
        folder = tmp_path / f"{len(train.classes)} {settings}"
        folder.mkdir()
        assert _flips(train, folder, **settings) == expected


def test_chunks_end_at_the_micro_batch(fitted: FlowFitted) -> None:
    requests = [SampleRequest(index=i, label=0, seed=i) for i in range(19)]
    assert [len(batch) for batch in fitted.sample(requests)] == [8, 8, 3]


def test_a_request_may_set_guidance_and_steps(fitted: FlowFitted) -> None:
    plain = SampleRequest(index=0, label=1, seed=3)
    strong = SampleRequest(index=1, label=1, seed=3, params={"guidance_scale": 4.0})
    longer = SampleRequest(index=2, label=1, seed=3, params={"sampler_steps": 9})
    alone = [_pixels(fitted, [r])[0] for r in (plain, strong, longer)]
    together = _pixels(fitted, [plain, strong, longer])
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert not np.array_equal(alone[0], alone[1])
    assert not np.array_equal(alone[0], alone[2])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"guidance": 2}, "sets 'guidance'"),
        ({"sampler_steps": 0}, "sets 'sampler_steps' to 0"),
        ({"guidance_scale": -1}, "sets 'guidance_scale' to -1"),
    ],
)
def test_a_wrong_parameter_is_refused(
    fitted: FlowFitted, params: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list(fitted.sample([SampleRequest(index=0, label=1, seed=3, params=params)]))


@pytest.mark.parametrize("kind", [FlowConfig, GANConfig, VAEConfig])
def test_what_is_never_left_open_cannot_be_asked_for(kind: type[ComponentConfig]) -> None:
    with pytest.raises(ValueError, match="no class could be asked for by itself, since tone"):
        kind.model_validate({"attributes": ["tone"], "attribute_dropout": 0})
    kind.model_validate({"attribute_dropout": 0})


def test_guidance_needs_images_of_which_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves nothing to guide by"):
        FlowConfig(label_dropout=0)
    config = TINY.model_copy(update={"label_dropout": 0.0, "guidance_scale": 1.0})
    made = FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=tmp_path, seed=1))
    assert len(_pixels(made, [SampleRequest(index=0, label=1, seed=0)])) == 1
    with pytest.raises(InputError, match="request 0 sets 'guidance_scale' to 2"):
        _pixels(made, [SampleRequest(index=0, label=1, seed=0, params={"guidance_scale": 2})])


def test_an_absent_class_is_refused_with_the_known_ones(fitted: FlowFitted) -> None:
    with pytest.raises(InputError) as caught:
        list(fitted.sample([SampleRequest(index=4, label=3, seed=0)]))
    assert caught.value.given == f"request 4 wants class 3 ({CLASSES[3]})"
    assert "0 (disc), 1 (bars), 2 (ramp)" in caught.value.rule


def test_a_training_set_without_labels_is_refused(tmp_path: Path) -> None:
    pixels, _ = draw_images(6, seed=0)
    bare = ImageSet.from_arrays(pixels, [-1] * 6, CLASSES)
    with pytest.raises(InputError, match="none of them labelled"):
        FlowGenerator(TINY).fit(_inputs(bare, bare), run=RunContext(folder=tmp_path, seed=0))


def test_loss_is_repeatable_batch_free_and_tells_noise_from_images(fitted: FlowFitted) -> None:
    assert isinstance(fitted, ExposesLoss)
    images = drawn_inputs().train
    losses = fitted.loss(images, seed=4)
    assert losses.shape == (len(images),)
    np.testing.assert_array_equal(fitted.loss(images, seed=4), losses)
    part = fitted.loss(images.subset(np.arange(20, 25)), seed=4)
    np.testing.assert_array_equal(part, losses[20:25])
    noise = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype(np.uint8)
    strange = ImageSet.from_arrays(noise, [0] * 9, CLASSES)
    assert fitted.loss(strange, seed=4).mean() > losses.mean()


def test_a_folder_that_holds_no_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no flow generator \('synthlift.json'"):
        FlowGenerator(TINY).load(tmp_path)


@pytest.mark.parametrize(("number", "says"), [(99, "newer version"), (1, "older version")])
def test_a_folder_of_another_version_is_refused(
    fitted: FlowFitted, tmp_path: Path, number: int, says: str
) -> None:
    fitted.save(tmp_path)
    path = tmp_path / "synthlift.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
    with pytest.raises(InputError, match=says):
        FlowGenerator(TINY).load(tmp_path)


def test_the_folder_is_laid_out_as_diffusers_does(fitted: FlowFitted, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    for part in ("network/config.json", "network/diffusion_pytorch_model.safetensors"):
        assert (tmp_path / part).is_file()


@pytest.mark.parametrize("patience", [12, 5])
def test_images_that_are_read_batch_by_batch_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    """Also through a check-point after step 5, and reading no more than a batch at once."""
    pixels, labels = draw_images(60, seed=0, channels=3)
    train, rows = counted(ImageSet.from_arrays(pixels, labels, CLASSES))
    config = TINY.model_copy(update={"checkpoint_seconds": 1e-9})

    def fit(folder: Path, stop_at: int = 99) -> FlowFitted:
        def progress(done: int, _total: int, _note: str) -> None:
            if done == stop_at:
                raise Interrupted("stopped")

        run = RunContext(folder=folder, seed=1, progress=progress)
        return FlowGenerator(config).fit(_inputs(train, train.subset(np.arange(0))), run=run)

    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    fit(folders[0]).save(tmp_path / "in-memory")
    monkeypatch.setattr(examples, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("synthlift.rows.BLOCK_BYTES", 10 * 8 * 8 * 3)
    rows.asked.clear()
    if patience < 12:
        with pytest.raises(Interrupted):
            fit(folders[1], stop_at=patience)
    fit(folders[1]).save(tmp_path / "read")
    assert hash_files(tmp_path / "read") == hash_files(tmp_path / "in-memory")
    assert max(rows.asked) == TINY.batch_size
    assert rows.asked.count(10) >= 6  # all images once for the check-points, ten at a time


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_diffusers_loads_the_scheduler_and_takes_the_same_steps(
    fitted: FlowFitted, tmp_path: Path, shift: float
) -> None:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from synthlift.generators.flow.samplers import euler, even_times, shifted

    config = {**fitted.facts()["config"], "time_shift": shift}
    fitted.save(tmp_path)
    plan, weights, facts = read_folder(tmp_path)
    facts["config"] = config
    space = PixelSpace(plan["image_shape"])
    FlowFitted(plan=plan, weights=weights, history=facts, space=space).save(tmp_path)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    scheduler.set_timesteps(sigmas=even_times(5)[:-1])
    state = ours = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for time in scheduler.timesteps:
        slope = torch.sin(state) * float(time) / 1000
        state = scheduler.step(slope, time, state, return_dict=False)[0]
    ours = euler(lambda x, t: torch.sin(x) * t, ours, shifted(even_times(5), shift=shift))
    torch.testing.assert_close(state, ours)


def _digits() -> tuple[UInt8, np.ndarray]:
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order], digits.target[order]


def _svm(train: UInt8, labels: np.ndarray, test: UInt8, truth: np.ndarray) -> float:
    flat = (train.reshape(len(train), -1), test.reshape(len(test), -1))
    return float(SVC(C=10).fit(flat[0], labels).score(flat[1], truth))


def _train_on_synthetic(count: int, folder: Path, **settings: object) -> tuple[float, float, float]:
    """Accuracy when trained on synthetic over real digits, copying ratio, share of copies."""
    pixels, labels = _digits()
    names = tuple("0123456789")
    every = ImageSet.from_arrays(pixels, labels, names)
    train, held_out = every.subset(np.arange(count)), every.subset(np.arange(1000, 1297))
    reference = copying_reference(train, held_out=held_out, encoder=RandomConvolutions())
    monitor = CopyingMonitor(reference, classes=names)
    generator = FLOW.build(FlowConfig.model_validate(settings))
    run = RunContext(folder=folder, seed=0, monitor=monitor)
    fitted = generator.fit(_inputs(train, held_out), run=run)
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(count)]
    batches = list(fitted.sample(requests))
    drawn = np.concatenate([batch.pixels for batch in batches])
    wanted = np.array([request.label for request in requests])
    real = _svm(train.pixels(), train.labels, pixels[1297:], labels[1297:])
    synthetic = _svm(drawn, wanted, pixels[1297:], labels[1297:])
    from synthlift.types import ImageBatch

    result = measure_copying(reference, generated=ImageBatch(drawn, wanted), classes=names)
    return synthetic / real, result.ratio, result.copies


def test_digits_are_learnt_in_seconds_without_copying(tmp_path: Path) -> None:
    share, ratio, copies = _train_on_synthetic(300, tmp_path, steps=400, readings=2)
    assert share > 0.9
    assert ratio > 0.95
    assert copies < 0.02


@pytest.mark.slow
def test_a_thousand_digits_train_nearly_as_well_as_real_ones(tmp_path: Path) -> None:
    share, ratio, copies = _train_on_synthetic(1000, tmp_path)
    assert share >= 0.97
    assert ratio > 0.93
    assert copies < 0.02
    assert math.isfinite(ratio)
