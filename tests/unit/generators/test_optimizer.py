"""Muon and 8-bit moments beside Adam on the flat vectors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthlift.errors import InputError
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.network import build_network, hidden, plan_network
from synthlift.generators.learning.eight_bit import require_eight_bit
from synthlift.generators.learning.optimizer import (
    BETA1,
    BETA2,
    FlatState,
    flatten,
    matrices,
    orthogonalised,
    unflatten,
    update,
)


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (32, 32)])
def test_a_matrix_keeps_its_directions_and_loses_its_stretch(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalised(matrix) @ right.T
    scales = turned.diagonal()[values > 0.1 * values[0]]
    assert float(scales.min()) > 0.6
    assert float(scales.max()) < 1.3
    assert torch.allclose(turned, turned.diagonal().diag(), atol=1e-6)


def _after_a_step(*, muon: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 2))
    state: FlatState = flatten(network)
    before = {name: weight.clone() for name, weight in unflatten(network, state.weights).items()}
    torch.autograd.backward(network(torch.randn(16, 6)).square().mean())
    chosen = matrices(network, chosen=lambda name: name.startswith("2.")) if muon else ()
    update(state, step=0, learning_rate=0.01, decay=0.5, orthogonal=chosen)
    return before, unflatten(network, state.weights)


def test_chosen_matrices_take_a_step_of_muon_and_all_else_one_of_adam() -> None:
    before, adam = _after_a_step(muon=False)
    again, muon = _after_a_step(muon=True)
    assert all(torch.equal(before[name], again[name]) for name in before)
    same = {name for name in before if torch.equal(adam[name], muon[name])}
    assert same == set(before) - {"2.weight"}
    largest = torch.linalg.svdvals(muon["2.weight"] - before["2.weight"])[0]
    assert 0.06 < float(largest) < 0.13


def test_only_what_lies_between_the_first_and_last_layer_is_orthogonalised() -> None:
    config = settle(FlowConfig(width=8), examples=500, image_shape=(20, 20, 3))
    for parametrisation in ("flow", "edm"):
        chosen = config.model_copy(update={"parametrisation": parametrisation})
        plan = plan_network(chosen, image_shape=(20, 20, 3), conditions=(3,))
        network = build_network(plan, seed=0)
        found = matrices(network, chosen=hidden)
        sizes = [
            (one.numel(), one.shape[0])
            for name, one in network.named_parameters()
            if one.ndim >= 2 and not name.removeprefix("inner.").startswith(("enter", "leave"))
            if "tables" not in name and "augment" not in name
        ]
        assert [(one.end - one.start, one.rows) for one in found] == sizes
        assert len(sizes) > 10


def _slopes(weights: torch.Tensor, step: int) -> torch.Tensor:
    """Of a bowl that is steep in some directions and flat in others, with noise; norm below 1."""
    stream = torch.Generator().manual_seed(step)
    steep = torch.logspace(-2, 0, weights.numel())
    slope = steep * (weights - 1) + 0.1 * torch.randn(weights.shape, generator=stream)
    return slope / weights.numel()


def _descended(*, eight_bit: bool, steps: int = 60) -> FlatState:
    network = nn.Linear(1000, 5, bias=False)
    nn.init.zeros_(network.weight)
    state = flatten(network, eight_bit=eight_bit)
    for step in range(steps):
        state.gradient.copy_(_slopes(state.weights, step))
        update(state, step=step, learning_rate=0.01, decay=0.9)
    assert torch.equal(network.weight.flatten(), state.weights)
    return state


def test_moments_of_a_byte_lead_where_those_of_four_do() -> None:
    exact, coarse = _descended(eight_bit=False), _descended(eight_bit=True)
    taken = [state.mean.nbytes + state.square.nbytes for state in (exact, coarse)]
    assert coarse.scales is not None
    assert taken[1] + coarse.scales.nbytes < 0.27 * taken[0]
    assert torch.allclose(coarse.weights, exact.weights, atol=0.05)
    assert float((coarse.weights - exact.weights).norm() / exact.weights.norm()) < 0.02
    assert not torch.equal(coarse.weights, exact.weights)
    assert torch.allclose(coarse.average, exact.average, atol=0.05)


def test_a_step_is_that_of_bitsandbytes_own_optimiser() -> None:
    from bitsandbytes.optim import Adam8bit

    theirs = nn.Parameter(torch.zeros(5000))
    optimiser = Adam8bit([theirs], lr=0.01, betas=(BETA1, BETA2), eps=1e-8)
    for step in range(60):
        theirs.grad = _slopes(theirs.detach(), step)
        optimiser.step()
    ours = _descended(eight_bit=True)
    assert torch.equal(ours.weights, theirs)
    assert torch.equal(ours.mean, optimiser.state[theirs]["state1"])


def test_a_device_that_bitsandbytes_does_not_know_is_refused() -> None:
    require_eight_bit(torch.device("cpu"))
    with pytest.raises(InputError, match="on the device 'vulkan'") as caught:
        require_eight_bit(torch.device("vulkan"))
    assert "optimizer: adam" in caught.value.remedy
