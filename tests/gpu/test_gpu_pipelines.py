"""Pipelines on a GPU: the same promises as on a processor.

``SYNTHLIFT_TEST_DEVICE=cpu pytest -m gpu`` goes through the same code where there is no GPU.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.power import Energy
from synthlift.generators.pipelines.together import SIZES
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted, TextToImageGenerator
from synthlift.store import Store
from synthlift.store.metering import Piece
from synthlift.study.energy import shared_joules
from synthlift.study.gpu_energy import energy_counter, most_watts
from synthlift.types import RunContext, SampleRequest
from tests.unit.generators.adapting import QUICK, inputs
from tests.unit.store.stages import request

pytestmark = pytest.mark.gpu

DEVICE = os.environ.get("SYNTHLIFT_TEST_DEVICE", "cuda:0")


def fitted(model: Path, folder: Path, **settings: Any) -> TextToImageFitted:
    config = TextToImageConfig.model_validate(
        {"model": str(model), "sampler_steps": 4, "micro_batch": 2, **settings}
    )
    run = RunContext(folder=folder, seed=1, device=DEVICE)
    return TextToImageGenerator(config).fit(inputs(), run=run)


def drawn(generator: Any, count: int = 3) -> np.ndarray:
    requests = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(count)]
    return np.concatenate([batch.pixels for batch in generator.sample(requests)]).astype(int)


def test_an_image_depends_on_its_request_alone(tiny_pipeline: Path, tmp_path: Path) -> None:
    generator = fitted(tiny_pipeline, tmp_path)
    found = drawn(generator)
    assert np.array_equal(drawn(generator, count=1), found[:1])
    assert np.array_equal(drawn(fitted(tiny_pipeline, tmp_path)), found)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_draws_nearly_the_same(
    tiny_pipeline: Path, tmp_path: Path, dtype: str
) -> None:
    exact = drawn(fitted(tiny_pipeline, tmp_path))
    rounded = drawn(fitted(tiny_pipeline, tmp_path, dtype=dtype))
    assert np.abs(rounded - exact).mean() < 8


@pytest.mark.parametrize("savings", [1, 2])
def test_less_memory_draws_nearly_the_same(
    tiny_pipeline: Path, tmp_path: Path, savings: int
) -> None:
    generator = fitted(tiny_pipeline, tmp_path)
    usual = drawn(generator)
    if savings > len(generator.ways_to_save):
        pytest.skip("a processor has no other place for parts")
    lean = drawn(generator.with_micro_batch(1).with_savings(savings))
    assert 0 < np.abs(lean - usual).mean() < 30


@pytest.mark.parametrize("settings", [{"compile": True}, {"compile": True, "cache_interval": 2}])
def test_a_compiled_network_draws_the_same_but_for_rounding(
    tiny_pipeline: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    plain = {name: value for name, value in settings.items() if name != "compile"}
    usual = drawn(fitted(tiny_pipeline, tmp_path, **plain))
    assert np.abs(drawn(fitted(tiny_pipeline, tmp_path, **settings)) - usual).max() <= 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_lora_is_learnt(tiny_pipeline: Path, tmp_path: Path, dtype: str) -> None:
    adapt = {**QUICK, "kind": "lora", "text_encoder": True, "learning_rate": 0.3, "readings": 0}
    adapted = fitted(tiny_pipeline, tmp_path / "fit", adapt=adapt, dtype=dtype)
    assert adapted.facts()["adaptation"]["steps_done"] == QUICK["steps"]
    assert np.abs(drawn(adapted) - drawn(fitted(tiny_pipeline, tmp_path, dtype=dtype))).max() > 3


def test_a_gpu_counts_its_energy() -> None:
    if not DEVICE.startswith("cuda"):
        pytest.skip("the energy of a processor is estimated")
    with Energy(DEVICE) as spent:
        until = time.perf_counter() + 1
        square = torch.ones((2048, 2048), device=DEVICE)
        while time.perf_counter() < until:
            square = (square @ square).clamp(max=1)
            torch.cuda.synchronize(DEVICE)
    assert spent.method.startswith("measured")
    assert 10 < spent.kwh * 3.6e6 / spent.seconds < 1000, "watts of a whole GPU"
    limit = most_watts(DEVICE)
    assert limit is not None
    assert 10 < limit < 2000


def test_what_a_stage_took_of_a_gpu_stands_in_its_record(tmp_path: Path) -> None:
    if not DEVICE.startswith("cuda"):
        pytest.skip("the energy of a processor is estimated")
    store, wanted = Store(tmp_path), request("burning", seconds=1.0, told=True)
    store.compute(replace(wanted, device=DEVICE), counter=energy_counter(DEVICE))
    cost = store.open(wanted.key).record["cost"]
    (joules,) = shared_joules([Piece(*one) for one in cost["gpu_energy"]])
    assert 10 < joules / cost["seconds"] < 1000


def test_a_chunk_is_measured_on_a_gpu(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_DATA_HOME", str(tmp_path / "machine"))
    found = fitted(tiny_pipeline, tmp_path / "fit", micro_batch="measured")
    assert found.micro_batch in SIZES
    assert str(found.micro_batch) in found.facts()["measured"]["seconds_per_image"]
    assert len(drawn(found)) == 3
