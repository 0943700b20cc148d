"""Prompts: templates over the class and attributes, and who tells what of one is not read."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from synthlift.errors import InputError, nearest_name
from synthlift.imagesets import ImageSet

LABEL = "label"


@runtime_checkable
class Remarks(Protocol):
    """A fitted generator that knows what of a request it cannot heed, such as words too many."""

    def remarks(self, params: Mapping[str, Any]) -> list[str]:
        """What has no effect where ``params`` are asked for, in words; nothing is sampled.

        That includes what the fit warned of, as far as ``params`` leave it true.
        """
        ...


@runtime_checkable
class Foretells(Protocol):
    """A generator that knows before it is fitted what of its words has no effect."""

    def foretold(self, images: ImageSet) -> list[str]:
        """What a fit would warn of by classes and attributes alone; no pixels, no weights."""
        ...


@runtime_checkable
class KnowsPrompts(Protocol):
    """A generator that knows before it is fitted what it may be told."""

    def prompts_for(self, images: ImageSet) -> Iterator[tuple[str, str]]:
        """Class and prompt of whatever a study with such images may ask for."""
        ...


def placeholders(template: str) -> tuple[str, ...]:
    """Names in braces, in order, each once.

    Raises:
        InputError: a brace without its twin, or a placeholder that is no plain name.
    """
    try:
        found = [one[1:] for one in string.Formatter().parse(template) if one[1] is not None]
    except ValueError as error:
        raise InputError(
            f"the prompt '{template}': {error}",
            rule="a placeholder is a name in braces, such as {label}",
            remedy="close the brace, or write {{ and }} for braces in the text",
        ) from None
    for name, form, conversion in found:
        if not can_stand(str(name)) or form or conversion:
            said = f"{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
            raise InputError(
                f"the prompt '{template}' has the placeholder '{{{said}}}'",
                rule="a placeholder is the name of the class ({label}) or of an attribute, with no "
                "format behind it",
                remedy="name a column, or write {{ and }} for braces in the text",
            )
    return tuple(dict.fromkeys(str(name) for name, _, _ in found))


def can_stand(name: str) -> bool:
    """Whether a column's name can be a placeholder."""
    return re.fullmatch(r"[^\W\d][\w -]*", name) is not None


def require_known(template: str, attributes: Collection[str]) -> None:
    """Refuse a placeholder that no column fills.

    Raises:
        InputError: an unknown placeholder.
    """
    for name in placeholders(template):
        if name != LABEL and name not in attributes:
            raise InputError(
                f"the prompt '{template}' names '{name}'{nearest_name(name, [LABEL, *attributes])}",
                rule="a placeholder is {label} or an attribute of the images, which are: "
                + (", ".join(attributes) or "none"),
                remedy="name the column under data.attributes, or correct the prompt",
            )


def prompt_for(template: str, *, label: str, attributes: Mapping[str, str]) -> str:
    """The prompt of one image.

    Args:
        template: text with placeholders.
        label: words for the class.
        attributes: values by name; a missing one ("") leaves no gap behind.
    """
    words = {LABEL: label, **attributes}
    filled = template.format_map({name: words.get(name, "") for name in placeholders(template)})
    filled = re.sub(r"\s+", " ", filled)
    filled = re.sub(r"(\s*,)+(?=\s*,|\s*$)", "", filled)
    return re.sub(r"\s+,", ",", filled).strip(" ,")
