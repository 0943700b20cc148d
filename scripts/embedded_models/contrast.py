"""The small CLIP: pictures and captions that belong together come to lie close.

Captions alone teach colours first and classes late, since a batch is told apart by colours. So
each trait is also asked for by itself: which of all its values is shown? Learning begins with
bright lines on dark grounds: a transformer that met all colours at once did not come to see forms.
"""

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
from synthlift.drawings import (
    BACKGROUNDS,
    COLOURS,
    DIGITS,
    SLANTS,
    THICKNESSES,
    WORDS,
    Traits,
    describe,
)
from synthlift.seeds import generator_for

PLAN = Plan("clip", steps=3000, rate=1e-3)
BATCH = 64
EASY_UNTIL, ALL_FROM = 800, 2000
"""Steps up to which, and from which on, drawings are easy, and of all kinds."""

WEIGHTS = {"word": 1.0, "slant": 0.5}
"""Of the questions; of others a fifth."""

VALUES = {
    "word": WORDS,
    "colour": tuple(COLOURS),
    "slant": tuple(SLANTS),
    "thickness": tuple(THICKNESSES),
    "background": tuple(BACKGROUNDS),
}
QUESTIONS = {
    "word": ("{}", "a {}", "a photo of {}", "a photo of a {}", "a picture of a {}"),
    "colour": ("{}", "a {} drawing", "a photo of a {} drawing"),
    "slant": ("{}", "a drawing {}", "a {} drawing"),
    "thickness": ("{}", "a {} drawing", "a photo of a {} drawing"),
    "background": ("on {}", "a drawing on {}", "a drawing on a {} background"),
}


def train_clip(pool: Pool, tokenizer: CLIPTokenizer, work: Path) -> CLIPModel:
    """Train both encoders on the pool's drawings and their captions."""
    torch.manual_seed(3)
    vision = CLIPVisionConfig(
        image_size=32,
        patch_size=8,
        hidden_size=128,
        intermediate_size=256,
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

    easy = [row for row, one in enumerate(pool.traits) if _is_easy(one)]

    def loss_of(step: int) -> torch.Tensor:
        rng = generator_for(SEED, "descriptions", step)
        rows = [
            int(rng.choice(easy)) if rng.random() < _easy_share(step) else row
            for row in batch_rows(pool, "clip", step, BATCH)
        ]
        traits = [pool.traits[row] for row in rows]
        texts, said = zip(*(describe(one, rng) for one in traits), strict=True)
        asked = [question for trait in VALUES for question in _questions(trait, rng)]
        told = tokens(tokenizer, [*texts, *asked], longest=True)
        found = model(input_ids=told, pixel_values=pool.images(rows)).logits_per_image
        loss = _contrast(found[:, :BATCH], torch.from_numpy(true_of(traits, said)))
        first = BATCH
        for trait, values in VALUES.items():
            shown = torch.tensor([values.index(getattr(one, trait)) for one in traits])
            answers = found[:, first : first + len(values)]
            loss = loss + WEIGHTS.get(trait, 0.2) * functional.cross_entropy(answers, shown)
            first += len(values)
        return loss

    train(model, PLAN, loss_of, work)
    return model


def _is_easy(traits: Traits) -> bool:
    """Whether a bright line stands on a dark ground."""
    dark = ("red", "blue", "purple")
    return traits.background in ("black", "navy") and traits.colour not in dark


def _easy_share(step: int) -> float:
    return min(1.0, max(0.0, (ALL_FROM - step) / (ALL_FROM - EASY_UNTIL)))


def _questions(trait: str, rng: np.random.Generator) -> list[str]:
    """One text for each value of a trait, all in the same words."""
    text, figures = str(rng.choice(QUESTIONS[trait])), rng.random() < 0.4
    return [
        text.format(DIGITS.index(value) if figures and value in DIGITS else value)
        for value in VALUES[trait]
    ]


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
