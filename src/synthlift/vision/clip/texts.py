"""Texts as the text tower of a CLIP checkpoint is given them; no weights are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from synthlift.errors import needing_extra
from synthlift.vision.clip.config import ClipCheckpoint
from synthlift.vision.clip.dual import DualTokens
from synthlift.vision.clip.files import (
    CONFIGS,
    ClipFiles,
    TextTower,
    alone,
    clip_place,
    find_clip,
    text_tower,
)
from synthlift.weights.vocabulary import open_tokenizer, reading_tokenizer

SPARE = 8
"""Tokens beside those of a text: not more than one a byte, and what stands at its ends."""


class Tokens(Protocol):
    """Makes tokens of texts."""

    @property
    def most(self) -> int:
        """Tokens that the text tower reads of a text, those at its ends among them."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text of any length."""
        ...

    def of(self, text: str) -> Any:
        """What the text tower is given of a text, which is cut where it is too long."""
        ...


def tokens_for(checkpoint: ClipCheckpoint) -> Tokens:
    """Those of a checkpoint.

    Raises:
        InputError: its files cannot be used, or a package is missing.
    """
    files = find_clip(clip_place(checkpoint.model))
    return tokens_of(files, text_tower(files, checkpoint.text_model))


def tokens_of(files: ClipFiles, text: TextTower | None) -> Tokens:
    """Those of a checkpoint's files.

    Args:
        files: of the checkpoint.
        text: files of a text tower that lies elsewhere; None = it lies with them.

    Raises:
        InputError: a package is missing, or its tokenizer cannot be read.
    """
    kinds: dict[str, Callable[[], Tokens]] = {
        "transformers": lambda: _ClipTokens(files),
        "siglip": lambda: _SiglipTokens(files),
        "dual": lambda: DualTokens(files),
        "open_clip": lambda: _OpenClipTokens(files, text),
    }
    return kinds[files.library]()


class _ClipTokens:
    def __init__(self, files: ClipFiles) -> None:
        with needing_extra("CLIP", extra="clip"):
            from transformers import CLIPTextConfig
        self._tokenizer = open_tokenizer(files.folder)
        told = CLIPTextConfig(**clip_settings(files)["text_config"])
        self.most = int(told.max_position_embeddings)

    def count(self, text: str) -> int:
        return len(self._tokenizer(text, verbose=False)["input_ids"])

    def of(self, text: str) -> Any:
        ids: Tensor = self._tokenizer(
            [text], return_tensors="pt", verbose=False, truncation=True, max_length=self.most
        )["input_ids"]
        return ids


class _SiglipTokens:
    def __init__(self, files: ClipFiles) -> None:
        with needing_extra("SigLIP", extra="siglip"):
            # Its tokenizer needs both, and says so at length.
            import google.protobuf  # noqa: F401
            import sentencepiece  # noqa: F401
            from transformers import SiglipTextConfig
        self._tokenizer = open_tokenizer(files.folder)
        told = SiglipTextConfig(**clip_settings(files)["text_config"])
        self.most = int(told.max_position_embeddings)

    def count(self, text: str) -> int:
        return len(self._tokenizer(text.lower(), verbose=False)["input_ids"])

    def of(self, text: str) -> Any:
        # It was trained on small letters, in texts that are filled up to their full length.
        ids: Tensor = self._tokenizer(
            [text.lower()],
            return_tensors="pt",
            verbose=False,
            truncation=True,
            padding="max_length",
            padding_side="right",
            max_length=self.most,
        )["input_ids"]
        return ids


class _OpenClipTokens:
    def __init__(self, files: ClipFiles, text: TextTower | None) -> None:
        with needing_extra("CLIP", extra="clip"):
            import open_clip
        if text is None:
            with reading_tokenizer(files.folder):
                self._tokenizer: Any = open_clip.get_tokenizer(f"local-dir:{files.folder}")
        else:
            self._tokenizer = _tokenizer_beside(text, open_clip_settings(files, text)["text_cfg"])
        self.most = int(self._tokenizer.context_length)

    def count(self, text: str) -> int:
        # It would cut what is too long; of no text, all but the ends is filling.
        room = len(text.encode()) + SPARE
        whole, filling = self._tokenizer([text, ""], context_length=room)
        return int((whole != filling[-1]).nonzero().max()) + 1

    def of(self, text: str) -> Any:
        return self._tokenizer([text])


def _tokenizer_beside(text: TextTower, told: Mapping[str, Any]) -> Any:
    """The tokenizer that open_clip would take, from files alone."""
    import open_clip

    with reading_tokenizer(text.tokenizer):
        return open_clip.tokenizer.HFTokenizer(
            str(text.tokenizer),
            context_length=told.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=told.get("tokenizer_mode"),
            local_files_only=True,
            **(told.get("tokenizer_kwargs") or {}),
        )


def clip_settings(files: ClipFiles) -> dict[str, Any]:
    """What stands in a checkpoint's configuration."""
    text = (files.folder / CONFIGS[files.library]).read_text("utf-8")
    settings: dict[str, Any] = json.loads(text)
    return settings


def open_clip_settings(files: ClipFiles, text: TextTower | None) -> dict[str, Any]:
    """The model's settings, by which all of its weights come from its file, and all else too."""
    settings: dict[str, Any] = clip_settings(files)["model_cfg"]
    told = {"hf_model_name": str(text.settings), "hf_model_pretrained": False} if text else {}
    settings.pop("multimodal_cfg", None)  # CoCa's decoder, which writes captions
    return {
        **settings,
        "vision_cfg": {**alone(settings["vision_cfg"]), "timm_model_pretrained": False},
        "text_cfg": {**alone(settings["text_cfg"]), **told},
    }
