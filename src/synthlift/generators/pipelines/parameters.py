"""What a request may set beside class and attributes, and in which range."""

from __future__ import annotations

from collections.abc import Mapping

from synthlift.errors import InputError
from synthlift.types import SampleRequest

NUMBERS: Mapping[str, tuple[float, float]] = {"guidance_scale": (0, 50), "sampler_steps": (1, 1000)}
WEAKEST = 0.01
"""Strength of a change: of less, a pipeline would take a step in more than a hundred."""
TEXTS = ("prompt", "negative_prompt")


def check_params(
    request: SampleRequest, *, numbers: Mapping[str, tuple[float, float]] = NUMBERS
) -> None:
    """Refuse what a request may not set.

    Raises:
        InputError: an unknown parameter, or a value out of range.
    """
    for name, value in request.params.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        low, high = numbers.get(name, (0, 0))
        fine = isinstance(value, str) if name in TEXTS else number and low <= value <= high
        if not (fine and name in (*numbers, *TEXTS)):
            allowed = (f"{key} ({a} to {b})" for key, (a, b) in numbers.items())
            raise InputError(
                f"request {request.index} sets '{name}' to {value!r}",
                rule="a request for an image from text may set: " + ", ".join([*TEXTS, *allowed]),
                remedy="correct or remove it",
            )
