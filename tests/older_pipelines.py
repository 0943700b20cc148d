"""Tiny pipelines with random weights of families that are seldom used today, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pipelines import LETTERS, SIDE, _t5, _t5_tokenizer, saved


def tiny_deepfloyd_if(folder: Path, *, seed: int = 0) -> Path:
    """The first stage of DeepFloyd IF: it draws pixels, of a side that its network has."""
    from diffusers import DDPMScheduler, IFPipeline, UNet2DConditionModel

    def build(_folder: Path) -> Any:
        return IFPipeline(
            unet=UNet2DConditionModel(
                sample_size=SIDE,
                in_channels=3,
                out_channels=6,
                layers_per_block=1,
                block_out_channels=(8, 16),
                down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
                mid_block_type="UNetMidBlock2DSimpleCrossAttn",
                up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
                cross_attention_dim=16,
                encoder_hid_dim=32,
                attention_head_dim=4,
                addition_embed_type="text",
                addition_embed_type_num_heads=2,
                norm_num_groups=4,
                resnet_time_scale_shift="scale_shift",
                act_fn="gelu",
            ),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=DDPMScheduler(variance_type="learned_range", clip_sample=True),
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
            requires_safety_checker=False,
        )

    return saved(folder, build, seed=seed)


def tiny_hunyuan_dit(folder: Path, *, seed: int = 0) -> Path:
    """A HunyuanDiT pipeline: BERT and T5 read, and the network is told the size."""
    from diffusers import AutoencoderKL, DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
    from transformers import BertConfig, BertModel, BertTokenizer

    def build(folder: Path) -> Any:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{one}" for one in LETTERS)]
        vocabulary = folder.parent / f"{folder.name}-words.txt"
        vocabulary.parent.mkdir(parents=True, exist_ok=True)
        vocabulary.write_text("\n".join(words))
        tokenizer = BertTokenizer(str(vocabulary), model_max_length=77)
        bert = BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=80,
        )
        return HunyuanDiTPipeline(
            # This pipeline takes latents for an eighth of an image's side, whatever they are.
            vae=AutoencoderKL(
                block_out_channels=(8,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                norm_num_groups=4,
                latent_channels=4,
                sample_size=4 * SIDE,
            ),
            text_encoder=BertModel(bert),
            tokenizer=tokenizer,
            text_encoder_2=_t5(),
            tokenizer_2=_t5_tokenizer(),
            transformer=HunyuanDiT2DModel(
                sample_size=SIDE // 2,
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=2,
                in_channels=4,
                hidden_size=16,
                mlp_ratio=2.0,
                cross_attention_dim=16,
                cross_attention_dim_t5=32,
                pooled_projection_dim=16,
            ),
            scheduler=DDPMScheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    return saved(folder, build, seed=seed)


def tiny_kandinsky_3(folder: Path, *, seed: int = 0) -> Path:
    """A Kandinsky 3 pipeline: T5 reads, and an autoencoder with a code book draws."""
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet, VQModel

    def build(_folder: Path) -> Any:
        return Kandinsky3Pipeline(
            unet=Kandinsky3UNet(
                in_channels=4,
                time_embedding_dim=4,
                groups=2,
                attention_head_dim=4,
                layers_per_block=3,
                block_out_channels=(8, 16),
                cross_attention_dim=4,
                encoder_hid_dim=32,
            ),
            movq=VQModel(
                block_out_channels=(32, 32),
                down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
                up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
                latent_channels=4,
                num_vq_embeddings=12,
                vq_embed_dim=4,
                norm_type="spatial",
            ),
            text_encoder=_t5(),
            tokenizer=_t5_tokenizer(),
            scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True),
        )

    return saved(folder, build, seed=seed)
