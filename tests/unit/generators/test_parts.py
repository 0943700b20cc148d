from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.learning.parts import PartGradients, cut
from synthlift.store.files import hash_files
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import RunContext


@pytest.mark.parametrize(("count", "parts"), [(64, 2), (7, 3), (2, 5), (1, 1)])
def test_each_row_is_in_one_part_and_none_is_empty(count: int, parts: int) -> None:
    slices = cut(count, parts)
    rows = [row for part in slices for row in range(count)[part]]
    assert rows == list(range(count))
    assert len(slices) == min(count, parts)
    assert max(len(range(count)[s]) for s in slices) - min(len(range(count)[s]) for s in slices) < 2


def _gradient(parts: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    used = nn.Sequential(nn.Linear(6, 9), nn.SiLU(), nn.Linear(9, 2))
    network = nn.ModuleDict({"used": used, "idle": nn.Linear(2, 2)})
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    inputs = torch.randn(11, 6)

    def loss_of(rows: slice) -> Tensor:
        mean: Tensor = used(inputs[rows]).square().mean()
        return mean

    loss = PartGradients(network, parts=parts).add(loss_of, count=len(inputs))
    return loss, torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("parts", [2, 3, 40])
def test_parts_of_unequal_size_add_up_to_the_mean_over_all(parts: int) -> None:
    whole, parted = _gradient(1), _gradient(parts)
    torch.testing.assert_close(parted, whole, rtol=1e-5, atol=1e-7)
    assert not parted[0].requires_grad


def _fit(folder: Path, *, parts: int) -> FlowFitted:
    folder.mkdir()
    config = FlowConfig(
        steps=6, batch_size=10, network="unet", width=8, readings=0, parts=parts, sampler_steps=2
    )
    return FlowGenerator(config).fit(drawn_inputs(), run=RunContext(folder=folder, seed=1))


def _bits(fitted: FlowFitted, folder: Path) -> str:
    fitted.save(folder)
    return hash_files(folder)["network/diffusion_pytorch_model.safetensors"]


def test_a_fit_in_parts_has_the_same_bits_each_time(tmp_path: Path) -> None:
    found = [_bits(_fit(tmp_path / f"f{i}", parts=4), tmp_path / f"s{i}") for i in range(3)]
    assert len(set(found)) == 1
    assert _bits(_fit(tmp_path / "whole", parts=1), tmp_path / "s") != found[0]
