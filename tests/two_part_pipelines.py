"""Tiny pipelines with random weights that draw in two parts, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.further_pipelines import PARTS, _text
from tests.pipelines import LETTERS, SIDE, _text_encoder, _tokenizer, saved


def tiny_kandinsky(folder: Path, *, seed: int = 0) -> Path:
    """Both parts of a Kandinsky 2.1 in one: a prior makes an image's embedding, and XLM-R reads."""
    from diffusers import KandinskyCombinedPipeline
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
    from transformers import XLMRobertaTokenizer

    def build(folder: Path) -> Any:
        words = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *LETTERS]
        tokenizer = XLMRobertaTokenizer(vocab=[(word, -2.0) for word in words])
        config = MCLIPConfig(
            numDims=16,
            transformerDimensions=16,
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=1,
            vocab_size=len(tokenizer),
            max_position_embeddings=80,
        )
        return KandinskyCombinedPipeline(
            text_encoder=MultilingualCLIP(config),
            tokenizer=tokenizer,
            **_kandinsky(
                folder, addition_embed_type="text_image", encoder_hid_dim_type="text_image_proj"
            ),
        )

    return saved(folder, build, seed=seed)


def tiny_kandinsky_2_2(folder: Path, *, seed: int = 0) -> Path:
    """Both parts of a Kandinsky 2.2 in one: only its prior reads."""
    from diffusers import KandinskyV22CombinedPipeline

    def build(folder: Path) -> Any:
        told = {"addition_embed_type": "image", "encoder_hid_dim_type": "image_proj"}
        return KandinskyV22CombinedPipeline(**_kandinsky(folder, **told))

    return saved(folder, build, seed=seed)


def _kandinsky(folder: Path, **told: str) -> dict[str, Any]:
    """What both have: an autoencoder with a code book, and a prior."""
    from diffusers import (
        DDPMScheduler,
        PriorTransformer,
        UnCLIPScheduler,
        UNet2DConditionModel,
        VQModel,
    )
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    tokenizer = _tokenizer(folder)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=16,
        num_embeddings=tokenizer.model_max_length,
        additional_embeddings=4,
    )
    prior.clip_std.data.fill_(1.0)
    seen = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    return {
        "unet": UNet2DConditionModel(
            sample_size=SIDE // 2,
            in_channels=4,
            out_channels=8,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            cross_attention_dim=16,
            encoder_hid_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
            resnet_time_scale_shift="scale_shift",
            **told,
        ),
        "scheduler": DDPMScheduler(variance_type="learned_range", clip_sample=False),
        "movq": VQModel(
            block_out_channels=(32, 32),
            down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
            latent_channels=4,
            num_vq_embeddings=12,
            vq_embed_dim=4,
            norm_type="spatial",
        ),
        "prior_prior": prior,
        "prior_image_encoder": CLIPVisionModelWithProjection(seen),
        "prior_text_encoder": _text_encoder(tokenizer, projected=True),
        "prior_tokenizer": tokenizer,
        "prior_scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=10.0
        ),
        "prior_image_processor": CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
    }


def tiny_glm_image(folder: Path, *, seed: int = 0) -> Path:
    """A GLM-Image pipeline: a language model writes an image's tokens, a second network draws."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        GlmImagePipeline,
        GlmImageTransformer2DModel,
    )
    from transformers import (
        ByT5Tokenizer,
        GlmImageConfig,
        GlmImageForConditionalGeneration,
        GlmImageImageProcessor,
        GlmImageProcessor,
        T5Config,
        T5EncoderModel,
    )

    def build(_folder: Path) -> Any:
        tokenizer, letters = _glm_tokenizer(), ByT5Tokenizer(extra_ids=0)
        known = tokenizer.convert_tokens_to_ids
        config = GlmImageConfig(
            text_config={
                **_text(len(tokenizer)),
                "num_hidden_layers": 1,
                "pad_token_id": 0,
                "eos_token_id": None,
                "max_position_embeddings": 2048,
                "vision_vocab_size": 32,
                "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]},
            },
            vision_config={
                "depth": 1,
                "hidden_size": 8,
                "num_heads": 2,
                "image_size": 32,
                "patch_size": 8,
                "intermediate_size": 8,
            },
            vq_config={"embed_dim": 8, "num_embeddings": 32, "latent_channels": 8},
            image_token_id=known("<|image|>"),
            image_start_token_id=known("<|start|>"),
            image_end_token_id=known("<|end|>"),
        )
        writer = GlmImageForConditionalGeneration(config)
        for parameter in writer.parameters():
            torch.nn.init.normal_(parameter, std=3.0)
        join: Any = GlmImageProcessor
        return GlmImagePipeline(
            tokenizer=letters,
            processor=join(
                image_processor=GlmImageImageProcessor(), tokenizer=tokenizer, chat_template=PARTS
            ),
            text_encoder=T5EncoderModel(
                T5Config(vocab_size=264, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
            ),
            vision_language_encoder=writer,
            # Its tokens stand for squares of 16 pixels.
            vae=AutoencoderKL(
                block_out_channels=(8,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                norm_num_groups=4,
                latent_channels=4,
                latents_mean=[0.1, -0.2, 0.3, 0.0],
                latents_std=[1.5, 0.5, 2.0, 1.0],
            ),
            transformer=GlmImageTransformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                text_embed_dim=16,
                time_embed_dim=16,
                condition_dim=4,
                prior_vq_quantizer_codebook_size=32,
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        )

    return saved(folder, build, seed=seed)


def _glm_tokenizer() -> Any:
    """One that knows bytes, and words that stand for an image and its size."""
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import Qwen2Tokenizer

    words = [*bytes_to_unicode().values(), "<|endoftext|>"]
    marks = {
        "image_token": "<|image|>",
        "grid_bos_token": "<|grid|>",
        "grid_eos_token": "<|/grid|>",
    }
    tokenizer = Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        model_max_length=131_072,
        bos_token="<|start|>",
        extra_special_tokens=marks,
        chat_template=PARTS,
    )
    tokenizer.add_tokens(["<|end|>"], special_tokens=True)
    tokenizer.padding_side = "left"
    return tokenizer
