"""What a pipeline's text encoders do not read of a prompt."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthlift.errors import needing_extra
from synthlift.generators.pipelines.vocabularies import known_tokenizer, lacks_vocabulary
from synthlift.weights.vocabulary import reading_tokenizer

UNLIMITED = 100_000
"""Tokenizers without a limit give a huge number."""
CUT_BY_CALL = ("T5", "Gemma")
"""Tokenizers that pipelines tell where to end, whatever limit the tokenizers have themselves."""


def lost_words(model: Path, prompt: str, *, without: tuple[str, ...] = ()) -> str:
    """The end of a prompt that no text encoder of the pipeline reads; "" where all is read.

    Of several encoders (Stable Diffusion 3 has three) the one that reads most counts.

    Args:
        model: folder of the pipeline.
        prompt: of any length.
        without: text encoders that are not there.
    """
    kept = [_lost(tokenizer, prompt, most=most) for tokenizer, most in _tokenizers(model, without)]
    return min(kept, key=len, default="")


def _lost(tokenizer: Any, prompt: str, *, most: int) -> str:
    if most > UNLIMITED:
        return ""
    added = tokenizer.num_special_tokens_to_add()
    ids = tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return str(tokenizer.decode(ids[most - added :])).strip() if len(ids) > most - added else ""


@functools.lru_cache(maxsize=4)
def _tokenizers(model: Path, without: tuple[str, ...]) -> tuple[tuple[Any, int], ...]:
    """Each with the number of tokens that is read of it, special ones included."""
    index = json.loads((model / "model_index.json").read_text("utf-8"))
    parts = [
        name
        for name, kind in index.items()
        if name.startswith("tokenizer")
        and isinstance(kind, list)
        and kind[0] is not None
        and name.replace("tokenizer", "text_encoder") not in without
    ]
    if not parts:
        return ()

    with needing_extra("text-to-image", extra="text2image"):
        import diffusers
        import transformers
    kinds = [getattr(transformers, index[name][1]) for name in parts]
    found = [
        known_tokenizer(model / name)
        if lacks_vocabulary(model / name)
        else _read(kind, model / name)
        for kind, name in zip(kinds, parts, strict=True)
    ]
    # Where images can be read, too, as in Flux.2, it is a part of what reads them.
    opened = [
        one.tokenizer if isinstance(one, transformers.ProcessorMixin) else one for one in found
    ]
    told = _told_length(getattr(diffusers, str(index.get("_class_name")), None))
    return tuple(
        (one, told if told and index[name][1].startswith(CUT_BY_CALL) else one.model_max_length)
        for one, name in zip(opened, parts, strict=True)
    )


def _read(kind: Any, folder: Path) -> Any:
    with reading_tokenizer(folder):
        return kind.from_pretrained(folder, local_files_only=True)


def _told_length(kind: Any) -> int | None:
    """Tokens that a pipeline of a class reads by itself; None = it does not say."""
    taken = {} if kind is None else inspect.signature(kind.__call__).parameters
    told = taken["max_sequence_length"].default if "max_sequence_length" in taken else None
    return told if isinstance(told, int) else None


def tokens_lost(model: Path, prompts: Sequence[str], *, without: tuple[str, ...] = ()) -> list[int]:
    """How many tokens of each prompt :func:`lost_words` would name; all are looked at in one go.

    Args:
        model: folder of the pipeline.
        prompts: of any length.
        without: text encoders that are not there.
    """
    lost = [_beyond(one, prompts, most=most) for one, most in _tokenizers(model, without)]
    return [min(counts) for counts in zip(*lost, strict=True)] if lost else [0] * len(prompts)


def _beyond(tokenizer: Any, prompts: Sequence[str], *, most: int) -> list[int]:
    beyond = [0] * len(prompts)
    if most > UNLIMITED:
        return beyond
    room = most - tokenizer.num_special_tokens_to_add()
    # Of plain letters a token takes at least one, and one token may begin the text.
    rows = [i for i, one in enumerate(prompts) if len(one) >= room or not one.isascii()]
    if rows:
        some = [prompts[i] for i in rows]
        told = tokenizer(some, add_special_tokens=False, truncation=False, verbose=False)
        for i, ids in zip(rows, told["input_ids"], strict=True):
            beyond[i] = max(0, len(ids) - room)
    return beyond
