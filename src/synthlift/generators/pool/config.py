"""Settings of an imported pool. No torch here: descriptors and planners read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from synthlift.registry import ComponentConfig

POOL = "pool"
"""The name under which the images are found."""


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
        terms: what the source allows, such as CC BY 4.0; for the data card of an export.
        redistribute: whether the images may be passed on.
    """

    source: str
    metadata: str | None = None
    label: str | None = None
    attributes: tuple[str, ...] = ()
    classes: dict[str, str] = Field(default_factory=dict)
    reserved: float = Field(default=0.1, ge=0, le=0.5)
    terms: str | None = None
    redistribute: Literal["yes", "no", "unknown"] = "unknown"

    def pools(self) -> Mapping[str, Mapping[str, Any]]:
        """The one pool."""
        told = self.model_dump(include={"source", "metadata", "label", "attributes", "classes"})
        return {POOL: told}
