"""Rejects images that a classifier believes less, or more, than new real images of the class."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import ConfidenceBandConfig
from synthlift.curation.ranges import class_quantiles
from synthlift.errors import InputError
from synthlift.rows import in_blocks
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, Scorer, Verdict


class ConfidenceBand(Filter):
    """Probability of the requested class outside the band of held-out real images of that class.

    The lower bound rejects what does not show its class (He 2023, §3.3, there with CLIP); the
    upper one what is so typical that nothing is learnt from it: images near the boundary teach
    most, easy ones least (Swayamdipta 2020, §3). Other than with class agreement, the share that
    is rejected depends on how good the images are.
    """

    def __init__(self, config: ConfidenceBandConfig) -> None:
        self.config = config
        self._scorer: Scorer | None = None
        self._band: tuple[Float64, Float64] | None = None
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Find what the classifier believes of the validation images.

        Raises:
            InputError: no classifier or no validation image was given.
        """
        held_out = inputs.validation
        if inputs.scorer is None or not len(held_out):
            missing = "classifier" if inputs.scorer is None else "validation images"
            raise InputError(
                f"filter 'confidence_band' got no {missing}",
                rule="its band is what a classifier believes of new real images",
                remedy="hold some out with data.split.validation, or remove 'confidence_band'",
            )
        self._scorer, self._classes = inputs.scorer, held_out.classes
        scorer = inputs.scorer
        believed = np.concatenate(
            [np.asarray(scorer(block), np.float64) for block in in_blocks(held_out.source)]
        )[np.arange(len(held_out)), held_out.labels]
        low, high = (
            class_quantiles(
                believed, labels=held_out.labels, classes=len(self._classes), quantile=quantile
            )
            for quantile in (self.config.low, self.config.high)
        )
        self._band = low, high

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the probability of the requested class."""
        assert self._scorer is not None, "calibrate() comes first"
        assert self._band is not None
        probabilities = np.asarray(self._scorer(batch.pixels), dtype=np.float64)
        believed = np.clip(probabilities[np.arange(len(batch)), batch.labels], 0, 1)
        low, high = (bound[batch.labels] for bound in self._band)
        below = (believed < low) & (self.config.low > 0)
        above = (believed > high) & (self.config.high < 1)
        return [
            Verdict(float(p), bool(less or more), self._reason(p, label, less, more))
            for p, label, less, more in zip(believed, batch.labels, below, above, strict=True)
        ]

    def _reason(self, probability: float, label: int, less: bool, more: bool) -> str:
        if not (less or more):
            return ""
        share = self.config.low if less else 1 - self.config.high
        said = f"{probability:.3f}" if probability < 0.9995 else "over 0.999"
        return (
            f"{'less' if less else 'more'} surely '{self._classes[label]}' than all but "
            f"{share:.0%} of new real images (probability {said})"
        )
