"""Tiny CLIP checkpoints with random weights, in the real formats, built in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 49408
"""Of the tokenizer that open_clip brings along."""


def tiny_clip(folder: Path, *, seed: int = 0, side: int = 16) -> Path:
    """A ``CLIPModel`` of transformers with its tokenizer and image processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), ",</w>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    vocabulary |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32
    )
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {
        **shared,
        "vocab_size": len(vocabulary),
        "num_hidden_layers": 1,
        "max_position_embeddings": 32,
        "bos_token_id": len(words),
        "eos_token_id": len(words) + 1,
        "pad_token_id": len(words) + 1,
    }
    vision = {**shared, "num_hidden_layers": 2, "image_size": side, "patch_size": side // 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size=side, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(folder)
    return folder


def tiny_open_clip(folder: Path, *, seed: int = 0, side: int = 16, captions: bool = False) -> Path:
    """A model of open_clip in the layout that it is published in.

    Args:
        folder: is made.
        seed: of its weights.
        side: pixels a side of the images that it sees.
        captions: whether it is a CoCa, which can also write some.
    """
    import open_clip
    from safetensors.torch import save_file

    settings: dict[str, Any] = {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": side,
            "patch_size": side // 2,
            "width": 16,
            "layers": 2,
            "head_width": 8,
        },
        "text_cfg": {
            "context_length": 32,
            "vocab_size": VOCABULARY,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if captions:
            told = {"output_tokens": True}
            settings["vision_cfg"] |= told | {"attentional_pool": True, "attn_pooler_heads": 2}
            settings["multimodal_cfg"] = settings["text_cfg"] | {"attn_pooler_heads": 2}
            settings["text_cfg"] = settings["text_cfg"] | told | {"embed_cls": True}
            model = open_clip.CoCa(**settings)
            settings["custom_text"] = True
        else:
            model = open_clip.CLIP(**settings)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    said = {"model_cfg": settings, "preprocess_cfg": {"mean": [0.4] * 3, "std": [0.2] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    return folder


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += [mark + chr(code) for mark in ("", "##") for code in range(ord("a"), ord("z") + 1)]
"""Of a tokenizer of BERT that knows letters only."""
BERT: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
    "initializer_range": 0.5,  # Else all texts are much the same to it.
}


def tiny_open_clip_with_bert(
    folder: Path,
    *,
    seed: int = 0,
    side: int = 16,
    tower: Any = None,
    pooler: str = "cls_last_hidden_state_pooler",
) -> Path:
    """A model of open_clip whose text tower is transformers' BERT, as BiomedCLIP's is.

    The image tower is timm's. What describes the text tower lies in the same folder; the name on
    the Hub that its settings have is nobody's. ``tower`` may configure another text tower.
    """
    import open_clip
    from safetensors.torch import save_file
    from transformers import BertConfig, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    (tower or BertConfig(**BERT)).save_pretrained(folder)
    settings: dict[str, Any] = {
        "embed_dim": 8,
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": side,
        },
        "text_cfg": {
            "hf_model_name": "nobody/nothing",
            "hf_tokenizer_name": "nobody/nothing",
            "hf_proj_type": "mlp",
            "hf_pooler_type": pooler,
            "context_length": 32,
        },
    }
    there = {"hf_model_name": str(folder), "hf_model_pretrained": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CustomTextCLIP(**{**settings, "text_cfg": settings["text_cfg"] | there})
    save_file(
        {name: value.clone() for name, value in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    said = {"model_cfg": settings, "preprocess_cfg": {"mean": [0.4] * 3, "std": [0.2] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    return folder


def tiny_siglip(folder: Path, *, seed: int = 0, side: int = 16) -> Path:
    """A ``SiglipModel`` of transformers with its tokenizer, of pieces of words, and processor."""
    import io

    import sentencepiece
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a photo of a sea horse, an ant and a bee", "the quick brown fox"]),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        unk_id=2,
        bos_id=-1,
        pad_id=0,
        eos_id=1,
        minloglevel=2,
    )
    pieces = folder / "spiece.model"
    pieces.write_bytes(written.getvalue())
    tokenizer = SiglipTokenizer(str(pieces), model_max_length=32)
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {
        **shared,
        "vocab_size": 64,
        "num_hidden_layers": 1,
        "max_position_embeddings": 32,
        "projection_size": 16,
        "pad_token_id": 1,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    vision = {**shared, "num_hidden_layers": 2, "image_size": side, "patch_size": side // 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        # As after training; new ones multiply with 1 and add nothing.
        model.logit_scale.data.fill_(2.5)
        model.logit_bias.data.fill_(-10.0)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessor(
        size={"height": side, "width": side}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    ).save_pretrained(folder)
    return folder
