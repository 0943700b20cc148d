"""EDM as its authors train it on CIFAR-10, class-conditional (Karras 2022, tables 1, 5 and 7).

Written anew from the paper: the preconditioned denoiser, log-normal noise levels, Adam at 10⁻³ in
batches of 512, dropout 0.13, averaged weights with a half-life of 500,000 images that rises with
what was seen, Heun's method in 18 steps. The network is the U-Net of diffusers in the shape of
DDPM++: three levels of 256 channels, four blocks each, attention at 16 × 16. Three things are
changed, for a run of minutes: the rate rises over 500,000 images instead of ten million, images are
not augmented, and on a GPU layers compute in bfloat16, compiled.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from synthlift.types import ImageSet, UInt8

DEVIATION = 0.5
BATCH, RATE, RISE = 512, 1e-3, 500_000
HALF_LIFE, RISING_SHARE = 500_000, 0.05
STEPS, LOWEST, HIGHEST, RHO = 18, 0.002, 80.0, 7.0
DRAWN_TOGETHER = 256


class Denoiser(nn.Module):
    """D(x, σ) of table 1, around a U-Net of diffusers.

    Args:
        side: of images.
        classes: how many.
        width: channels of every level.
        blocks: of a level.
    """

    def __init__(self, *, side: int, classes: int, width: int = 256, blocks: int = 4) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.layers = UNet2DModel(
            sample_size=side,
            layers_per_block=blocks,
            block_out_channels=(width,) * 3,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            dropout=0.13,
            attention_head_dim=None,
            num_class_embeds=classes,
        )

    def forward(self, x: Tensor, sigma_n: Tensor, labels_n: Tensor) -> Tensor:
        """The image without its noise."""
        sigma = sigma_n[:, None, None, None]
        spread = (sigma**2 + DEVIATION**2).sqrt()
        found = self.layers(x / spread, sigma_n.log() / 4, class_labels=labels_n).sample
        kept = DEVIATION**2 / spread**2
        image: Tensor = kept * x + sigma * DEVIATION / spread * found.float()
        return image


def loss_of(network: Callable[..., Tensor], x: Tensor, labels_n: Tensor) -> Tensor:
    """Equation 3 with the weights and noise levels of table 1."""
    sigma = (torch.randn(len(x), device=x.device) * 1.2 - 1.2).exp()
    weight = (sigma**2 + DEVIATION**2) / (sigma * DEVIATION) ** 2
    noisy = x + sigma[:, None, None, None] * torch.randn_like(x)
    errors = (network(noisy, sigma, labels_n) - x).square().mean(dim=(1, 2, 3))
    return (weight * errors).mean()


@dataclass
class EDMRun:
    """A training that is looked at after so many seconds.

    Attributes:
        averages: copies of the averaged network, by seconds of training.
        images: how many it had seen by then.
    """

    averages: dict[float, Denoiser] = field(default_factory=dict)
    images: dict[float, int] = field(default_factory=dict)


def train_edm(
    train: ImageSet,
    *,
    looks: Sequence[float],
    device: str,
    seed: int,
    batch: int = BATCH,
    width: int = 256,
    blocks: int = 4,
    clock: Callable[[], float] = time.perf_counter,
) -> EDMRun:
    """Train until the last look, by the seconds of a clock.

    Copying weights for a look is not counted.
    """
    torch.manual_seed(seed)
    on_gpu = torch.device(device).type == "cuda"
    pixels = torch.from_numpy(train.pixels()).permute(0, 3, 1, 2).to(device)
    labels = torch.from_numpy(train.labels).to(device)
    side, classes = pixels.shape[-1], len(train.classes)
    network = Denoiser(side=side, classes=classes, width=width, blocks=blocks).to(device)
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    called: Callable[..., Tensor] = torch.compile(network) if on_gpu else network
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, fused=on_gpu)
    run, seen, spent = EDMRun(), 0, 0.0
    pairs = list(zip(average.parameters(), network.parameters(), strict=True))
    for look in sorted(looks):
        while spent < look:
            began = clock()
            rows = torch.randint(len(pixels), (batch,), device=device)
            flipped = torch.rand(batch, device=device) < 0.5
            x = pixels[rows].float() / 127.5 - 1
            x = torch.where(flipped[:, None, None, None], x.flip(3), x)
            optimiser.param_groups[0]["lr"] = RATE * min(1, (seen + batch) / RISE)
            with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=on_gpu):
                loss = loss_of(called, x, labels[rows])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            seen += batch
            kept = 0.5 ** (batch / max(1e-8, min(HALF_LIFE, RISING_SHARE * seen)))
            for mine, now in pairs:
                mine.lerp_(now.detach(), 1 - kept)
            if on_gpu:
                torch.cuda.synchronize(device)
            spent += clock() - began
        run.averages[look], run.images[look] = copy.deepcopy(average), seen
    return run


@torch.inference_mode()
def draw_edm(network: Denoiser, labels: Sequence[int], *, seed: int, steps: int = STEPS) -> UInt8:
    """One image a label by Heun's method (algorithm 1 without churn), uint8 [n, S, S, 3]."""
    device = next(network.parameters()).device
    side, stream = network.layers.config.sample_size, torch.Generator().manual_seed(seed)
    ends = HIGHEST ** (1 / RHO), LOWEST ** (1 / RHO)
    levels = [(ends[0] + i / (steps - 1) * (ends[1] - ends[0])) ** RHO for i in range(steps)] + [0]
    parts = []
    for start in range(0, len(labels), DRAWN_TOGETHER):
        wanted = torch.tensor(labels[start : start + DRAWN_TOGETHER], device=device)
        x = torch.randn(len(wanted), 3, side, side, generator=stream).to(device) * levels[0]
        for now, after in pairwise(levels):
            slope = (x - network(x, x.new_full((len(x),), now), wanted)) / now
            moved = x + (after - now) * slope
            if after:
                end = (moved - network(moved, x.new_full((len(x),), after), wanted)) / after
                moved = x + (after - now) * (slope + end) / 2
            x = moved
        parts.append(((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu())
    return np.ascontiguousarray(torch.cat(parts).permute(0, 2, 3, 1).numpy())
