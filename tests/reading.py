"""Pipelines of diffusers without networks: they have what makes tokens of a prompt, and no more."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from tests.further_pipelines import PARTS, _qwen_3, _tokenizer
from tests.pipelines import _gemma_tokenizer, _t5, _t5_tokenizer

LETTER = "q"
MUCH = 2100
DROPPED = {"QwenImagePipeline": slice(34, 34 + 512), "SanaPipeline": slice(-299, None)}
"""What is kept of the tokens, where a pipeline cuts behind its text encoder."""
IN_DEFAULTS = {"NucleusMoEImagePipeline": 1024}
"""Tokens in all, where a pipeline fills in the argument of its call itself."""


class _ReadError(Exception):
    """The text encoder was reached."""


def _pixtral() -> Any:
    from transformers import PixtralImageProcessor, PixtralProcessor

    tokenizer = _tokenizer()
    tokenizer.add_tokens(["[IMG_BREAK]", "[IMG_END]", "[IMG]"], special_tokens=True)
    seer = PixtralImageProcessor()
    return PixtralProcessor(image_processor=seer, tokenizer=tokenizer, chat_template=PARTS)


READERS: dict[str, Callable[[], Any]] = {
    "AuraFlowPipeline": _gemma_tokenizer,
    "ChromaPipeline": _t5_tokenizer,
    "CogView3PlusPipeline": _t5_tokenizer,
    "CogView4Pipeline": _tokenizer,
    "Flux2KleinPipeline": _tokenizer,
    "Flux2Pipeline": _pixtral,
    "IFPipeline": _t5_tokenizer,
    "Kandinsky3Pipeline": _t5_tokenizer,
    "Krea2Pipeline": _tokenizer,
    "Lumina2Pipeline": _gemma_tokenizer,
    "LuminaPipeline": _gemma_tokenizer,
    "NucleusMoEImagePipeline": _qwen_3,
    "OvisImagePipeline": _tokenizer,
    "PixArtAlphaPipeline": _t5_tokenizer,
    "QwenImagePipeline": _tokenizer,
    "SanaPipeline": _gemma_tokenizer,
    "ZImagePipeline": _tokenizer,
}


def reading(kind: str, folder: Path) -> int:
    """Save a pipeline of a kind, and count the tokens of a prompt that its text encoder is given.

    A letter is a token of each of these tokenizers.
    """
    import diffusers

    opener = getattr(diffusers, kind)
    wanted = inspect.signature(opener.__init__).parameters.values()
    named = [one.name for one in wanted if one.default is one.empty and one.name != "self"]
    part = "processor" if "processor" in named else "tokenizer"
    reader, encoder = READERS[kind](), _t5()
    pipeline = opener(**{**dict.fromkeys(named), part: reader, "text_encoder": encoder})
    pipeline.save_pretrained(folder)
    given: list[Any] = []

    def reached(_network: nn.Module, first: tuple[Any, ...], told: dict[str, Any]) -> None:
        given.append(told["input_ids"] if "input_ids" in told else first[0])
        raise _ReadError

    encoder.register_forward_pre_hook(reached, with_kwargs=True)
    asked = inspect.signature(opener.__call__).parameters
    told = {
        name: IN_DEFAULTS.get(kind, asked[name].default)
        for name in ("max_sequence_length", "complex_human_instruction")
        if name in asked and name in inspect.signature(pipeline.encode_prompt).parameters
    }

    def read(prompt: str) -> int:
        with contextlib.suppress(_ReadError):
            pipeline.encode_prompt(prompt=[prompt], device="cpu", **told)
        ids = given.pop()[0][DROPPED.get(kind, slice(None))].tolist()
        tokenizer = getattr(reader, "tokenizer", reader)
        return [tokenizer.decode([one]) for one in ids].count(LETTER)

    return read(LETTER * MUCH) - read("")
