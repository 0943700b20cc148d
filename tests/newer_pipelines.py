"""Tiny pipelines with random weights of the newer families that are adapted, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.further_pipelines import WIDTH, _text, _tokenizer
from tests.pipelines import _autoencoder, _gemma_tokenizer, _t5, _t5_tokenizer, saved

READ_WIDTH = 8
"""Of what Gemma gives."""


def tiny_lumina_2(folder: Path, *, seed: int = 0) -> Path:
    """A Lumina 2 pipeline: times count from noise to image, and its answers have the other sign.

    It takes every autoencoder for one of an eighth of the side.
    """
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        Lumina2Pipeline,
        Lumina2Transformer2DModel,
    )

    def build(_folder: Path) -> Any:
        tokenizer = _beginning(_gemma_tokenizer(), "<bos>")
        return Lumina2Pipeline(
            transformer=Lumina2Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                hidden_size=24,
                num_layers=1,
                num_refiner_layers=1,
                num_attention_heads=2,
                num_kv_heads=1,
                multiple_of=8,
                axes_dim_rope=(4, 4, 4),
                axes_lens=(300, 32, 32),
                cap_feat_dim=READ_WIDTH,
            ),
            vae=_deep_autoencoder(),
            text_encoder=_gemma(tokenizer),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        )

    return saved(folder, build, seed=seed)


def tiny_lumina(folder: Path, *, seed: int = 0) -> Path:
    """A Lumina-Next pipeline, which also answers a variance."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LuminaNextDiT2DModel, LuminaPipeline

    def build(_folder: Path) -> Any:
        tokenizer = _beginning(_gemma_tokenizer(), "<bos>")
        return LuminaPipeline(
            transformer=LuminaNextDiT2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                hidden_size=24,
                num_layers=1,
                num_attention_heads=2,
                num_kv_heads=1,
                multiple_of=8,
                cross_attention_dim=READ_WIDTH,
            ),
            vae=_deep_autoencoder(shift=None),
            text_encoder=_gemma(tokenizer),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        )

    return saved(folder, build, seed=seed)


def tiny_chroma(folder: Path, *, seed: int = 0) -> Path:
    """A Chroma pipeline: Flux that reads T5 alone, and is guided by a second call."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    def build(_folder: Path) -> Any:
        return ChromaPipeline(
            transformer=ChromaTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                axes_dims_rope=(4, 6, 6),
                approximator_num_channels=8,
                approximator_hidden_dim=16,
                approximator_layers=1,
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def tiny_aura_flow(folder: Path, *, seed: int = 0) -> Path:
    """An AuraFlow pipeline: latents as images, and T5."""
    from diffusers import (
        AuraFlowPipeline,
        AuraFlowTransformer2DModel,
        FlowMatchEulerDiscreteScheduler,
    )

    def build(_folder: Path) -> Any:
        return AuraFlowPipeline(
            transformer=AuraFlowTransformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=32,
                caption_projection_dim=16,
                pos_embed_max_size=64,
            ),
            vae=_autoencoder(),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
        )

    return saved(folder, build, seed=seed)


def tiny_cogview_4(folder: Path, *, seed: int = 0) -> Path:
    """A CogView 4 pipeline: told sizes, and a language model of GLM."""
    from diffusers import (
        CogView4Pipeline,
        CogView4Transformer2DModel,
        FlowMatchEulerDiscreteScheduler,
    )
    from transformers import GlmConfig, GlmModel

    def build(_folder: Path) -> Any:
        tokenizer = _beginning(_tokenizer(), "<|endoftext|>")
        tokenizer.pad_token, tokenizer.padding_side = "<|endoftext|>", "left"
        return CogView4Pipeline(
            transformer=CogView4Transformer2DModel(
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                text_embed_dim=WIDTH,
                time_embed_dim=16,
                condition_dim=4,
                pos_embed_max_size=8,
                sample_size=8,
                rope_axes_dim=(4, 4),
            ),
            vae=_autoencoder(shift=0.0),
            text_encoder=GlmModel(
                GlmConfig(**_text(len(tokenizer)), head_dim=8, pad_token_id=None)
            ),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(
                base_shift=0.25,
                max_shift=0.75,
                use_dynamic_shifting=True,
                time_shift_type="linear",
            ),
        )

    return saved(folder, build, seed=seed)


def tiny_ovis_image(folder: Path, *, seed: int = 0) -> Path:
    """An Ovis-Image pipeline: patches in a row, and Qwen reads a conversation."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        OvisImagePipeline,
        OvisImageTransformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3Model

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        return OvisImagePipeline(
            transformer=OvisImageTransformer2DModel(
                patch_size=1,
                in_channels=16,
                out_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDTH,
                axes_dims_rope=(4, 6, 6),
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=Qwen3Model(Qwen3Config(**_text(len(tokenizer)), head_dim=8)),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def tiny_krea_2(folder: Path, *, seed: int = 0) -> Path:
    """A Krea 2 pipeline: several layers of its language model are read, as its index says."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        Krea2Pipeline,
        Krea2Transformer2DModel,
    )
    from transformers import Qwen3VLConfig, Qwen3VLModel

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        tokenizer.pad_token = "<|endoftext|>"
        rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
        seen = {
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "deepstack_visual_indexes": [0],
        }
        text = {**_text(len(tokenizer)), "head_dim": 8, "rope_scaling": rope}
        return Krea2Pipeline(
            transformer=Krea2Transformer2DModel(
                in_channels=16,
                num_layers=1,
                attention_head_dim=12,
                num_attention_heads=2,
                num_key_value_heads=1,
                intermediate_size=16,
                timestep_embed_dim=8,
                text_hidden_dim=WIDTH,
                num_text_layers=2,
                text_num_attention_heads=2,
                text_num_key_value_heads=2,
                text_intermediate_size=16,
                num_layerwise_text_blocks=1,
                num_refiner_text_blocks=1,
                axes_dims_rope=(4, 4, 4),
            ),
            vae=AutoencoderKLQwenImage(
                base_dim=8,
                z_dim=4,
                dim_mult=[1, 2],
                num_res_blocks=1,
                temperal_downsample=[False],
                latents_mean=[0.1, -0.2, 0.3, 0.0],
                latents_std=[1.5, 0.5, 2.0, 1.0],
            ),
            text_encoder=Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=seen)),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            text_encoder_select_layers=(1, 2),
        )

    return saved(folder, build, seed=seed)


def tiny_prx(folder: Path, *, seed: int = 0) -> Path:
    """A PRX pipeline, whose index states the pixels of a side; T5 reads in place of T5-Gemma.

    Unlike a new one, its network already has a say.
    """
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, PRXPipeline, PRXTransformer2DModel

    def build(_folder: Path) -> Any:
        network = PRXTransformer2DModel(
            in_channels=4,
            patch_size=2,
            context_in_dim=32,
            hidden_size=16,
            mlp_ratio=2.0,
            num_heads=2,
            depth=1,
            axes_dim=[4, 4],
        )
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
        return PRXPipeline(
            transformer=network,
            vae=_autoencoder(shift=0.1),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            default_sample_size=16,
        )

    return saved(folder, build, seed=seed)


def _beginning(tokenizer: Any, word: str) -> Any:
    """Have texts begin with a token of their own, as large models' do: none is then empty."""
    from tokenizers.processors import TemplateProcessing

    told = [(word, tokenizer.convert_tokens_to_ids(word))]
    processor = TemplateProcessing(single=f"{word} $A", special_tokens=told)
    tokenizer.backend_tokenizer.post_processor = processor
    return tokenizer


def _gemma(tokenizer: Any) -> Any:
    from transformers import Gemma2Config, Gemma2Model

    return Gemma2Model(
        Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=READ_WIDTH,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=4,
        )
    )


def _deep_autoencoder(*, shift: float | None = 0.1) -> Any:
    """One of an eighth of the side."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
        shift_factor=shift,
    )
