from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import RunContext, SampleRequest


def _fit(folder: Path, *, network: str, precision: str) -> FlowFitted:
    folder.mkdir()
    config = FlowConfig.model_validate(
        {"steps": 40, "batch_size": 16, "network": network, "width": 16, "depth": 1, "readings": 0}
        | {"precision": precision, "sampler_steps": 2}
    )
    return FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=folder, seed=5))


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_bfloat16_learns_about_the_same_and_keeps_float32_weights(
    tmp_path: Path, network: str
) -> None:
    weights, losses, drawn = [], [], []
    for precision in ("float32", "bfloat16"):
        fitted = _fit(tmp_path / precision, network=network, precision=precision)
        fitted.save(tmp_path / f"{precision}-saved")
        file = tmp_path / f"{precision}-saved" / "network" / "diffusion_pytorch_model.safetensors"
        weights.append(load_file(file))
        losses.append(fitted.facts()["losses"][-1])
        requests = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(4)]
        drawn.append(np.concatenate([b.pixels for b in fitted.sample(requests)]).astype(int))
    exact, rough = weights
    assert {value.dtype for value in rough.values()} == {np.dtype(np.float32)}
    assert any(not np.array_equal(exact[name], rough[name]) for name in exact)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert 0 < np.abs(drawn[1] - drawn[0]).mean() < 25
