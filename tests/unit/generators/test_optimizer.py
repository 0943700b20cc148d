"""Muon beside Adam on the flat vectors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.network import build_network, hidden, plan_network
from synthlift.generators.learning.optimizer import (
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
