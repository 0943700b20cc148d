"""Further tiny pipelines with random weights, in the real format: language models read prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pipelines import _autoencoder, saved, tiny_sana

ROLE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
PARTS = (
    "{% for m in messages %}{{ m.role }}: {% for part in m.content %}{{ part.text }}{% endfor %}"
    "{% endfor %}"
)
"""Templates of a conversation, of texts and of texts in parts."""
QWEN_3 = (
    "{% for m in messages %}{{ m.role }}: {% if m.content is string %}"
    "{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}"
    "{% endfor %}"
)
WIDTH = 16
"""Of what the text encoders give."""


def tiny_qwen_image(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen-Image pipeline: patches in a row, latents of a film's autoencoder, true guidance.

    Its network is told no guidance, and its files do not say its size, which is then large.
    """
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        text = {
            **_text(len(tokenizer)),
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        }
        return QwenImagePipeline(
            transformer=QwenImageTransformer2DModel(
                patch_size=2,
                in_channels=16,
                out_channels=4,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDTH,
                axes_dims_rope=(4, 6, 6),
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
            text_encoder=Qwen2_5_VLForConditionalGeneration(
                Qwen2_5_VLConfig(
                    text_config=text,
                    vision_config={
                        "depth": 1,
                        "hidden_size": 16,
                        "intermediate_size": 16,
                        "num_heads": 2,
                        "out_hidden_size": WIDTH,
                    },
                )
            ),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def tiny_qwen_image_2_1(folder: Path, *, seed: int = 0) -> Path:
    """A Qwen-Image 2.1 pipeline: no guidance but the true one, and images with transparency."""
    from diffusers import (
        AutoencoderKLQwenImage21,
        FlowMatchEulerDiscreteScheduler,
        QwenImage21Pipeline,
        QwenImage21Transformer2DModel,
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
        text = {**_text(len(processor.tokenizer)), "head_dim": 8, "rope_scaling": rope}
        config = Qwen3VLConfig(
            text_config=text,
            vision_config=seen,
            image_token_id=processor.tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        )
        return QwenImage21Pipeline(
            transformer=QwenImage21Transformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                context_in_dim=WIDTH,
                axes_dims_rope=(4, 6, 6),
            ),
            vae=AutoencoderKLQwenImage21(
                base_dim=4,
                decoder_base_dim=4,
                z_dim=4,
                dim_mult=[1, 1, 1, 2, 2],
                num_res_blocks=1,
                latents_mean=[0.1, -0.2, 0.3, 0.0],
                latents_std=[1.5, 0.5, 2.0, 1.0],
            ),
            text_encoder=Qwen3VLForConditionalGeneration(config),
            processor=processor,
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        )

    return saved(folder, build, seed=seed)


def tiny_z_image(folder: Path, *, seed: int = 0) -> Path:
    """A Z-Image pipeline: one row of tokens for text and image; no part of it tells a size."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3Model

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        return ZImagePipeline(
            transformer=ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=1,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=WIDTH,
                axes_dims=[4, 6, 6],
                axes_lens=[1024, 128, 128],
            ),
            vae=_autoencoder(shift=0.1),
            text_encoder=Qwen3Model(Qwen3Config(**_text(len(tokenizer)), head_dim=8)),
            tokenizer=tokenizer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        )

    return saved(folder, build, seed=seed)


def tiny_flux_2(folder: Path, *, seed: int = 0) -> Path:
    """A Flux.2 pipeline: its network is told the guidance, and Mistral reads."""
    from diffusers import Flux2Pipeline
    from transformers import (
        Mistral3Config,
        Mistral3ForConditionalGeneration,
        PixtralImageProcessor,
        PixtralProcessor,
    )

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        tokenizer.add_tokens(["[IMG_BREAK]", "[IMG_END]", "[IMG]"], special_tokens=True)
        text = {"model_type": "mistral", **_deep(len(tokenizer), layers=31), "head_dim": 4}
        seen = {
            "model_type": "pixtral",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 4,
            "image_size": 16,
            "patch_size": 8,
        }
        read = PixtralProcessor(
            image_processor=PixtralImageProcessor(),
            tokenizer=tokenizer,
            chat_template=PARTS,
        )
        return Flux2Pipeline(
            **_flux_2(guided=True),
            text_encoder=Mistral3ForConditionalGeneration(
                Mistral3Config(
                    text_config=text, vision_config=seen, image_token_index=len(tokenizer) - 1
                )
            ),
            tokenizer=read,
        )

    return saved(folder, build, seed=seed)


def tiny_flux_2_klein(folder: Path, *, seed: int = 0) -> Path:
    """The small Flux.2: guided by a second call of its network, and Qwen reads."""
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Config, Qwen3ForCausalLM

    def build(_folder: Path) -> Any:
        tokenizer = _tokenizer()
        text = Qwen3Config(**_deep(len(tokenizer), layers=28), head_dim=4)
        return Flux2KleinPipeline(
            **_flux_2(guided=False), text_encoder=Qwen3ForCausalLM(text), tokenizer=tokenizer
        )

    return saved(folder, build, seed=seed)


def _flux_2(*, guided: bool) -> dict[str, Any]:
    """What all Flux.2 have: latents whose patches a batch normalisation scales."""
    import torch
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2Transformer2DModel,
    )

    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    counted: Any = vae.bn
    counted.running_mean.copy_(torch.linspace(-0.5, 0.5, 16))
    counted.running_var.copy_(torch.linspace(0.5, 2, 16))
    return {
        "transformer": Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * 8,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=guided,
        ),
        "vae": vae,
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    }


def tiny_sana_sprint(folder: Path, *, seed: int = 0) -> Path:
    """A Sana that was distilled for few steps: its network is told the guidance."""
    from diffusers import SanaPipeline, SanaSprintPipeline, SanaTransformer2DModel, SCMScheduler

    def build(folder: Path) -> Any:
        usual = SanaPipeline.from_pretrained(tiny_sana(folder.parent / f"{folder.name}-usual"))
        settings: Any = {**usual.transformer.config, "guidance_embeds": True}
        transformer = SanaTransformer2DModel.from_config(settings)
        parts = {**usual.components, "transformer": transformer}
        return SanaSprintPipeline(**{**parts, "scheduler": SCMScheduler()})

    return saved(folder, build, seed=seed)


def _text(words: int) -> dict[str, Any]:
    return {
        "vocab_size": words,
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }


def _deep(words: int, *, layers: int) -> dict[str, Any]:
    """A narrow language model of which layers in the middle are read."""
    return {**_text(words), "hidden_size": 8, "num_hidden_layers": layers}


def _qwen_3() -> Any:
    """What makes tokens of texts and images for Qwen 3."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = _tokenizer()
    seen = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer.add_tokens(seen, special_tokens=True)
    build: Any = Qwen3VLProcessor
    return build(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=QWEN_3,
    )


def _tokenizer() -> Any:
    """A tokenizer of Qwen that knows bytes only."""
    from open_clip.tokenizer import bytes_to_unicode
    from transformers import Qwen2Tokenizer

    words = [*bytes_to_unicode().values(), "<|endoftext|>"]
    return Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        model_max_length=131_072,
        chat_template=ROLE,
    )
