"""Pipelines of real size with random weights: shape is what costs.

Stable Diffusion 1.5 and XL are built from the settings that come with the package, a diffusion
transformer in the shape of PixArt-Σ XL/2 at 1,024 pixels. Of its T5 encoder, which has 24 layers,
four are built, since texts cost little beside images. Each shape has a tiny sister of the same
parts, for a processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from synthlift.generators.pipelines.vocabularies import LAYOUTS, known_tokenizer

SEED = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Parts = Mapping[str, Mapping[str, Any]]

TINY_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 32,
}
TINY_VAE = {"block_out_channels": [8, 8, 8, 8], "norm_num_groups": 4, "layers_per_block": 1}


@dataclass(frozen=True)
class Shape:
    """One pipeline.

    Attributes:
        side: in pixels.
        layout: folder of settings among those of the package; "" = the diffusion transformer.
        changed: settings that differ, by part.
    """

    side: int
    layout: str = ""
    changed: Parts = field(default_factory=dict)


SHAPES: dict[str, Shape] = {
    "sd15": Shape(512, "sd1"),
    "sdxl": Shape(1024, "sdxl"),
    "dit": Shape(1024),
    "tiny-sd15": Shape(
        64,
        "sd1",
        {
            "unet": {
                "block_out_channels": [16, 32, 32, 32],
                "norm_num_groups": 8,
                "attention_head_dim": 4,
                "cross_attention_dim": 32,
                "layers_per_block": 1,
                "sample_size": 8,
            },
            "vae": {**TINY_VAE, "sample_size": 64},
            "text_encoder": TINY_TEXT,
        },
    ),
    "tiny-sdxl": Shape(
        64,
        "sdxl",
        {
            "unet": {
                "block_out_channels": [16, 32, 32],
                "norm_num_groups": 8,
                "attention_head_dim": [2, 4, 4],
                "transformer_layers_per_block": [1, 1, 2],
                "cross_attention_dim": 64,
                "layers_per_block": 1,
                "sample_size": 8,
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 6 * 8 + 32,
            },
            "vae": {**TINY_VAE, "sample_size": 64},
            "text_encoder": TINY_TEXT,
            "text_encoder_2": TINY_TEXT,
        },
    ),
    "tiny-dit": Shape(
        64,
        "",
        {
            "transformer": {
                "sample_size": 8,
                "num_layers": 3,
                "num_attention_heads": 2,
                "attention_head_dim": 16,
                "cross_attention_dim": 32,
                "caption_channels": 32,
            },
            "vae": {**TINY_VAE, "sample_size": 64},
            "text_encoder": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
        },
    ),
}
TRANSFORMER: Mapping[str, Any] = {
    "sample_size": 128,
    "num_layers": 28,
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 8,
    "caption_channels": 4096,
    "cross_attention_dim": 1152,
    "norm_type": "ada_norm_single",
}
T5: Mapping[str, Any] = {
    "vocab_size": 64,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10_240,
    "num_layers": 4,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


def build(name: str, folder: Path, *, device: str, dtype: torch.dtype) -> Path:
    """Save a pipeline of a shape with random weights.

    Args:
        name: of the shape, see :data:`SHAPES`.
        folder: to save into.
        device: torch device string, on which weights are drawn.
        dtype: in which they are saved.
    """
    shape = SHAPES[name]
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        with torch.device(device):
            pipeline = _of_layout(shape) if shape.layout else _transformer(shape)
    pipeline.to(dtype=dtype).save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_decoder(name: str, folder: Path, *, dtype: torch.dtype) -> Path:
    """Save a tiny autoencoder with random weights for the latents of a shape."""
    from diffusers import AutoencoderTiny

    del name  # all of them have four channels and an eighth of the side
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        tiny = AutoencoderTiny(latent_channels=4)
    tiny.to(dtype=dtype).save_pretrained(folder, safe_serialization=True)
    return folder


def _of_layout(shape: Shape) -> Any:
    import diffusers
    import transformers

    place = LAYOUTS / shape.layout
    index = _read(place / "model_index.json")
    parts: dict[str, Any] = {}
    for part, kind in index.items():
        if not isinstance(kind, list) or kind[0] is None:
            continue
        library, name = kind
        if part.startswith("tokenizer"):
            parts[part] = known_tokenizer(place / part)
            continue
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        config = {**_read(place / part / file), **shape.changed.get(part, {})}
        if library == "diffusers":
            parts[part] = getattr(diffusers, name).from_config(config)
        else:
            network = getattr(transformers, name)
            parts[part] = network(network.config_class.from_dict(config))
    further = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    kind = getattr(diffusers, index["_class_name"])
    return kind(**parts, **(further if kind is diffusers.StableDiffusionPipeline else {}))


def _transformer(shape: Shape) -> Any:
    from diffusers import (
        AutoencoderKL,
        DPMSolverMultistepScheduler,
        PixArtSigmaPipeline,
        PixArtTransformer2DModel,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    vae = {**_read(LAYOUTS / "sdxl" / "vae" / "config.json"), **shape.changed.get("vae", {})}
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *LETTERS, *(f"\u2581{one}" for one in LETTERS)]
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            **{**TRANSFORMER, **shape.changed.get("transformer", {})}
        ),
        vae=AutoencoderKL.from_config(vae),
        text_encoder=T5EncoderModel(T5Config(**{**T5, **shape.changed.get("text_encoder", {})})),
        tokenizer=T5Tokenizer(
            vocab=[(one, -2.0) for one in pieces], extra_ids=0, model_max_length=300
        ),
        scheduler=DPMSolverMultistepScheduler(),
    )


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
