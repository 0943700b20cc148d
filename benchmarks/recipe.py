"""A widely copied recipe: conditional DDPM on MNIST (TeaPearce/Conditional_Diffusion_MNIST).

Written anew from what its script states: 400 noise levels with β from 10⁻⁴ to 0.02, a U-Net of 128
channels with batch normalisation whose decoder is multiplied by an embedding of the class and
shifted by one of the time, 10 % of labels dropped, Adam at 10⁻⁴ falling linearly over the epochs,
batches of 256, images from 0 to 1, ancestral sampling with guidance w. Two things are changed, both
in its favour or without effect: where guidance is off the unconditional half, which would count
nothing, is not computed; and the bottleneck, 7 × 7 for 28 pixels, follows the image's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.types import ImageSet, UInt8

LEVELS = 400
FIRST_BETA, LAST_BETA = 1e-4, 0.02
CHANNELS = 128
DROPPED = 0.1
RATE = 1e-4
BATCH = 256
EPOCHS = 20
GUIDANCE = (0.0, 0.5, 2.0)
DRAWN_TOGETHER = 100


class _Twice(nn.Module):
    """Twice convolution, batch normalisation, GELU; ``bypass`` adds what the first one gives."""

    def __init__(self, before: int, after: int, *, bypass: bool = False) -> None:
        super().__init__()
        self.bypass = bypass
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(inner, after, 3, padding=1), nn.BatchNorm2d(after), nn.GELU())
            for inner in (before, after)
        )

    def forward(self, x: Tensor) -> Tensor:
        once = self.first(x)
        twice: Tensor = self.second(once)
        return (once + twice) / math.sqrt(2) if self.bypass else twice


def _doubled(before: int, after: int) -> nn.Sequential:
    """To twice the side, then two pairs of convolutions."""
    grow = nn.ConvTranspose2d(before, after, 2, stride=2)
    return nn.Sequential(grow, _Twice(after, after), _Twice(after, after))


def _embedded(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.GELU(), nn.Linear(after, after))


class ContextUNet(nn.Module):
    """Predicts the noise in grey images [n, 1, S, S], S a multiple of 4, at times in (0, 1]."""

    def __init__(self, *, side: int, classes: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.classes, bottom, wide = classes, side // 4, 2 * channels
        self.enter = _Twice(1, channels, bypass=True)
        self.down = nn.ModuleList([_Twice(channels, channels), _Twice(channels, wide)])
        self.gather = nn.Sequential(nn.AvgPool2d(bottom), nn.GELU())
        self.spread = nn.Sequential(
            nn.ConvTranspose2d(wide, wide, bottom, stride=bottom), nn.GroupNorm(8, wide), nn.ReLU()
        )
        self.up = nn.ModuleList([_doubled(2 * wide, channels), _doubled(wide, channels)])
        self.said = nn.ModuleList([_embedded(classes, wide), _embedded(classes, channels)])
        self.when = nn.ModuleList([_embedded(1, wide), _embedded(1, channels)])
        self.leave = nn.Sequential(
            nn.Conv2d(wide, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )

    def forward(self, x: Tensor, times_n: Tensor, labels_n: Tensor, known_n: Tensor) -> Tensor:
        """Noise [n, 1, S, S]; where ``known_n`` is 0 the class is not said."""
        context = F.one_hot(labels_n, self.classes).float() * known_n[:, None]
        entered = self.enter(x.contiguous(memory_format=torch.channels_last))
        half = F.max_pool2d(self.down[0](entered), 2)
        quarter = F.max_pool2d(self.down[1](half), 2)
        hidden = self.spread(self.gather(quarter))
        layers = zip(self.up, self.said, self.when, (quarter, half), strict=True)
        for up, said, when, kept in layers:
            scale, shift = said(context)[..., None, None], when(times_n[:, None])[..., None, None]
            hidden = up(torch.cat([scale * hidden + shift, kept], dim=1))
        out: Tensor = self.leave(torch.cat([hidden, entered], dim=1))
        return out


def noise_levels() -> tuple[Tensor, Tensor]:
    """β and the running product of 1 − β at levels 0 to 400, float32 [401]."""
    betas = torch.linspace(FIRST_BETA, LAST_BETA, LEVELS + 1)
    return betas, (1 - betas).cumprod(0)


@dataclass
class RecipeFit:
    """A trained recipe.

    Attributes:
        network: in evaluation mode.
        losses: mean squared error of the noise, one an epoch.
        side: of images.
    """

    network: ContextUNet
    side: int
    losses: list[float] = field(default_factory=list)

    @torch.inference_mode()
    def draw(self, labels: Sequence[int], *, guidance: float, seed: int) -> UInt8:
        """One image a label by ancestral sampling (Ho 2020, algorithm 2), uint8 [n, S, S, 1]."""
        betas, products = noise_levels()
        stream, parts = torch.Generator().manual_seed(seed), []
        for start in range(0, len(labels), DRAWN_TOGETHER):
            wanted = torch.tensor(labels[start : start + DRAWN_TOGETHER])
            x = torch.randn(len(wanted), 1, self.side, self.side, generator=stream)
            for level in range(LEVELS, 0, -1):
                noise = self._noise(x, level / LEVELS, wanted, guidance)
                beta, left = betas[level], (1 - products[level]).sqrt()
                x = (x - noise * beta / left) / (1 - beta).sqrt()
                if level > 1:
                    x = x + beta.sqrt() * torch.randn(x.shape, generator=stream)
            parts.append((x.clamp(0, 1) * 255).round().to(torch.uint8))
        return np.ascontiguousarray(torch.cat(parts).permute(0, 2, 3, 1).numpy())

    def _noise(self, x: Tensor, time_: float, wanted: Tensor, guidance: float) -> Tensor:
        times, known = x.new_full((len(x),), time_), x.new_ones(len(x))
        said: Tensor = self.network(x, times, wanted, known)
        if guidance == 0:
            return said
        unsaid = self.network(x, times, wanted, torch.zeros_like(known))
        return torch.lerp(unsaid, said, 1 + guidance)


def fit_recipe(
    train: ImageSet,
    *,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    seed: int,
    tell: Callable[[int, float], None] | None = None,
) -> RecipeFit:
    """Train for so many epochs; ``tell`` is told each epoch's number and mean loss."""
    torch.manual_seed(seed)
    pixels = torch.from_numpy(train.pixels()).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(train.labels)
    network = ContextUNet(side=pixels.shape[-1], classes=len(train.classes))
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    fitted = RecipeFit(network.train(), side=pixels.shape[-1])
    _, products = noise_levels()
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = RATE * (1 - epoch / epochs)
        total = 0.0
        for rows in torch.split(torch.randperm(len(pixels)), batch_size):
            levels = torch.randint(1, LEVELS + 1, (len(rows),))
            product = products[levels][:, None, None, None]
            noise = torch.randn(pixels[rows].shape)
            noisy = product.sqrt() * pixels[rows] + (1 - product).sqrt() * noise
            known = (torch.rand(len(rows)) >= DROPPED).float()
            loss = F.mse_loss(network(noisy, levels / LEVELS, labels[rows], known), noise)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        fitted.losses.append(total / len(pixels))
        if tell is not None:
            tell(epoch, fitted.losses[-1])
    network.eval()
    return fitted
