"""The fused optimisers give what torch.optim gives, bit for bit."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Literal

import pytest
import torch
from torch import nn

from synthlift.spec.study import Training
from synthlift.training.optimizers import MOMENTUM, Optimizer
from synthlift.training.settings import resolve_training


def make_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Linear(7, 3))


def reference(network: nn.Module, kind: str, rate: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if kind == "adam":
        return torch.optim.AdamW(groups, lr=rate, fused=True)
    return torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True, fused=True)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_steps_equal_torch_optim_also_after_a_restart(kind: Literal["adam", "sgd"]) -> None:
    settings = resolve_training(
        Training(optimizer=kind, learning_rate=0.02), train_count=100, image_size=8, classes=3
    )
    ours, theirs = make_network(), make_network()
    mine, theirs_optimizer = Optimizer(ours.parameters(), settings), reference(theirs, kind, 0.02)
    stream = torch.Generator().manual_seed(1)
    for step in range(12):
        inputs = torch.randn(16, 5, generator=stream)
        if step == 6:
            state = copy.deepcopy(mine.state())
            mine = Optimizer(ours.parameters(), settings)
            mine.restore(state)
        for network, optimizer in ((ours, mine), (theirs, theirs_optimizer)):
            optimizer.zero_grad()
            loss: torch.Tensor = network(inputs).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_parameter_without_gradient_stays() -> None:
    settings = resolve_training(Training(), train_count=100, image_size=8, classes=3)
    used, unused = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2, requires_grad=True)
    optimizer = Optimizer([used, unused], settings)
    used.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert torch.equal(unused, torch.ones(2, 2))
    assert not torch.equal(used, torch.ones(2, 2))


def test_training_imports_no_compiler() -> None:
    """The compiler takes seconds to import, in every worker."""
    code = (
        "import sys, numpy as np, pathlib, tempfile\n"
        "from tests.unit.training.test_optimizers import train_a_little\n"
        "train_a_little(pathlib.Path(tempfile.mkdtemp()))\n"
        "print('torch._dynamo' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def train_a_little(folder: object) -> None:
    from pathlib import Path

    import numpy as np

    from synthlift.registry import descriptor
    from synthlift.spec.arms import Arm, Recipe
    from synthlift.training.batches import TrainingSeeds
    from synthlift.training.trainer import TrainingJob, train
    from synthlift.types import ImageSet, RunContext

    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
    images = ImageSet.from_arrays(pixels, np.arange(12) % 3, ["a", "b", "c"])
    found = descriptor("classifiers", "small_cnn")
    assert isinstance(folder, Path)
    train(
        TrainingJob(
            real=images,
            validation=images,
            arm=Arm(name="x", role="rival", recipe=Recipe(augmentation="medium")),
            classifier=found,
            config=found.config(),
            settings=resolve_training(Training(steps=3), train_count=12, image_size=8, classes=3),
            seeds=TrainingSeeds(0, 1, 2, 3),
        ),
        run=RunContext(folder=folder, seed=0),
    )
