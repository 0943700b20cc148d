"""What images may be asked for beside class and values: words of one's own, guidance and steps."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from synthlift.errors import InputError
from synthlift.generators.prompts import Remarks
from synthlift.registry import available

if TYPE_CHECKING:
    from synthlift.api.kept_generators import Kept

Params = Mapping[str, str | float]
Facts = Mapping[str, Sequence[str]]
PROMPT, GUIDANCE = "prompt", "guidance"
"""Conditions of a descriptor."""
NUMBERS = {"guidance_scale": "guidance", "sampler_steps": "number of steps"}
"""Settings of generators with the condition ``guidance``, and what people call them."""
TEXTS = {"prompt": "prompt", "negative_prompt": "negative prompt"}


def takes(kind: str, condition: str) -> bool:
    """Whether generators of a kind can be asked for something; False for an unknown kind."""
    known = available("generators")
    return kind in known and condition in known[kind].conditions


def limits_of(kind: str) -> dict[str, tuple[float, float]]:
    """From where to where a request may set guidance and steps; empty where it may set neither."""
    if not takes(kind, GUIDANCE):
        return {}
    fields = available("generators")[kind].config.model_fields
    return {name: _limits(fields[name].metadata) for name in NUMBERS}


def params_for(
    kind: str,
    *,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    guidance: float | None = None,
    steps: int | None = None,
    attributes: Collection[str] = (),
) -> dict[str, str | float]:
    """What a request's ``params`` hold; what is left out stays as the generator has it.

    Args:
        kind: of generator; nothing is known of one that a plug-in brings and that is not loaded,
            and nothing is refused for it here.
        prompt: words that take the place of the study's; white space in it becomes single spaces.
        negative_prompt: what images should not show, likewise.
        guidance: how strictly words or class are followed.
        steps: from noise to image.
        attributes: names of those that images are asked for by.

    Raises:
        InputError: generators of this kind cannot be asked so, a text is empty or no text, a
            number is out of range, or values of attributes are asked for beside a prompt.
    """
    texts = {
        name: _words(text, TEXTS[name])
        for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt))
        if text is not None
    }
    numbers: dict[str, float] = {
        name: number
        for name, number in (("guidance_scale", guidance), ("sampler_steps", steps))
        if number is not None
    }
    if texts:
        _require(kind, PROMPT, what=f"a {TEXTS[next(iter(texts))]}")
    if numbers:
        _require(kind, GUIDANCE, what=f"another {NUMBERS[next(iter(numbers))]}")
    limits = limits_of(kind)
    for name, number in numbers.items():
        low, high = limits.get(name, (0, math.inf))
        if not low <= number <= high:
            raise InputError(
                f"a {NUMBERS[name]} of {number:g}",
                rule=f"it is {low:g} to {high:g} for generators of kind {kind}",
                remedy="give another, or leave it out",
            )
    if "prompt" in texts and attributes:
        raise InputError(
            f"a prompt beside values of {', '.join(sorted(attributes))}",
            rule="a prompt takes the place of the study's, by which such a generator is asked for "
            "values of attributes",
            remedy="say the values in the prompt, or leave the prompt out",
        )
    return {**texts, **numbers}


def remarks_on(kept: Kept, params: Params) -> list[str]:
    """What of a request has no effect, in words, such as the end of a prompt that is too long.

    What the fit warned of comes first, as far as the request leaves it true.
    """
    if isinstance(kept.fitted, Remarks):
        return kept.fitted.remarks(params)
    told: Facts = getattr(kept.fitted, "facts", dict)()
    return [*told.get("warnings", ())]


def _limits(metadata: Collection[object]) -> tuple[float, float]:
    low, high = 0.0, math.inf
    for one in metadata:
        low, high = getattr(one, "ge", low), getattr(one, "le", high)
    return low, high


def _words(text: str, what: str) -> str:
    words = " ".join(text.split())
    # Control characters, and halves of a pair that no text file takes.
    if not words or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in words):
        raise InputError(
            f"a {what} " + ("with letters that are none" if words else "without words"),
            rule="it is a text of one line, as long as the model reads",
            remedy="write what the images should"
            + (" not show" if what == TEXTS["negative_prompt"] else " show")
            + ", or leave it out",
        )
    return words


def _require(kind: str, condition: str, *, what: str) -> None:
    known = available("generators")
    if kind not in known or condition in known[kind].conditions:
        return
    able = sorted(name for name, one in known.items() if condition in one.conditions)
    raise InputError(
        what,
        rule=f"generators of kind {kind} cannot be asked so; these can: {', '.join(able)}",
        remedy="leave it out, or take another generator",
    )
