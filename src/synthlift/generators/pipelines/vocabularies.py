"""Vocabularies of tokenizers whose folder holds none: CLIP's and T5's. No torch here.

CLIP's comes with open_clip. T5's lies beside the layouts, as its makers (Google) published it under
the Apache License 2.0: the same for all sizes of T5 1.1, on which Stable Diffusion 3 and Flux rest.
"""

from __future__ import annotations

import functools
import gzip
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthlift.errors import needing_extra
from synthlift.weights.files import read_json
from synthlift.weights.vocabulary import SETTINGS, holds_vocabulary

LAYOUTS = Path(__file__).parent / "layouts"
T5_FILE = LAYOUTS / "t5-tokenizer.json.xz"
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 49_152 - 256 - 2
"""Lines of CLIP's vocabulary that are used, as its authors count them."""
KNOWN = ("CLIP", "T5")
"""How the classes of tokenizers begin whose words are known."""


def lacks_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer's folder says how it is used, and holds no words."""
    return not holds_vocabulary(folder)


def is_known(folder: Path) -> bool:
    """Whether :func:`known_tokenizer` has the words that a folder lacks."""
    named = str(read_json(folder / SETTINGS).get("tokenizer_class", ""))
    return named.startswith(KNOWN)


def known_tokenizer(folder: Path) -> Any:
    """The tokenizer with the settings in a folder that has no words of its own.

    Args:
        folder: with ``tokenizer_config.json``, of CLIP or T5.

    Raises:
        InputError: a package is missing.
    """
    settings = read_json(folder / SETTINGS)
    t5 = str(settings.get("tokenizer_class", "")).startswith("T5")
    return _t5_tokenizer(settings) if t5 else _clip_tokenizer(settings)


def _clip_tokenizer(settings: Mapping[str, Any]) -> Any:
    with needing_extra("a pipeline in one file", extra="text2image"):
        from transformers import CLIPTokenizer
    vocabulary, merges = _clip_words()
    return CLIPTokenizer(
        vocab=dict(vocabulary),
        merges=list(merges),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=settings["pad_token"],
        model_max_length=settings["model_max_length"],
    )


@functools.cache
def _clip_words() -> tuple[Mapping[str, int], tuple[Any, ...]]:
    """Words by index, and pairs of pieces that are joined, the most frequent first."""
    with needing_extra("a pipeline in one file without a folder of settings", extra="clip"):
        from open_clip.tokenizer import bytes_to_unicode, default_bpe
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as stream:
        lines = stream.read().split("\n")[1 : MERGES + 1]
    merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
    pieces = list(bytes_to_unicode().values())
    words = [*pieces, *(f"{piece}</w>" for piece in pieces)]
    words += [first + second for first, second in merges]
    return {word: index for index, word in enumerate([*words, START, END])}, tuple(merges)


def _t5_tokenizer(settings: Mapping[str, Any]) -> Any:
    with needing_extra("a pipeline in one file", extra="text2image"):
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast
    kind: Any = PreTrainedTokenizerFast
    return kind(
        tokenizer_object=Tokenizer.from_str(_t5_words()),
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=settings["model_max_length"],
    )


@functools.cache
def _t5_words() -> str:
    with lzma.open(T5_FILE, "rt", encoding="utf-8") as stream:
        return stream.read()
