"""Rejects images on which there is next to nothing to see."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import LowContrastConfig
from synthlift.curation.measures import Measures, measured, measured_of
from synthlift.curation.ranges import class_quantiles
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, Verdict

REACHED_BY = 0.01
CONSTANT = 1.0
"""Grey levels of contrast below which an image is called constant."""
_MEASURES = ("contrast", "light", "dark")
_COLUMNS = [Measures._fields.index(name) for name in _MEASURES]


class LowContrast(Filter):
    """Contrast, lightest or darkest part far below what real images of the class reach.

    Measured against the class's own images, not against fixed levels: X-rays and night scenes are
    dark by right.
    """

    def __init__(self, config: LowContrastConfig) -> None:
        self.config = config
        self._least: Float64 | None = None
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Find what all but 1 % of the training images of each class reach."""
        values, labels = measured_of(inputs.train)
        self._classes = inputs.train.classes
        self._least = class_quantiles(
            values[:, _COLUMNS], labels=labels, classes=len(self._classes), quantile=REACHED_BY
        )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the smallest share of what is reached; 1 where all of it is."""
        assert self._least is not None, "calibrate() comes first"
        least = self._least[batch.labels]
        values = measured(batch.pixels)[:, _COLUMNS]
        shares = np.clip(np.divide(values, least, out=np.ones_like(values), where=least > 0), 0, 1)
        return [
            self._verdict(share, value[0], label)
            for share, value, label in zip(shares, values, batch.labels, strict=True)
        ]

    def _verdict(self, shares: Float64, contrast: float, label: int) -> Verdict:
        worst, score = int(shares.argmin()), float(shares.min())
        if score >= self.config.share:
            return Verdict(score, flagged=False)
        kind = "constant" if contrast < CONSTANT else ("low contrast", "dark", "bright")[worst]
        black, white = (shares[_MEASURES.index(name)] < 0.05 for name in ("light", "dark"))
        kind = "black" if black else "white" if white else kind
        reached = f"{shares[worst]:.0%} of what real images of '{self._classes[label]}' reach"
        return Verdict(score, flagged=True, reason=f"{kind}: {_MEASURES[worst]} {reached}")
