"""The small CLIP: pictures and captions that belong together come to lie close."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from scripts.embedded_models.denoiser import text_config, tokens
from scripts.embedded_models.loop import Plan, train
from scripts.embedded_models.pool import SEED, Pool, batch_rows
from synthlift.drawings import Traits, describe
from synthlift.seeds import generator_for

PLAN = Plan("clip", steps=1500, rate=2e-3)
BATCH = 64


def train_clip(pool: Pool, tokenizer: CLIPTokenizer, work: Path) -> CLIPModel:
    """Train both encoders on the pool's drawings and their captions."""
    torch.manual_seed(3)
    vision = CLIPVisionConfig(
        image_size=32,
        patch_size=4,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        projection_dim=64,
    )
    model = CLIPModel(
        CLIPConfig(
            text_config=text_config(tokenizer).to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=64,
        )
    )

    def loss_of(step: int) -> torch.Tensor:
        rows = batch_rows(pool, "clip", step, BATCH)
        rng = generator_for(SEED, "descriptions", step)
        traits = [pool.traits[row] for row in rows]
        texts, said = zip(*(describe(one, rng) for one in traits), strict=True)
        found = model(input_ids=tokens(tokenizer, list(texts)), pixel_values=pool.images(rows))
        return _contrast(found.logits_per_image, torch.from_numpy(true_of(traits, said)))

    train(model, PLAN, loss_of, work)
    return model.eval()


def true_of(traits: Sequence[Traits], said: Sequence[Traits]) -> np.ndarray:
    """Whether what the caption in column j says is true of the drawing in row i, bool."""
    shown = np.array([[one.word, *one.as_attributes().values()] for one in traits])
    told = np.array([[one.word, *one.as_attributes().values()] for one in said])
    same = (shown[:, None] == told[None]) | (told == "")[None]
    return np.asarray(same.all(axis=2))


def _contrast(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Cross-entropy both ways; all true captions of a drawing share the target."""
    target = true.to(logits.dtype)
    rows = functional.cross_entropy(logits, target / target.sum(1, keepdim=True))
    columns = functional.cross_entropy(logits.T, target.T / target.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def processor() -> CLIPImageProcessor:
    """What pictures go through on their way to the model."""
    return CLIPImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
