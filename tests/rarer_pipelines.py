"""Tiny pipelines with random weights of the rarest families, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from tests.further_pipelines import PARTS, QWEN_3, WIDTH, _deep, _flux_2, _qwen_3, _text, _tokenizer
from tests.pipelines import (
    LETTERS,
    SIDE,
    UNET,
    _autoencoder,
    _t5,
    _t5_tokenizer,
    _text_encoder,
    saved,
    tiny_flux,
)
from tests.pipelines import _tokenizer as _clip_tokenizer


def tiny_kolors(folder: Path, *, seed: int = 0) -> Path:
    """A Kolors pipeline: Stable Diffusion XL that ChatGLM reads for."""
    from diffusers import EulerDiscreteScheduler, KolorsPipeline
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
    from diffusers import DDPMScheduler, PriorTransformer, UnCLIPScheduler, VQModel
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    tokenizer = _clip_tokenizer(folder)
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
            torch.nn.init.normal_(parameter, std=0.5)
        return GlmImagePipeline(
            tokenizer=letters,
            processor=GlmImageProcessor(
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
