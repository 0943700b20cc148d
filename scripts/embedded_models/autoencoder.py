"""The autoencoder: 32 × 32 × 3 pixels to 16 × 16 × 4 numbers and back."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from scripts.embedded_models.loop import Plan, train
from scripts.embedded_models.pool import Pool, batch_rows

PLAN = Plan("autoencoder", steps=1400, rate=3e-3, cycles=2)
FINISH = Plan("decoder", steps=900, rate=2e-3)
SHARPEN = Plan("sharp", steps=5000, rate=2e-3, decay=0.998)
"""By absolute errors alone, since squared ones leave thin strokes too wide and too pale."""

BATCH = 16
NOISE = 0.05
"""Added to latents while the decoder is finished: those that are drawn are never exact."""

PULL = 1e-5
"""Weight of the pull of latents towards a normal distribution."""


def train_autoencoder(pool: Pool, work: Path) -> AutoencoderKL:
    """Train the autoencoder and set the factor that brings its latents to unit spread."""
    torch.manual_seed(1)
    model = AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        sample_size=32,
        mid_block_add_attention=False,
    )

    def loss_of(step: int) -> torch.Tensor:
        images = pool.images(batch_rows(pool, "autoencoder", step, BATCH))
        posterior = model.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(step))
        drawn = model.decode(posterior.mean + posterior.std * noise).sample
        error = functional.mse_loss(drawn, images) + 0.2 * functional.l1_loss(drawn, images)
        loss: torch.Tensor = error + PULL * posterior.kl().mean() / 3
        return loss

    train(model, PLAN, loss_of, work)
    latents = encoded(model, pool, 1000)
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    return model.eval()


def finish_decoder(model: AutoencoderKL, pool: Pool, work: Path) -> AutoencoderKL:
    """Train the decoder alone for longer; the latents stay what they are."""
    model.requires_grad_(False)
    parts = nn.ModuleDict({"decoder": model.decoder, "before": model.post_quant_conv})
    parts.requires_grad_(True)
    latents = encoded(model, pool, len(pool.traits))

    def loss_of(purpose: str, step: int) -> torch.Tensor:
        rows = batch_rows(pool, purpose, step, BATCH)
        images = pool.images(rows)
        noise = torch.randn(latents[rows].shape, generator=torch.Generator().manual_seed(step))
        drawn = model.decode(latents[rows] + NOISE * noise).sample
        absolute = functional.l1_loss(drawn, images)
        if purpose == SHARPEN.name:
            return absolute
        return functional.mse_loss(drawn, images) + 0.2 * absolute

    for plan in (FINISH, SHARPEN):
        train(parts, plan, functools.partial(loss_of, plan.name), work)
    return model.eval()


@torch.inference_mode()
def encoded(model: AutoencoderKL, pool: Pool, count: int) -> torch.Tensor:
    """Latents of the first drawings, float32 [count, 4, 16, 16], not yet scaled."""
    parts = [
        model.encode(pool.images(range(start, min(start + 200, count)))).latent_dist.mean
        for start in range(0, count, 200)
    ]
    return torch.cat(parts).clone()
