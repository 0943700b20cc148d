"""Tiny text-to-image pipelines with random weights, in the real format, built in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

NO_CHECKER: dict[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "requires_safety_checker": False,
}


def tiny_stable_diffusion(
    folder: Path, *, seed: int = 0, side: int = 16, objecting: bool = False
) -> Path:
    """A Stable Diffusion pipeline of a few thousand weights that draws ``side`` pixels.

    With ``objecting``, its safety checker blackens every image.
    """
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), ",</w>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    text = folder.parent / f"{folder.name}-text"
    text.mkdir(parents=True, exist_ok=True)
    (text / "vocab.json").write_text(json.dumps(vocabulary))
    (text / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        str(text / "vocab.json"), str(text / "merges.txt"), model_max_length=16
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=side // 2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            in_channels=4,
            out_channels=4,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
            sample_size=side,
        )
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=16,
                bos_token_id=len(words),
                eos_token_id=len(words) + 1,
                pad_token_id=len(words) + 1,
            )
        )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        **(_objecting_checker() if objecting else NO_CHECKER),
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _objecting_checker() -> dict[str, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    # A likeness above its threshold is objected to; none is below -1.
    torch.nn.init.constant_(checker.concept_embeds_weights, -2)
    extractor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    return {"safety_checker": checker, "feature_extractor": extractor}


def tiny_controlnet(folder: Path, pipeline: Path) -> Path:
    """A ControlNet for a pipeline of this file; unlike a new one, it already has a say."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
        for parameter in control.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    control.save_pretrained(folder, safe_serialization=True)
    return folder
