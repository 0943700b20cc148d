"""Rejects images blurrier, grainier or flatter than the real images of their class."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import QualityConfig
from synthlift.curation.measures import Measures, measured, measured_of
from synthlift.curation.ranges import class_quantiles
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, Verdict

_MEASURES = ("contrast", "sharpness", "detail", "slope")
_COLUMNS = [Measures._fields.index(name) for name in _MEASURES]
_WORDS = {
    ("contrast", False): "less contrast than",
    ("contrast", True): "more contrast than",
    ("sharpness", False): "blurrier than",
    ("sharpness", True): "grainier or harder than",
    ("detail", False): "less fine detail than",
    ("detail", True): "more fine detail than",
    ("slope", False): "a steeper spectrum than",
    ("slope", True): "a flatter spectrum than",
}


class Quality(Filter):
    """Contrast, sharpness or spectrum beyond the range of the class's real images.

    No taste is asked: scores that were trained on what people like favour pictures that train
    worse classifiers (2602.19946). Sharpness is the deviation of the Laplacian (Pech-Pacheco
    2000), the spectrum that of Durall 2020, both against the training images' own.
    """

    def __init__(self, config: QualityConfig) -> None:
        self.config = config
        self._range: tuple[Float64, Float64] | None = None
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Find the range of each class's training images."""
        values, labels = measured_of(inputs.train)
        self._classes = inputs.train.classes
        low, high = (
            class_quantiles(
                values[:, _COLUMNS], labels=labels, classes=len(self._classes), quantile=quantile
            )
            for quantile in (self.config.quantile, 1 - self.config.quantile)
        )
        self._range = low, high

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score falls with the distance to the range, in its widths; 1 inside."""
        assert self._range is not None, "calibrate() comes first"
        low, high = (bound[batch.labels] for bound in self._range)
        values = measured(batch.pixels)[:, _COLUMNS]
        width = np.maximum(high - low, 1e-6)
        excess = np.maximum(np.maximum(low - values, values - high), 0) / width
        above = values > high
        return [
            self._verdict(far, up, label)
            for far, up, label in zip(excess, above, batch.labels, strict=True)
        ]

    def _verdict(self, excess: Float64, above: np.ndarray, label: int) -> Verdict:
        worst = int(excess.argmax())
        score = float(1 / (1 + excess[worst]))
        if self.config.quantile == 0 or excess[worst] <= self.config.margin:
            return Verdict(score, flagged=False)
        words = _WORDS[_MEASURES[worst], bool(above[worst])]
        return Verdict(score, True, f"{words} real images of '{self._classes[label]}'")
