"""The decoder learns what the network draws.

Latents that the network has drawn are not those of drawings: where it is unsure, strokes are paler.
So drawings are lost in noise in part, drawn again by the finished network, and the decoder learns
to give back the drawing from that, and from the drawing's own latents.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from torch.nn import functional

from scripts.embedded_models.autoencoder import NOISE, encoded
from scripts.embedded_models.denoiser import tokens
from scripts.embedded_models.loop import Plan, train
from scripts.embedded_models.observer import train_observer
from scripts.embedded_models.pool import SEED, Pool, batch_rows
from synthlift.drawings import caption
from synthlift.seeds import generator_for

PLAN = Plan("matching", steps=5000, rate=1.5e-3, decay=0.99)
REDRAWN, TOGETHER = 10_000, 100
"""Drawings that are drawn again, and how many at a time."""

STEPS, FEWEST, MOST = 15, 4, 9
"""Of so many steps, the last few are taken anew."""
GUIDANCE = 2.0

BATCH, OF_DRAWINGS = 16, 4
"""Latents of a step, and how many of them are drawings' own."""
SEEN = 2.0
"""Weight of what an observer sees, beside the pixels."""


def match_decoder(pipeline: StableDiffusionPipeline, pool: Pool, work: Path) -> None:
    """Train the pipeline's decoder; its network and the latents stay what they are."""
    observer, model = train_observer(pool, work), pipeline.vae
    again = redrawn(pipeline, pool, work)
    own = encoded(model, pool, len(again))
    model.requires_grad_(False)
    parts = nn.ModuleDict({"decoder": model.decoder, "before": model.post_quant_conv})
    parts.requires_grad_(True)

    def loss_of(step: int) -> torch.Tensor:
        rows = batch_rows(pool, PLAN.name, step, BATCH, among=len(again))
        images, latents = pool.images(rows), own[rows]
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(step))
        latents = latents + NOISE * noise
        latents[OF_DRAWINGS:] = again[rows[OF_DRAWINGS:]]
        drawn = model.decode(latents).sample
        error = (drawn - images).abs() + (drawn - images).square()
        at_pixels = (error * (0.2 + 4 * near_strokes(images))).mean()
        loss: torch.Tensor = at_pixels + SEEN * observer.unlikeness(drawn, images)
        return loss

    train(parts, PLAN, loss_of, work)
    model.eval()


def near_strokes(images: torch.Tensor) -> torch.Tensor:
    """1 on strokes and beside them, else 0; [n, 1, H, W]. A drawing never reaches its corner."""
    away = (images - images[:, :, :1, :1]).abs().amax(1, keepdim=True) / 2
    return functional.max_pool2d((away > 0.1).to(images.dtype), 3, stride=1, padding=1)


@torch.inference_mode()
def redrawn(pipeline: StableDiffusionPipeline, pool: Pool, work: Path) -> torch.Tensor:
    """Latents of the first drawings, drawn again from a part of the way; float32, not scaled."""
    file = work / "redrawn.pt"
    if file.is_file():
        kept: torch.Tensor = torch.load(file, weights_only=True)
        return kept
    factor, schedule = pipeline.vae.config.scaling_factor, pipeline.scheduler
    own = encoded(pipeline.vae, pool, REDRAWN) * factor
    schedule.set_timesteps(STEPS)
    nothing = pipeline.text_encoder(tokens(pipeline.tokenizer, [""]))[0]
    parts = []
    for start in range(0, len(own), TOGETHER):
        rng, latents = generator_for(SEED, "redrawn", start), own[start : start + TOGETHER]
        said = [caption(one, rng) for one in pool.traits[start : start + TOGETHER]]
        words = pipeline.text_encoder(tokens(pipeline.tokenizer, said))[0]
        unsaid = nothing.expand_as(words)
        left = schedule.timesteps[-int(rng.integers(FEWEST, MOST + 1)) :]
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(start))
        latents = schedule.add_noise(latents, noise, left[:1].expand(len(latents)))
        for time in left:
            with_words = pipeline.unet(latents, time, words).sample
            without = pipeline.unet(latents, time, unsaid).sample
            found = without + GUIDANCE * (with_words - without)
            latents = schedule.step(found, time, latents).prev_sample
        parts.append(latents / factor)
        if len(parts) % 10 == 0:
            print(f"drawn again: {len(parts) * TOGETHER} of {len(own)}", flush=True)
    again = torch.cat(parts).clone()
    partial = file.with_suffix(".part")
    torch.save(again, partial)
    partial.replace(file)
    return again
