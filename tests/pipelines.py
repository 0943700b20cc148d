"""Tiny text-to-image pipelines with random weights, in the real format, built in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.checkers import NO_CHECKER, objecting_checker

SIDE = 16
"""Pixels of the images that they draw."""
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def saved(folder: Path, build: Callable[[Path], Any], *, seed: int = 0) -> Path:
    """Build a pipeline, its random weights from a seed, and save it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build(folder).save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_stable_diffusion(
    folder: Path,
    *,
    seed: int = 0,
    seen: int = 4,
    objecting: bool = False,
    objects_above: float = -2.0,
    few_steps: bool = False,
    predicts: str = "epsilon",
) -> Path:
    """A Stable Diffusion pipeline of a few thousand weights.

    Its network sees ``seen`` channels: more than 4 where it was made to repaint what a mask marks.
    With ``objecting``, its safety checker blackens every image, or those with a likeness above
    ``objects_above``; with ``few_steps``, its scheduler is that of latent consistency models.
    What it ``predicts`` is the noise, or the velocity, as Stable Diffusion 2.
    """
    from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    def build(folder: Path) -> Any:
        tokenizer = _tokenizer(folder)
        return StableDiffusionPipeline(
            unet=UNet2DConditionModel(
                **UNET, in_channels=seen, out_channels=4, cross_attention_dim=16
            ),
            vae=_autoencoder(),
            text_encoder=_text_encoder(tokenizer),
            tokenizer=tokenizer,
            scheduler=LCMScheduler()
            if few_steps
            else DDIMScheduler(clip_sample=False, steps_offset=1, prediction_type=predicts),
            **(objecting_checker(objects_above) if objecting else NO_CHECKER),
        )

    return saved(folder, build, seed=seed)


def tiny_stable_diffusion_2(folder: Path, *, seed: int = 0) -> Path:
    """A Stable Diffusion pipeline that predicts the velocity."""
    return tiny_stable_diffusion(folder, seed=seed, predicts="v_prediction")


def tiny_lcm(folder: Path, *, seed: int = 0) -> Path:
    """A Stable Diffusion pipeline that was distilled for few steps."""
    return tiny_stable_diffusion(folder, seed=seed, few_steps=True)


def tiny_consistency_model(folder: Path, *, seed: int = 0) -> Path:
    """A latent consistency model: its network is told the guidance, and of nothing to avoid."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel

    def build(folder: Path) -> Any:
        tokenizer = _tokenizer(folder)
        return LatentConsistencyModelPipeline(
            unet=UNet2DConditionModel(**UNET, cross_attention_dim=16, time_cond_proj_dim=8),
            vae=_autoencoder(),
            text_encoder=_text_encoder(tokenizer),
            tokenizer=tokenizer,
            scheduler=LCMScheduler(),
            **NO_CHECKER,
        )

    return saved(folder, build, seed=seed)


def tiny_stable_diffusion_xl(folder: Path, *, seed: int = 0) -> Path:
    """A Stable Diffusion XL pipeline: two text encoders, pooled embeddings, sizes told."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    def build(folder: Path) -> Any:
        tokenizer, second = _tokenizer(folder), _tokenizer(folder)
        return StableDiffusionXLPipeline(
            unet=UNet2DConditionModel(
                **UNET,
                cross_attention_dim=32,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                # Six numbers for sizes, and the pooled embedding.
                projection_class_embeddings_input_dim=6 * 8 + 16,
            ),
            vae=_autoencoder(),
            text_encoder=_text_encoder(tokenizer),
            text_encoder_2=_text_encoder(second, projected=True),
            tokenizer=tokenizer,
            tokenizer_2=second,
            scheduler=EulerDiscreteScheduler(),
            add_watermarker=False,
        )

    return saved(folder, build, seed=seed)


def tiny_stable_diffusion_3(
    folder: Path, *, seed: int = 0, layers: int = 1, second: int = 16
) -> Path:
    """A Stable Diffusion 3 pipeline: flow matching, text encoders, the ``second`` so wide."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    def build(folder: Path) -> Any:
        tokenizer, other = _tokenizer(folder), _tokenizer(folder)
        return StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                sample_size=SIDE // 2,
                patch_size=1,
                in_channels=4,
                num_layers=layers,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=32,
                caption_projection_dim=16,
                pooled_projection_dim=16 + second,
                out_channels=4,
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=_text_encoder(tokenizer, projected=True),
            text_encoder_2=_text_encoder(other, projected=True, width=second),
            text_encoder_3=_t5(),
            tokenizer=tokenizer,
            tokenizer_2=other,
            tokenizer_3=_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )

    return saved(folder, build, seed=seed)


def tiny_flux(
    folder: Path,
    *,
    seed: int = 0,
    layers: int = 1,
    kind: str = "FluxPipeline",
    guided: bool = True,
    wide: bool = False,
) -> Path:
    """A Flux pipeline: patches in a row, embeddings of CLIP and T5.

    Its network is told the guidance, unless it is not ``guided``, and has the published width where
    it is ``wide``.
    """
    import diffusers
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    def build(folder: Path) -> Any:
        tokenizer = _tokenizer(folder)
        return getattr(diffusers, kind)(
            transformer=FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=layers,
                num_single_layers=layers,
                attention_head_dim=128 if wide else 16,
                num_attention_heads=24 if wide else 2,
                joint_attention_dim=32,
                pooled_projection_dim=16,
                guidance_embeds=guided,
                axes_dims_rope=(16, 56, 56) if wide else (4, 6, 6),
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=_text_encoder(tokenizer),
            text_encoder_2=_t5(),
            tokenizer=tokenizer,
            tokenizer_2=_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def tiny_pixart(folder: Path, *, seed: int = 0, layers: int = 1) -> Path:
    """A PixArt-Σ pipeline: a transformer that reads T5 alone."""
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    def build(_folder: Path) -> Any:
        return PixArtSigmaPipeline(
            transformer=PixArtTransformer2DModel(
                sample_size=SIDE // 2,
                num_layers=layers,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=2,
                caption_channels=32,
                cross_attention_dim=16,
                in_channels=4,
                out_channels=8,
            ),
            vae=_autoencoder(),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=DPMSolverMultistepScheduler(),
        )

    return saved(folder, build, seed=seed)


def tiny_sana(folder: Path, *, seed: int = 0, layers: int = 1) -> Path:
    """A Sana pipeline: linear attention, an autoencoder of its own, Gemma reads the text.

    It draws twice as many pixels a side as the others: Sana takes multiples of 32 alone.
    """
    from diffusers import (
        AutoencoderDC,
        FlowMatchEulerDiscreteScheduler,
        SanaPipeline,
        SanaTransformer2DModel,
    )
    from transformers import Gemma2Config, Gemma2Model

    def build(_folder: Path) -> Any:
        tokenizer = _gemma_tokenizer()
        return SanaPipeline(
            transformer=SanaTransformer2DModel(
                sample_size=SIDE,
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=layers,
                num_attention_heads=2,
                attention_head_dim=4,
                num_cross_attention_heads=2,
                cross_attention_head_dim=4,
                cross_attention_dim=8,
                caption_channels=8,
            ),
            vae=AutoencoderDC(
                in_channels=3,
                latent_channels=4,
                attention_head_dim=2,
                encoder_block_types=("ResBlock", "EfficientViTBlock"),
                decoder_block_types=("ResBlock", "EfficientViTBlock"),
                encoder_block_out_channels=(8, 8),
                decoder_block_out_channels=(8, 8),
                encoder_qkv_multiscales=((), (5,)),
                decoder_qkv_multiscales=((), (5,)),
                encoder_layers_per_block=(1, 1),
                decoder_layers_per_block=(1, 1),
                downsample_block_type="conv",
                upsample_block_type="interpolate",
                decoder_norm_types="rms_norm",
                decoder_act_fns="silu",
            ),
            text_encoder=Gemma2Model(
                Gemma2Config(
                    vocab_size=len(tokenizer),
                    hidden_size=8,
                    intermediate_size=16,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    head_dim=4,
                )
            ),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )

    return saved(folder, build, seed=seed)


FAMILIES: dict[str, Callable[..., Path]] = {
    "sd": tiny_stable_diffusion,
    "sd2": tiny_stable_diffusion_2,
    "lcm": tiny_lcm,
    "sdxl": tiny_stable_diffusion_xl,
    "sd3": tiny_stable_diffusion_3,
    "flux": tiny_flux,
    "pixart": tiny_pixart,
    "sana": tiny_sana,
}
UNET: dict[str, Any] = {
    "sample_size": SIDE // 2,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}


def _tokenizer(folder: Path) -> Any:
    """A tokenizer of CLIP that knows letters only and reads 14 of them."""
    from transformers import CLIPTokenizer

    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), ",</w>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    text = folder.parent / f"{folder.name}-text"
    text.mkdir(parents=True, exist_ok=True)
    (text / "vocab.json").write_text(json.dumps(vocabulary))
    (text / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(text / "vocab.json"), str(text / "merges.txt"), model_max_length=16)


def _text_encoder(tokenizer: Any, *, projected: bool = False, width: int = 16) -> Any:
    """A text encoder of CLIP; with ``projected``, one that gives a pooled embedding, too."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        projection_dim=width,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5_tokenizer() -> Any:
    """A tokenizer of T5 that knows letters only."""
    from transformers import T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *LETTERS, *(f"\u2581{one}" for one in LETTERS)]
    return T5Tokenizer(vocab=[(one, -2.0) for one in pieces], extra_ids=0, model_max_length=16)


def _gemma_tokenizer() -> Any:
    """A tokenizer of Gemma that knows letters only."""
    from transformers import GemmaTokenizer

    words = ["<pad>", "<eos>", "<bos>", "<unk>", "\u2581", *LETTERS]
    vocabulary = {word: index for index, word in enumerate(words)}
    return GemmaTokenizer(vocab=vocabulary, merges=[], model_max_length=4096)


def _t5() -> Any:
    """A text encoder of T5, as wide as the joint attention of a tiny transformer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )


def _autoencoder(*, shift: float | None = None) -> Any:
    """An autoencoder of four channels and half the side; newer ones have a shift."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=SIDE,
        shift_factor=shift,
    )


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
