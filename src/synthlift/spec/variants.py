"""Variants of a component: the same settings but for some, each under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VARIANTS = "variants"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def spread(given: Any) -> list[Any]:
    """The components that one entry of a study file stands for: itself, or its variants.

    ``{name: sd, kind: …, variants: {plain: {prompt: …}, rich: {prompt: …}}}`` stands for
    ``sd-plain`` and ``sd-rich``; in place of settings, texts alone are prompts.

    Raises:
        ValueError: in words for the user.
    """
    if not isinstance(given, Mapping) or VARIANTS not in given:
        return [given]
    usual = {key: value for key, value in given.items() if key != VARIANTS}
    several = given[VARIANTS]
    if not isinstance(several, Mapping) or not several:
        raise ValueError("variants is a mapping of names to settings that differ, or to prompts")
    title = usual.get("name") or usual.get("kind")
    found = []
    for name, settings in several.items():
        if not _NAME.fullmatch(str(name)):
            raise ValueError(
                f"'{name}' as the name of a variant: it is made of letters, digits, '-', '_' and "
                "'.'"
            )
        own = settings if isinstance(settings, Mapping) else {"prompt": settings}
        if taken := {"kind", "name", VARIANTS} & {*own}:
            raise ValueError(f"variant '{name}' sets '{min(taken)}', which all variants share")
        found.append({**usual, **own, "name": f"{title}-{name}"})
    return found
