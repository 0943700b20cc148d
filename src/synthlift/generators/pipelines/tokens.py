"""What a pipeline's text encoders do not read of a prompt."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthlift.errors import needing_extra
from synthlift.generators.pipelines.reading import reader_in, room
from synthlift.generators.pipelines.vocabularies import known_tokenizer, lacks_vocabulary
from synthlift.weights.copies import INDEX, every_part
from synthlift.weights.files import read_json
from synthlift.weights.vocabulary import reading_tokenizer

READERS = ("tokenizer", "prior_tokenizer")
"""How the names of parts begin that make tokens of a prompt."""
PROCESSOR, PROCESSED = "processor", ("NucleusMoE",)
"""A part that reads images, too, and pipelines that read prompts by it."""
READ_WHOLE = ("GlmImage", "QwenImage21")
"""Pipelines whose language model reads a prompt of any length, whatever else reads words of it."""


def lost_words(
    model: Path, prompt: str, *, without: tuple[str, ...] = (), avoided: bool = False
) -> str:
    """The end of a prompt that no text encoder of the pipeline reads; "" where all is read.

    Of several encoders (Stable Diffusion 3 has three) the one that reads most counts.

    Args:
        model: folder of the pipeline.
        prompt: of any length.
        without: text encoders that are not there.
        avoided: whether it is a negative prompt.
    """
    read = _tokenizers(model, without, avoided)
    return min(
        (_lost(tokenizer, prompt, most=most) for tokenizer, most in read), key=len, default=""
    )


def _lost(tokenizer: Any, prompt: str, *, most: int | None) -> str:
    if most is None:
        return ""
    ids = tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return str(tokenizer.decode(ids[most:])).strip() if len(ids) > most else ""


@functools.lru_cache(maxsize=4)
def _tokenizers(
    model: Path, without: tuple[str, ...], avoided: bool
) -> tuple[tuple[Any, int | None], ...]:
    """Each with the number of tokens of a prompt that is read of it; None = any."""
    index = read_json(model / INDEX)
    name = str(index.get("_class_name"))
    readers = (*READERS, PROCESSOR) if name.startswith(PROCESSED) else READERS
    parts = {
        part: kind
        for part, kind in every_part(index).items()
        if part.startswith(readers) and part.replace("tokenizer", "text_encoder") not in without
    }
    if not parts or name.startswith(READ_WHOLE):
        return ()

    with needing_extra("text-to-image", extra="text2image"):
        import diffusers
    pipeline = getattr(diffusers, name, None)
    opened = {part: _opened(model / part, *kind) for part, kind in parts.items()}
    return tuple(
        (reader_in(one), room(pipeline, part, one, name=parts[part][1], avoided=avoided))
        for part, one in opened.items()
    )


def _opened(folder: Path, library: str, kind: str) -> Any:
    if lacks_vocabulary(folder):
        return known_tokenizer(folder)
    import transformers

    # Kolors brings a tokenizer of its own, as a part of diffusers.
    home = (
        transformers
        if library == "transformers"
        else importlib.import_module(f"diffusers.pipelines.{library}")
    )
    with reading_tokenizer(folder):
        return getattr(home, kind).from_pretrained(folder, local_files_only=True)


def tokens_lost(
    model: Path,
    prompts: Sequence[str],
    *,
    without: tuple[str, ...] = (),
    avoided: bool = False,
) -> list[int]:
    """How many tokens of each prompt :func:`lost_words` would name; all are looked at in one go.

    Args:
        model: folder of the pipeline.
        prompts: of any length.
        without: text encoders that are not there.
        avoided: whether they are negative prompts.
    """
    lost = [_beyond(one, prompts, most=most) for one, most in _tokenizers(model, without, avoided)]
    return [min(counts) for counts in zip(*lost, strict=True)] if lost else [0] * len(prompts)


def _beyond(tokenizer: Any, prompts: Sequence[str], *, most: int | None) -> list[int]:
    beyond = [0] * len(prompts)
    if most is None:
        return beyond
    # Of plain letters a token takes at least one, and one token may begin the text.
    rows = [i for i, one in enumerate(prompts) if len(one) >= most or not one.isascii()]
    if rows:
        some = [prompts[i] for i in rows]
        told = tokenizer(some, add_special_tokens=False, truncation=False, verbose=False)
        for i, ids in zip(rows, told["input_ids"], strict=True):
            beyond[i] = max(0, len(ids) - most)
    return beyond
