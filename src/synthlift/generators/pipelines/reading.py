"""How many tokens of a prompt pipelines read: what they put before it takes room, too.

Some cut where their tokenizer ends, some where their call says, and some at a number that stands
in their code alone. Language models read a prompt as a part of a conversation.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

UNLIMITED = 100_000
"""Tokenizers without a limit give a huge number."""
OF_ITS_OWN = ("CLIP",)
"""Tokenizers whose own limit holds, whatever a call says of another one beside them."""
IN_CODE: Mapping[str, Mapping[str, int]] = {
    "IFPipeline": {"tokenizer": 77},
    "HunyuanDiT": {"tokenizer": 77, "tokenizer_2": 256},
    "Kandinsky3": {"tokenizer": 128},
    "Kandinsky": {"tokenizer": 77},
    "NucleusMoE": {"processor": 1024},
}
"""Tokens that pipelines read, by how their class begins and by part, where no argument says it."""
AFTER_INSTRUCTION = ("Sana",)
"""Pipelines that join prompts to an instruction, and keep two tokens less of them for it."""
UNLED = ("Lumina2", *AFTER_INSTRUCTION)
"""Pipelines that put something before prompts, and nothing before negative prompts."""
ASIDE = "\u2042"
"""Stands for the prompt where it is to be seen what comes before it."""


def room(kind: Any, part: str, tokenizer: Any, *, name: str, avoided: bool) -> int | None:
    """Tokens of a prompt that a pipeline reads by one of its tokenizers; None = any number.

    Args:
        kind: class of the pipeline; None = another library's.
        part: name of the tokenizer in the pipeline.
        tokenizer: as it lies in the folder, or what holds one beside a reader of images.
        name: of the tokenizer's class.
        avoided: of a negative prompt.
    """
    reader = reader_in(tokenizer)
    most = _most(kind, part, reader, name=name)
    if most > UNLIMITED:
        return None
    before = "" if kind is None or _is(kind, UNLED if avoided else ()) else _before(kind, tokenizer)
    begun = bool(reader.bos_token) and before.startswith(reader.bos_token)
    added = 0 if begun else reader.num_special_tokens_to_add()
    # A blank before a word is often a part of its token.
    led = _tokens(reader, f"{before}a") - _tokens(reader, "a")
    if kind is not None and not avoided and _is(kind, AFTER_INSTRUCTION):
        added = 2
    return max(0, most - added - led)


def reader_in(tokenizer: Any) -> Any:
    """The tokenizer itself, where it is a part of what reads images, too, as in Flux.2."""
    from transformers import ProcessorMixin

    return tokenizer.tokenizer if isinstance(tokenizer, ProcessorMixin) else tokenizer


def _most(kind: Any, part: str, reader: Any, *, name: str) -> int:
    """Tokens in all, those before and after the prompt included."""
    if kind is not None:
        for begins, parts in IN_CODE.items():
            if kind.__name__.startswith(begins):
                return parts.get(part, reader.model_max_length)
        taken = inspect.signature(kind.__call__).parameters
        told = taken["max_sequence_length"].default if "max_sequence_length" in taken else None
        if isinstance(told, int) and not name.startswith(OF_ITS_OWN):
            return told + _beyond_told(kind)
    return int(reader.model_max_length)


def _beyond_told(kind: Any) -> int:
    """Tokens of what leads to a prompt that a pipeline does not count."""
    if _is(kind, ("QwenImage",)):
        return int(_empty(kind).prompt_template_encode_start_idx)
    if _is(kind, ("Krea2",)):
        empty = _empty(kind)
        suffix = empty.prompt_template_encode_num_suffix_tokens
        return int(empty.prompt_template_encode_start_idx - suffix)
    return int(_empty(kind).user_prompt_begin_id) if _is(kind, ("Ovis",)) else 0


def _before(kind: Any, tokenizer: Any) -> str:
    """What a pipeline puts before a prompt."""
    if _is(kind, ("QwenImage",)):
        return str(_empty(kind).prompt_template_encode).partition("{}")[0]
    if _is(kind, ("Krea2",)):
        return str(_empty(kind).prompt_template_encode_prefix)
    if _is(kind, ("Lumina2",)):
        return f"{_empty(kind).system_prompt} <Prompt Start> "
    if _is(kind, ("ZImageOmni",)):
        return "<|im_start|>user\n"
    said = _conversation(kind)
    if not said or not getattr(tokenizer, "chat_template", None):
        return ""
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    return str(text).partition(ASIDE)[0]


def _conversation(kind: Any) -> list[dict[str, Any]]:
    """The messages among which a language model finds the prompt; none where it reads it alone."""
    parts = [{"type": "text", "text": ASIDE}]
    if _is(kind, ("ZImage", "Flux2Klein")):
        return [{"role": "user", "content": ASIDE}]
    if _is(kind, ("Ovis",)):
        return [{"role": "user", "content": f"{_empty(kind).system_prompt}{ASIDE}"}]
    if _is(kind, ("Ideogram",)):
        return [{"role": "user", "content": parts}]
    if _is(kind, ("Flux2",)):
        system = [{"type": "text", "text": _empty(kind).system_message}]
        return [{"role": "system", "content": system}, {"role": "user", "content": parts}]
    if _is(kind, ("NucleusMoE",)):
        from diffusers.pipelines.nucleusmoe_image import pipeline_nucleusmoe_image as nucleus

        system = nucleus.DEFAULT_SYSTEM_PROMPT
        return [{"role": "system", "content": system}, {"role": "user", "content": parts}]
    return []


def _empty(kind: Any) -> Any:
    """A pipeline without parts, which knows what it would say."""
    wanted = inspect.signature(kind.__init__).parameters.values()
    needed = [one.name for one in wanted if one.default is one.empty and one.name != "self"]
    return kind(**dict.fromkeys(needed))


def _tokens(reader: Any, text: str) -> int:
    return len(reader(text, add_special_tokens=False, verbose=False)["input_ids"])


def _is(kind: Any, begins: tuple[str, ...]) -> bool:
    return bool(kind.__name__.startswith(begins))
