"""How many images are drawn at once may be measured; then it is fixed when fitting, and stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.learning.timing import CHUNKS, fastest_chunk
from synthlift.generators.pipelines.together import SIZES
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted
from synthlift.generators.translation.config import TranslationConfig
from synthlift.registry import available
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import InputsGenerator, SampleRequest
from tests.unit.generators import adapting
from tests.unit.generators.one_pass import fit, pixels_of

KINDS: dict[str, dict[str, Any]] = {
    "gan": {"width": 8},
    "vae": {"width": 8},
    "translation": {"width": 8, "source": "masks"},
}
TINY: dict[str, Any] = {"steps": 2, "batch_size": 8, "readings": 0, "micro_batch": "measured"}
REQUESTS = [SampleRequest(index=i, label=i % 3, seed=i) for i in range(20)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_measured_chunk_is_fixed_kept_with_the_fit_and_for_the_machine(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    inputs, settings = drawn_inputs(), {**TINY, **KINDS[kind]}
    fitted: Any = fit(kind, tmp_path / "one", inputs, **settings)
    told = fitted.facts()
    assert told["config"]["micro_batch"] == fitted.micro_batch in CHUNKS
    assert str(fitted.micro_batch) in told["measured"]["seconds_per_image"]
    again: Any = fit(kind, tmp_path / "two", inputs, **settings)
    assert again.facts()["measured"] == told["measured"]  # not timed anew
    fixed = fit(kind, tmp_path / "three", inputs, **{**settings, "micro_batch": again.micro_batch})
    assert np.array_equal(pixels_of(again, REQUESTS), pixels_of(fixed, REQUESTS))
    fitted.save(tmp_path / "saved")
    descriptor = available("generators")[kind]
    generator = descriptor.build(descriptor.config.model_validate({**KINDS[kind]}))
    if isinstance(generator, InputsGenerator):
        loaded: Any = generator.reload(tmp_path / "saved", inputs=inputs)
    else:
        loaded = generator.load(tmp_path / "saved")
    assert loaded.micro_batch == fitted.micro_batch
    assert np.array_equal(pixels_of(loaded, REQUESTS), pixels_of(fitted, REQUESTS))


PIPELINES: dict[str, dict[str, Any]] = {
    "text_to_image": {},
    "image_to_image": {"strength": (0.25, 1.0)},
    "adapted": {"adapt": {**adapting.QUICK, "kind": "lora"}},
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_keeps_the_chunk_that_was_measured_with_it(
    name: str, tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    monkeypatch.setattr("synthlift.generators.learning.timing.CALLS", 2)
    monkeypatch.setattr("synthlift.generators.pipelines.together.SIZES", (1, 2, 4))
    kind = "text_to_image" if name == "adapted" else name
    settings = {"model": str(tiny_pipeline), "sampler_steps": 4, **PIPELINES[name]}
    inputs, asked = adapting.inputs(), [replace(r, label=r.label % 2) for r in REQUESTS[:5]]
    one: Any = fit(kind, tmp_path / "one", inputs, **settings, micro_batch="measured")
    told = one.facts()
    assert told["config"]["micro_batch"] == one.micro_batch in SIZES[:3]
    assert str(one.micro_batch) in told["measured"]["seconds_per_image"]
    # Other words take no other time, so nothing is timed anew.
    worded = {**settings, "prompt": "one {label}", "micro_batch": "measured"}
    two: Any = fit(kind, tmp_path / "two", inputs, **worded)
    assert two.facts()["measured"] == told["measured"]
    if name == "adapted":  # it learns in parts of the usual size, whatever was measured
        usual = TextToImageConfig.model_validate(settings)
        again: Any = fit(kind, tmp_path / "three", inputs, **dict(usual))
        assert again.facts()["adaptation"] == told["adaptation"]
    else:
        again = fit(kind, tmp_path / "three", inputs, **settings, micro_batch=one.micro_batch)
        assert np.array_equal(pixels_of(one, asked), pixels_of(again, asked))
    one.save(tmp_path / "saved")
    descriptor = available("generators")[kind]
    generator = descriptor.build(descriptor.config.model_validate(settings))
    if isinstance(generator, InputsGenerator):
        loaded: Any = generator.reload(tmp_path / "saved", inputs=inputs)
    else:
        loaded = generator.load(tmp_path / "saved")
    assert loaded.micro_batch == one.micro_batch
    assert np.array_equal(pixels_of(loaded, asked), pixels_of(one, asked))


def test_a_pipeline_of_which_one_image_fits_into_memory_draws_one(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    held = TextToImageFitted._call

    def small(self: TextToImageFitted, wishes: Any, *further: Any) -> Any:
        if len(wishes) > 1:
            raise torch.OutOfMemoryError("no memory is left")
        return held(self, wishes, *further)

    monkeypatch.setattr(TextToImageFitted, "_call", small)
    model: dict[str, Any] = {"model": str(tiny_pipeline), "micro_batch": "measured"}
    fitted: Any = fit("text_to_image", tmp_path / "fit", adapting.inputs(), **model)
    assert fitted.micro_batch == 1
    # What would take minutes for each size is left out of the trial.
    compiled: Any = fit("text_to_image", tmp_path / "c", adapting.inputs(), **model, compile=True)
    assert compiled.micro_batch == 1
    assert not compiled._pipelines
    # Nor is it done where the time of an image is measured.
    plain = compiled.opened()
    assert plain._pipelines
    assert not compiled._pipelines
    assert (plain._config.compile, compiled._config.compile) == (False, True)


def test_memory_that_is_short_today_is_not_remembered_of_the_machine(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    model: dict[str, Any] = {"model": str(tiny_pipeline), "micro_batch": "measured"}
    with monkeypatch.context() as patch:

        def none(*_: Any) -> Any:
            raise torch.OutOfMemoryError("no memory is left")

        patch.setattr(TextToImageFitted, "_call", none)
        short: Any = fit("text_to_image", tmp_path / "short", adapting.inputs(), **model)
    assert short.facts()["measured"]["seconds_per_image"] == {}
    again: Any = fit("text_to_image", tmp_path / "again", adapting.inputs(), **model)
    assert again.facts()["measured"]["seconds_per_image"]


def test_a_plan_counts_with_the_chunk_by_size_before_one_is_measured(tiny_pipeline: Path) -> None:
    fixed = TextToImageConfig(model=str(tiny_pipeline))
    left = adapting.settings(tiny_pipeline, micro_batch="measured", adapt={"kind": "lora"})
    assert left.fixed_chunk() == fixed.micro_batch == 32
    assert left.device_bytes() == 2 * fixed.device_bytes()
    short = left.shortened(2)
    assert (short["micro_batch"], short["adapt"]["steps"]) == (32, 2)
    assert "micro_batch" not in fixed.model_copy(update={"adapt": left.adapt}).shortened(2)


def test_the_smallest_chunk_that_costs_little_more_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock of its own: a call costs something, and more for each image beyond 16."""
    now = 0.0

    def draw(size: int) -> None:
        nonlocal now
        now += 0.002 + 0.00002 * size + 0.0004 * max(0, size - 16)

    monkeypatch.setattr("synthlift.generators.learning.timing.time.perf_counter", lambda: now)
    found = fastest_chunk(draw, device="cpu")
    assert found["micro_batch"] == 16
    assert list(found["seconds_per_image"]) == ["4", "8", "16", "32"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no memory is left"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_ends_ends_the_search(error: Exception) -> None:
    def draw(size: int) -> None:
        if size > 32:
            raise error

    assert fastest_chunk(draw, device="cpu")["micro_batch"] in (4, 8, 16, 32)


def test_other_errors_are_not_taken_for_memory_that_ends() -> None:
    def draw(_size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        fastest_chunk(draw, device="cpu")


def test_masks_are_drawn_as_many_at_once_as_are_translated(tmp_path: Path) -> None:
    masks = {"kind": "vae", "steps": 2, "width": 8, "readings": 0, "micro_batch": "measured"}
    settings = {**TINY, **KINDS["translation"], "micro_batch": 5, "masks": masks}
    fit("translation", tmp_path / "fit", drawn_inputs(), **settings).save(tmp_path / "saved")
    facts = json.loads((tmp_path / "saved" / "masks" / "synthlift.json").read_text())
    assert facts["config"]["micro_batch"] == 5


def test_what_is_measured_counts_as_no_training() -> None:
    """Speeds are read off fits of a few steps, which the timing would dwarf."""
    config = FlowConfig(precision="measured", compile="measured", micro_batch="measured")
    wanted = {"precision": "float32", "compile": False, "micro_batch": 64, "steps": 2}
    assert config.shortened(2) == wanted
    assert FlowConfig(micro_batch=7).shortened(2) == {"steps": 2}
    masks = {"kind": "vae", "micro_batch": "measured", "latent": 9}
    chain = TranslationConfig(source="masks", masks=masks, micro_batch="measured")
    short = chain.shortened(2)
    assert (short["steps"], short["micro_batch"]) == (2, 32)
    kept = {name: short["masks"][name] for name in ("kind", "steps", "micro_batch", "latent")}
    assert kept == {"kind": "vae", "steps": 2, "micro_batch": 64, "latent": 9}
    assert TranslationConfig.model_validate({**dict(chain), **short}).steps == 2
