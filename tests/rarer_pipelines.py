"""Tiny pipelines with random weights of the rarest families, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.further_pipelines import QWEN_3, WIDTH, _deep, _flux_2, _qwen_3, _text, _tokenizer
from tests.pipelines import (
    LETTERS,
    UNET,
    _autoencoder,
    _t5,
    _t5_tokenizer,
    saved,
    tiny_flux,
)


def tiny_kolors(folder: Path, *, seed: int = 0) -> Path:
    """A Kolors pipeline: Stable Diffusion XL that ChatGLM reads for."""
    from diffusers import EulerDiscreteScheduler, KolorsPipeline, UNet2DConditionModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    def build(folder: Path) -> Any:
        tokenizer = ChatGLMTokenizer(str(_letters(folder)))
        config = ChatGLMConfig(
            num_layers=2,
            padded_vocab_size=len(tokenizer),
            hidden_size=16,
            ffn_hidden_size=16,
            kv_channels=8,
            num_attention_heads=2,
            seq_length=256,
            multi_query_attention=True,
            add_qkv_bias=True,
            original_rope=True,
        )
        reader = ChatGLMModel(config, empty_init=False)
        for parameter in reader.parameters():
            # Some begin as whatever was in memory.
            torch.nn.init.normal_(parameter, std=0.2)
        return KolorsPipeline(
            unet=UNet2DConditionModel(
                **UNET,
                cross_attention_dim=16,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 16,
                encoder_hid_dim=16,
                encoder_hid_dim_type="text_proj",
            ),
            vae=_autoencoder(),
            text_encoder=reader,
            tokenizer=tokenizer,
            scheduler=EulerDiscreteScheduler(),
            force_zeros_for_empty_prompt=False,
        )

    return saved(folder, build, seed=seed)


def tiny_cogview_3(folder: Path, *, seed: int = 0) -> Path:
    """A CogView 3 pipeline: told sizes, predicts velocities, and T5 reads."""
    from diffusers import (
        CogVideoXDDIMScheduler,
        CogView3PlusPipeline,
        CogView3PlusTransformer2DModel,
    )

    def build(_folder: Path) -> Any:
        return CogView3PlusPipeline(
            transformer=CogView3PlusTransformer2DModel(
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                text_embed_dim=32,
                time_embed_dim=16,
                condition_dim=4,
                pos_embed_max_size=8,
                sample_size=8,
            ),
            vae=_autoencoder(),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=CogVideoXDDIMScheduler(prediction_type="v_prediction"),
        )

    return saved(folder, build, seed=seed)


def tiny_flux_kontext(folder: Path, *, seed: int = 0) -> Path:
    """A Flux that can be shown an image, and draws without."""
    return tiny_flux(folder, seed=seed, kind="FluxKontextPipeline")


def tiny_z_image_omni(folder: Path, *, seed: int = 0) -> Path:
    """A Z-Image pipeline that can be shown images, and draws without."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        ZImageOmniPipeline,
        ZImageTransformer2DModel,
    )
    from transformers import (
        Qwen3Config,
        Qwen3Model,
        Siglip2ImageProcessor,
        Siglip2VisionConfig,
        Siglip2VisionModel,
    )

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        seen = Siglip2VisionConfig(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_patches=4,
            patch_size=8,
        )
        return ZImageOmniPipeline(
            transformer=ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=1,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=WIDTH,
                siglip_feat_dim=8,
                axes_dims=[4, 6, 6],
                axes_lens=[1024, 128, 128],
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=Qwen3Model(Qwen3Config(**_text(len(tokenizer)), head_dim=8)),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            siglip=Siglip2VisionModel(seen),
            siglip_processor=Siglip2ImageProcessor(),
        )

    return saved(folder, build, seed=seed)


def tiny_ideogram_4(folder: Path, *, seed: int = 0) -> Path:
    """An Ideogram 4 pipeline: guided by a second network, that reads nothing."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        Ideogram4Pipeline,
        Ideogram4Transformer2DModel,
    )
    from transformers import Qwen3VLConfig, Qwen3VLModel

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        tokenizer.chat_template = QWEN_3
        rope = {"rope_type": "default", "mrope_section": [1, 1, 0], "mrope_interleaved": True}
        seen = {
            "depth": 1,
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_heads": 2,
            "out_hidden_size": 8,
            "deepstack_visual_indexes": [0],
        }
        text = {**_deep(len(tokenizer), layers=36), "head_dim": 4, "rope_scaling": rope}

        def network() -> Any:
            return Ideogram4Transformer2DModel(
                in_channels=16,
                num_layers=1,
                attention_head_dim=12,
                num_attention_heads=2,
                intermediate_size=16,
                adaln_dim=8,
                llm_features_dim=13 * 8,
                mrope_section=(2, 2, 2),
            )

        # It schedules its steps itself.
        scheduler = FlowMatchEulerDiscreteScheduler()
        parts = {**_flux_2(guided=False), "transformer": network(), "scheduler": scheduler}
        return Ideogram4Pipeline(
            **parts,
            unconditional_transformer=network(),
            text_encoder=Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=seen)),
            tokenizer=tokenizer,
        )

    return saved(folder, build, seed=seed)


def tiny_nucleus(folder: Path, *, seed: int = 0) -> Path:
    """A NucleusMoE-Image pipeline: experts choose the tokens that they look at."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        NucleusMoEImagePipeline,
        NucleusMoEImageTransformer2DModel,
    )
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    def build(_folder: Path) -> Any:
        processor = _qwen_3()
        rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
        seen = {
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "deepstack_visual_indexes": [0],
        }
        text = {
            **_text(len(processor.tokenizer)),
            "num_hidden_layers": 9,
            "head_dim": 8,
            "rope_scaling": rope,
        }
        network = NucleusMoEImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 6, 6),
            dense_moe_strategy="all_moe",
            num_experts=4,
            moe_intermediate_dim=16,
            capacity_factors=2.0,
        )
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return NucleusMoEImagePipeline(
            transformer=network,
            vae=AutoencoderKLQwenImage(
                base_dim=8,
                z_dim=4,
                dim_mult=[1, 2],
                num_res_blocks=1,
                temperal_downsample=[False],
                latents_mean=[0.1, -0.2, 0.3, 0.0],
                latents_std=[1.5, 0.5, 2.0, 1.0],
            ),
            text_encoder=Qwen3VLForConditionalGeneration(
                Qwen3VLConfig(text_config=text, vision_config=seen)
            ),
            processor=processor,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def _letters(folder: Path) -> Path:
    """Words of sentencepiece: letters only."""
    import sentencepiece

    place = folder.parent / f"{folder.name}-words"
    place.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(LETTERS), "".join(LETTERS)]),
        model_prefix=str(place / "tokenizer"),
        model_type="char",
        vocab_size=len(LETTERS) + 4,
        minloglevel=2,
    )
    return place / "tokenizer.model"
