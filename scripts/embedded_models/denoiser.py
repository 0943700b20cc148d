"""The denoiser and its text encoder, trained together, as a Stable Diffusion pipeline."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scripts.embedded_models.autoencoder import encoded
from scripts.embedded_models.loop import Plan, train
from scripts.embedded_models.pool import SEED, Pool, batch_rows
from scripts.embedded_models.tokenizer import LENGTH
from synthlift.drawings import caption
from synthlift.seeds import generator_for

FORMS = Plan("forms", steps=2800, rate=1.5e-3, decay=0.998)
"""Learns what drawings look like, with a text encoder that begins from nothing."""

WORDS = Plan("words", steps=1000, rate=1.5e-3, decay=0.995)
"""Learns what the CLIP's text encoder says of them. Beginning from nothing, the two had not come
to understand a single class when the forms were learnt."""

LONGER = Plan("longer", steps=4000, rate=1.2e-3, decay=0.998)
"""The same for longer, until pictures show what is said."""

POLISH = Plan("polish", steps=1600, rate=7e-4, decay=0.998)
"""Once more, at a lower rate: strokes take on their colour and thickness last."""

FINISH = Plan("finish", steps=4000, rate=6e-4, decay=0.999)
"""And once more: thickness and colour still came out wrong in a sixth of the pictures."""

BATCH = 32
UNSAID = 0.1
"""Share of drawings without a caption, for guidance."""

WIDTH = 96


def train_pipeline(
    pool: Pool, autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, clip: CLIPModel, work: Path
) -> StableDiffusionPipeline:
    """Train on latents of the pool's drawings and their captions, which the CLIP reads."""
    torch.manual_seed(2)
    parts = nn.ModuleDict({"unet": _unet(), "text": CLIPTextModel(text_config(tokenizer))})
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=True,
    )
    latents = encoded(autoencoder, pool, len(pool.traits)) * autoencoder.config.scaling_factor

    def loss_of(purpose: str, step: int) -> torch.Tensor:
        rows = batch_rows(pool, purpose, step, BATCH)
        rng = generator_for(SEED, "captions", purpose, step)
        said = ["" if rng.random() < UNSAID else caption(pool.traits[row], rng) for row in rows]
        draw = torch.Generator().manual_seed(step)
        noise = torch.randn(BATCH, *latents.shape[1:], generator=draw)
        # One time in each stratum: losses of neighbouring steps compare.
        spread = (torch.arange(BATCH) + torch.rand(BATCH, generator=draw)) / BATCH
        if purpose != FORMS.name:
            # Words matter where noise hides all else; elsewhere colours can be seen.
            spread = spread ** (1 / 3)
        times = (spread * scheduler.config.num_train_timesteps).long()
        noisy = scheduler.add_noise(latents[rows], noise, times)
        words = parts["text"](tokens(tokenizer, said))[0]
        found = parts["unet"](noisy, times, words).sample
        return functional.mse_loss(found, scheduler.get_velocity(latents[rows], noise, times))

    train(parts, FORMS, functools.partial(loss_of, FORMS.name), work)
    parts["text"].load_state_dict(clip.text_model.state_dict())
    parts["text"].requires_grad_(False)
    for plan in (WORDS, LONGER, POLISH, FINISH):
        train(parts, plan, functools.partial(loss_of, plan.name), work)
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=parts["text"].eval(),
        tokenizer=tokenizer,
        unet=parts["unet"].eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tokens(tokenizer: CLIPTokenizer, texts: list[str], *, longest: bool = False) -> torch.Tensor:
    """Numbers of the tokens, int64 [n, LENGTH]; with ``longest``, as few as the longest needs."""
    padding = "longest" if longest else "max_length"
    made: Any = tokenizer(
        texts, padding=padding, truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    return torch.as_tensor(made["input_ids"])


def text_config(tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """A small text encoder of CLIP's kind."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(24, 48, WIDTH),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
    )
