"""Settings of the built-in filters; no heavy imports."""

from __future__ import annotations

from pydantic import Field

from synthlift.registry import ComponentConfig


class ExactDuplicatesConfig(ComponentConfig):
    """Settings of kind ``exact_duplicates``: none."""


class NearCopiesConfig(ComponentConfig):
    """Settings of kind ``near_copies``.

    Attributes:
        quantile: share of new real images that the distance threshold would reject; 0 = off.
        relative: an image at most this much of the way to its second nearest training image is a
            copy of the nearest; lowered where held-out images come that near; 0 = off.
    """

    quantile: float = Field(default=0.01, ge=0, lt=0.5)
    relative: float = Field(default=1 / 3, ge=0, lt=1)


class ClassAgreementConfig(ComponentConfig):
    """Settings of kind ``class_agreement``.

    Attributes:
        keep: share of each class that stays; 1 = off.
    """

    keep: float = Field(default=0.9, gt=0, le=1)
