"""Settings of the built-in filters; no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from synthlift.registry import ComponentConfig

STRENGTHS = ("off", "light", "medium", "strong")
"""Medium is what a filter does unless it is told otherwise."""


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


class PixelCopiesConfig(ComponentConfig):
    """Settings of kind ``pixel_copies``.

    Attributes:
        quantile: share of each class's new real images that the threshold would reject; 0 = off.
    """

    quantile: float = Field(default=0.01, ge=0, lt=0.5)


class ClassAgreementConfig(ComponentConfig):
    """Settings of kind ``class_agreement``.

    Attributes:
        keep: share of each class that stays; 1 = off.
    """

    keep: float = Field(default=0.9, gt=0, le=1)

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Shares kept."""
        return _steps("keep", 1.0, 0.95, 0.9, 0.8)


class ClipScoreConfig(ComponentConfig):
    """Settings of kind ``clip_score``.

    Attributes:
        keep: share of each class that stays; 1 = off.
        text: what an image is compared with: the texts of its class, or the prompt that it was
            drawn from, as far as the checkpoint reads it.
    """

    keep: float = Field(default=0.9, gt=0, le=1)
    text: Literal["class", "prompt"] = "class"

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Shares kept."""
        return _steps("keep", 1.0, 0.95, 0.9, 0.8)


class ConfidenceBandConfig(ComponentConfig):
    """Settings of kind ``confidence_band``.

    Attributes:
        low: share of each class's new real images that are believed less than what is kept; 0 =
            no lower bound.
        high: share that are believed less than the upper bound; 1 = no upper bound.
    """

    low: float = Field(default=0.02, ge=0, lt=0.5)
    high: float = Field(default=1.0, gt=0.5, le=1)

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Lower bounds."""
        return _steps("low", 0.0, 0.005, 0.02, 0.1)


class OutliersConfig(ComponentConfig):
    """Settings of kind ``outliers``.

    Attributes:
        method: distance to the class's mean under the covariance of all classes, distance to the
            nearest training images of the class, or an outlier by either.
        quantile: share of each class's new real images that are farther than what is kept, by
            each distance; 0 = off.
        neighbours: the distance is to the so-many-th nearest training image.
    """

    method: Literal["both", "mahalanobis", "knn"] = "both"
    quantile: float = Field(default=0.02, ge=0, lt=0.5)
    neighbours: int = Field(default=5, ge=1, le=100)

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Shares of real images that are farther."""
        return _steps("quantile", 0.0, 0.005, 0.02, 0.1)


class LowContrastConfig(ComponentConfig):
    """Settings of kind ``low_contrast``.

    Attributes:
        share: an image is rejected where its contrast, or its lightest or darkest part, comes to
            less than this share of what all but 1 % of the class's real images reach; 0 = off.
    """

    share: float = Field(default=0.5, ge=0, le=1)

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Shares of what real images reach."""
        return _steps("share", 0.0, 0.25, 0.5, 0.75)


class QualityConfig(ComponentConfig):
    """Settings of kind ``quality``.

    Attributes:
        quantile: share of each class's real images on either side of what counts as their range;
            0 = off.
        margin: how far beyond the range an image may lie, in widths of the range.
    """

    quantile: float = Field(default=0.01, ge=0, lt=0.5)
    margin: float = Field(default=0.25, ge=0)

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Margins around the range of real images."""
        margins = {"light": 0.5, "medium": 0.25, "strong": 0.0}
        found = {name: {"quantile": 0.01, "margin": margin} for name, margin in margins.items()}
        return {"off": {"quantile": 0.0, "margin": 0.5}, **found}


class DiversityConfig(ComponentConfig):
    """Settings of kind ``diversity``.

    Attributes:
        keep: share of what the filters kept of each class; 1 = off. So many more images are
            sampled.
        method: the images that best stand for all (facility location), or those farthest apart
            (k-centre).
    """

    keep: float = Field(default=0.7, ge=0.1, le=1)
    method: Literal["facility_location", "k_centre"] = "facility_location"

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Shares kept."""
        return _steps("keep", 1.0, 0.85, 0.7, 0.5)

    def kept_share(self) -> float:
        """Share of what the filters kept."""
        return self.keep


def _steps(name: str, *values: float) -> dict[str, dict[str, float]]:
    """One setting at the four strengths."""
    return {strength: {name: value} for strength, value in zip(STRENGTHS, values, strict=True)}
