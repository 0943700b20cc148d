"""Tiny checkpoints with random weights of transformers' models that are like CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.clips import BERT, WORDS

KINDS = (
    "align",
    "altclip",
    "chinese_clip",
    "metaclip_2",
    "siglip2",
    "vision-text-dual-encoder",
)
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
TEXT: dict[str, Any] = {**BERT, "max_position_embeddings": 32}
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}


def tiny_dual(folder: Path, kind: str, *, seed: int = 0, side: int = 16) -> Path:
    """A model of a kind with its tokenizer and image processor.

    Args:
        folder: is made.
        kind: type of model, as transformers calls it.
        seed: of its weights.
        side: pixels a side of the images that it sees.
    """
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    model, processor = _align(side) if kind == "align" else _others(kind, side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model()
    for name in ("logit_scale", "logit_bias", "temperature"):  # as after training
        if hasattr(made, name):
            value = {"logit_scale": 2.5, "logit_bias": -10.0, "temperature": 0.1}[name]
            getattr(made, name).data.fill_(value)
    made.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=_room(kind)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _room(kind: str) -> int:
    """Tokens that the text tower reads; that of RoBERTa counts positions from 1 on here."""
    return 31 if kind == "altclip" else 32


def _align(side: int) -> tuple[Any, Any]:
    from transformers import AlignConfig, AlignModel, EfficientNetImageProcessor

    # One block a stage, with few channels.
    vision = {
        "image_size": 600,  # which no processor makes
        "width_coefficient": 0.25,
        "depth_coefficient": 0.1,
        "depth_divisor": 4,
        "hidden_dim": 80,  # its last channels, 320, times width_coefficient
        "initializer_range": 0.5,
    }
    given = AlignConfig(text_config=dict(TEXT), vision_config=vision, projection_dim=80)
    processor = EfficientNetImageProcessor(
        size={"height": side, "width": side},
        crop_size={"height": side, "width": side},
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
        resample=2,
    )
    return lambda: AlignModel(given), processor


def _others(kind: str, side: int) -> tuple[Any, Any]:
    import transformers as library

    vision = {**SMALL, "image_size": side, "patch_size": side // 2}
    processor: Any = library.CLIPImageProcessor(
        size={"height": side, "width": side},
        crop_size=side,
        image_mean=[0.4] * 3,
        image_std=[0.2] * 3,
    )
    if kind == "altclip":
        text = {**TEXT, "project_dim": 12, "pad_token_id": 0}
        altclip = library.AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        return lambda: library.AltCLIPModel(altclip), processor
    if kind == "chinese_clip":
        chinese = library.ChineseCLIPConfig(
            text_config=dict(TEXT), vision_config=vision, projection_dim=8
        )
        return lambda: library.ChineseCLIPModel(chinese), processor
    if kind == "metaclip_2":
        metaclip = library.MetaClip2Config(
            text_config={**TEXT, **ENDS}, vision_config=vision, projection_dim=8
        )
        return lambda: library.MetaClip2Model(metaclip), processor
    if kind == "siglip2":
        flexible = {**SMALL, "patch_size": side // 2, "num_patches": 4}
        siglip = library.Siglip2Config(
            text_config={**TEXT, **ENDS, "projection_size": 16}, vision_config=flexible
        )
        prepared = library.Siglip2ImageProcessor(patch_size=side // 2, max_num_patches=4)
        return lambda: library.Siglip2Model(siglip), prepared
    joined = library.VisionTextDualEncoderConfig.from_vision_text_configs(
        library.ViTConfig(**vision), library.BertConfig(**TEXT), projection_dim=8
    )
    return lambda: library.VisionTextDualEncoderModel(joined), processor
