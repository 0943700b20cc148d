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
    folder: Path, *, seed: int = 0, side: int = 16, seen: int = 4, objecting: bool = False
) -> Path:
    """A Stable Diffusion pipeline of a few thousand weights that draws ``side`` pixels.

    Its network sees ``seen`` channels: more than 4 where it was made to repaint what a mask marks.
    With ``objecting``, its safety checker blackens every image.
    """
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    tokenizer = _tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=side // 2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            in_channels=seen,
            out_channels=4,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        )
        vae, encoder = _autoencoder(side), _text_encoder(tokenizer)
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


def tiny_stable_diffusion_xl(folder: Path, *, seed: int = 0, side: int = 16) -> Path:
    """A Stable Diffusion XL pipeline: two text encoders, pooled embeddings, sizes told."""
    from diffusers import (
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

    tokenizer, second = _tokenizer(folder), _tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=side // 2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            # Six numbers for sizes, and the pooled embedding.
            projection_class_embeddings_input_dim=6 * 8 + 16,
        )
        pipeline = StableDiffusionXLPipeline(
            vae=_autoencoder(side),
            text_encoder=_text_encoder(tokenizer),
            text_encoder_2=_text_encoder(second, projected=True),
            tokenizer=tokenizer,
            tokenizer_2=second,
            unet=unet,
            scheduler=EulerDiscreteScheduler(),
            add_watermarker=False,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_stable_diffusion_3(folder: Path, *, seed: int = 0, side: int = 16) -> Path:
    """A Stable Diffusion 3 pipeline: a transformer, flow matching, three text encoders."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    tokenizer, second = _tokenizer(folder), _tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = SD3Transformer2DModel(
            sample_size=side // 2,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
            out_channels=4,
        )
        pipeline = StableDiffusion3Pipeline(
            vae=_autoencoder(side, shift=0.1),
            text_encoder=_text_encoder(tokenizer, projected=True),
            text_encoder_2=_text_encoder(second, projected=True),
            text_encoder_3=_t5(),
            tokenizer=tokenizer,
            tokenizer_2=second,
            tokenizer_3=_t5_tokenizer(),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_flux(folder: Path, *, seed: int = 0, side: int = 16) -> Path:
    """A Flux pipeline: patches in a row, a guidance that is told, embeddings of CLIP and T5."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    tokenizer = _tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        )
        pipeline = FluxPipeline(
            vae=_autoencoder(side, shift=0.1),
            text_encoder=_text_encoder(tokenizer),
            text_encoder_2=_t5(),
            tokenizer=tokenizer,
            tokenizer_2=_t5_tokenizer(),
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer(folder: Path) -> Any:
    """A tokenizer of CLIP that knows letters only and reads 14 of them."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), ",</w>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    text = folder.parent / f"{folder.name}-text"
    text.mkdir(parents=True, exist_ok=True)
    (text / "vocab.json").write_text(json.dumps(vocabulary))
    (text / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(text / "vocab.json"), str(text / "merges.txt"), model_max_length=16)


def _text_encoder(tokenizer: Any, *, projected: bool = False) -> Any:
    """A text encoder of CLIP; with ``projected``, one that gives a pooled embedding, too."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        projection_dim=16,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5_tokenizer() -> Any:
    """A tokenizer of T5 that knows letters only."""
    from transformers import T5Tokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *letters, *(f"\u2581{one}" for one in letters)]
    return T5Tokenizer(vocab=[(one, -2.0) for one in pieces], extra_ids=0, model_max_length=16)


def _t5() -> Any:
    """A text encoder of T5, as wide as the joint attention of a tiny transformer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )


def _autoencoder(side: int, *, shift: float | None = None) -> Any:
    """An autoencoder of four channels and half the side; newer ones have a shift."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=side,
        shift_factor=shift,
    )


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
