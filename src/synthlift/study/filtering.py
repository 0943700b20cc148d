"""The filters that generated images pass, at given strengths, and what they leave by design."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthlift.spec.study import FilterComponent
from synthlift.study.components import Resolved, resolve_component, settings_of, strengths_of

PREDECLARED = "medium"
"""The strength that ``auto`` stands for where nothing is chosen."""

Strengths = Mapping[str, str]
"""Strength by the name of a filter with ``strength: auto``."""
FilterStrengths = dict[str, list[dict[str, Any]]]
"""The recorded choice: by generator, ``{"filter", "strength", "tried"}`` of each such filter."""


@dataclass(frozen=True)
class Curation:
    """What images pass.

    Attributes:
        filters: with names and all settings, in study order.
        share: what selectors keep of the images that no filter rejects, in (0, 1].
    """

    filters: tuple[Resolved, ...]
    share: float


def automatic(components: Sequence[FilterComponent]) -> dict[str, tuple[str, ...]]:
    """Filters whose strength is chosen, in study order, with what is chosen among."""
    return {one.title: strengths_of(one) for one in components if one.strength == "auto"}


def curation_of(components: Sequence[FilterComponent], strengths: Strengths) -> Curation:
    """The study's filters; ``auto`` is what ``strengths`` says, medium where it says nothing.

    Raises:
        InputError: as :func:`resolve_component`.
    """
    chosen = [at_strength(one, strengths.get(one.title, PREDECLARED)) for one in components]
    return Curation(
        filters=tuple({"name": one.title, **resolve_component("filters", one)} for one in chosen),
        share=math.prod(settings_of("filters", one).kept_share() for one in chosen),
    )


def known_strengths(chosen: FilterStrengths, generator: str) -> dict[str, str]:
    """What was chosen for a generator."""
    return {one["filter"]: one["strength"] for one in chosen.get(generator, [])}


def at_strength(component: FilterComponent, strength: str) -> FilterComponent:
    """The filter with ``auto`` replaced."""
    if component.strength != "auto":
        return component
    return component.model_copy(update={"strength": strength})


def least_share(components: Sequence[FilterComponent]) -> float:
    """What selectors keep at their strongest: what a plan must reckon with."""
    strongest = {name: found[-1] for name, found in automatic(components).items()}
    return curation_of(components, strongest).share
