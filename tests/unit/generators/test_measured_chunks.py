"""How many images are drawn at once may be measured; then it is fixed when fitting, and stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.generators.learning.timing import CHUNKS, fastest_chunk
from synthlift.registry import available
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import InputsGenerator, SampleRequest
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


def test_the_smallest_chunk_that_costs_little_more_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock of its own: a call costs something, and more for each image beyond 64."""
    now = 0.0

    def draw(size: int) -> None:
        nonlocal now
        now += 0.002 + 0.00002 * size + 0.0001 * max(0, size - 64)

    monkeypatch.setattr("synthlift.generators.learning.timing.time.perf_counter", lambda: now)
    found = fastest_chunk(draw, device="cpu")
    assert found["micro_batch"] == 64
    assert list(found["seconds_per_image"]) == ["16", "32", "64", "128"]


def test_memory_that_ends_ends_the_search() -> None:
    def draw(size: int) -> None:
        if size > 32:
            raise torch.OutOfMemoryError("no memory is left")

    assert fastest_chunk(draw, device="cpu")["micro_batch"] in (16, 32)
