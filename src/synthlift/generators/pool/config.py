"""Settings of an imported pool. No torch here: descriptors and planners read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from synthlift.registry import ComponentConfig, Origins

POOL = "pool"
"""The name under which the images are found."""


Range = tuple[float, float]


class Randomisation(ComponentConfig):
    """Ranges from which an image's conditions are drawn; what is left out changes nothing.

    Attributes:
        share: how likely each change is, by itself.
        style: how far the tones of each channel go to those of a training image of the class, 0–1.
        fog, rain, snow: how much of it, 0–1.
        shadow: how much darker one side of a line is, 0–1.
        light, contrast: factors.
        colour: largest change of a channel's factor, 0–1.
        motion_blur, blur: length of a line, and deviation of a Gaussian, as shares of the side.
        resolution: share of the pixels a side that the camera has, above 0, at most 1.
        vignette: how much darker the corners are, 0–1.
        noise: standard deviation in grey levels.
        jpeg: quality, 1–95.
    """

    share: float = Field(default=0.5, gt=0, le=1)
    style: Range | None = None
    fog: Range | None = None
    rain: Range | None = None
    snow: Range | None = None
    shadow: Range | None = None
    light: Range | None = None
    contrast: Range | None = None
    colour: Range | None = None
    motion_blur: Range | None = None
    blur: Range | None = None
    resolution: Range | None = None
    vignette: Range | None = None
    noise: Range | None = None
    jpeg: Range | None = None

    @model_validator(mode="after")
    def _within(self) -> Randomisation:
        for name, (least, most) in LIMITS.items():
            limits: Range | None = getattr(self, name)
            if limits is None:
                continue
            low, high = limits
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name}: a range from its lower to its upper end, within {least:g} to "
                    f"{most:g}; given {low:g} to {high:g}"
                )
        if all(getattr(self, name) is None for name in LIMITS):
            raise ValueError(f"no range is given; there are {', '.join(LIMITS)}")
        return self


LIMITS: dict[str, Range] = {
    "style": (0, 1),
    "fog": (0, 1),
    "rain": (0, 1),
    "snow": (0, 1),
    "shadow": (0, 1),
    "light": (0.05, 4),
    "contrast": (0, 4),
    "colour": (0, 1),
    "motion_blur": (0, 0.5),
    "blur": (0, 0.2),
    "resolution": (0.02, 1),
    "vignette": (0, 1),
    "noise": (0, 128),
    "jpeg": (1, 95),
}


class PoolConfig(ComponentConfig):
    """Settings of kind ``pool``.

    Attributes:
        source: a folder with one sub-folder a class, a table of paths, or any other source that
            ``data.source`` takes.
        metadata, label: as under ``data``.
        attributes: columns by which images can be asked for, beside their class.
        classes: class name there → ours, "" to leave a class out; names that are equal need no
            entry.
        reserved: share of each class that stays out of training and is tested on in the table of
            both directions.
        randomise: conditions that are drawn for every image anew: domain randomisation.
        repeats: how often an image may be given, each time under other conditions.
        terms: what the source allows, such as CC BY 4.0; for the data card of an export.
        redistribute: whether the images may be passed on.
    """

    source: str
    metadata: str | None = None
    label: str | None = None
    attributes: tuple[str, ...] = ()
    classes: dict[str, str] = Field(default_factory=dict)
    reserved: float = Field(default=0.1, ge=0, le=0.5)
    randomise: Randomisation | None = None
    repeats: int = Field(default=1, ge=1, le=1000)
    terms: str | None = None
    redistribute: Literal["yes", "no", "unknown"] = "unknown"

    def origins(self) -> Origins:
        """The pool was there before."""
        return "elsewhere"

    @model_validator(mode="after")
    def _no_plain_repeats(self) -> PoolConfig:
        if self.repeats > 1 and self.randomise is None:
            raise ValueError(
                f"repeats: {self.repeats} gives the same picture {self.repeats} times; say under "
                "'randomise' what changes, or leave 'repeats' out"
            )
        return self

    def pools(self) -> Mapping[str, Mapping[str, Any]]:
        """The one pool."""
        told = self.model_dump(include={"source", "metadata", "label", "attributes", "classes"})
        return {POOL: told}
