"""A network that tells a drawing's traits: what it notices decides how alike two drawings look.

Pixel by pixel, a thin stroke that is a little too pale is a small error; yellow on black then
looks orange. An observer sees that (a perceptual loss, Johnson 2016). It learns from the same
drawings as the other parts; those that measure the models are others, and learnt from others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from scripts.embedded_models.loop import Plan, train
from scripts.embedded_models.pool import Pool, batch_rows
from synthlift.drawings import BACKGROUNDS, COLOURS, SLANTS, THICKNESSES, WORDS

PLAN = Plan("observer", steps=1500, rate=3e-3, decay=0.99)
BATCH = 48
NOISE = 0.05
"""Added to drawings, so that no single pixel matters."""

VALUES: dict[str, Sequence[str]] = {
    "word": WORDS,
    "colour": tuple(COLOURS),
    "slant": tuple(SLANTS),
    "thickness": tuple(THICKNESSES),
    "background": tuple(BACKGROUNDS),
}


class Observer(nn.Module):
    """Four convolutions, and one linear layer a trait."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 32, 48, 64)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=1 if before == 3 else 2, padding=1),
                nn.GroupNorm(4, after),
                nn.SiLU(),
            )
            for before, after in itertools.pairwise(widths)
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * widths[-1], len(values)) for name, values in VALUES.items()}
        )

    def notices(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What each block makes of images, float32 [n, 3, 32, 32] from -1 to 1."""
        found = []
        for block in self.blocks:
            images = block(images)
            found.append(images)
        return found

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of each trait's values."""
        last = self.notices(images)[-1]
        pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
        return {name: head(pooled) for name, head in self.heads.items()}

    def unlikeness(self, drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """How different they look: 0 = the same; each block's squares in units of its own."""
        with torch.no_grad():
            right = self.notices(wanted)
        errors = [
            (found - one).square().mean() / one.square().mean().clamp_min(1e-3)
            for found, one in zip(self.notices(drawn), right, strict=True)
        ]
        return torch.stack(errors).sum()


def train_observer(pool: Pool, work: Path) -> Observer:
    """Train on the pool's drawings; a check-point of a finished training is read back."""
    torch.manual_seed(5)
    model = Observer()
    right = {
        name: torch.tensor([values.index(getattr(one, name)) for one in pool.traits])
        for name, values in VALUES.items()
    }

    def loss_of(step: int) -> torch.Tensor:
        rows = batch_rows(pool, PLAN.name, step, BATCH)
        images = pool.images(rows)
        images = images + NOISE * torch.randn(
            images.shape, generator=torch.Generator().manual_seed(step)
        )
        said = model(images)
        losses = [functional.cross_entropy(said[name], right[name][rows]) for name in VALUES]
        return torch.stack(losses).sum()

    train(model, PLAN, loss_of, work)
    return model.requires_grad_(False).eval()
