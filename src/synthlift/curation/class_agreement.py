"""Rejects the images of each class that a classifier believes least."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import ClassAgreementConfig
from synthlift.curation.tails import lowest_kept
from synthlift.errors import InputError
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, Scorer, Verdict


class ClassAgreement(Filter):
    """Probability of the requested class below that class's own quantile.

    The threshold is taken class by class on the first chunk: a global cut would starve the
    classes that the classifier finds hard (METHOD §7). A class that the chunk does not contain is
    not judged. Nothing is saved: calibrating again on the same inputs gives the same thresholds.
    """

    def __init__(self, config: ClassAgreementConfig) -> None:
        self.config = config
        self._scorer: Scorer | None = None
        self._thresholds: Float64 = np.zeros(0)
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Take the thresholds from ``inputs.reference``.

        Raises:
            InputError: no classifier or no first chunk was given.
        """
        if inputs.scorer is None or inputs.reference is None:
            missing = "classifier" if inputs.scorer is None else "first chunk of images"
            raise InputError(
                f"filter 'class_agreement' got no {missing}",
                rule="it compares what a classifier believes of the images with their labels",
                remedy="give one, or remove 'class_agreement' from 'curation'",
            )
        self._scorer, self._classes = inputs.scorer, inputs.train.classes
        believed = _believed(inputs.scorer, inputs.reference)
        self._thresholds = lowest_kept(
            believed,
            inputs.reference.labels,
            classes=len(self._classes),
            keep=self.config.keep,
            unseen=0.0,
        )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the probability of the requested class."""
        assert self._scorer is not None, "calibrate() comes first"
        believed = _believed(self._scorer, batch)
        flagged = (believed < self._thresholds[batch.labels]) & (self.config.keep < 1)
        return [
            Verdict(float(p), bool(reject), self._reason(p, label) if reject else "")
            for p, reject, label in zip(believed, flagged, batch.labels, strict=True)
        ]

    def _reason(self, probability: float, label: int) -> str:
        """The threshold is a rank, so that a probable image can be rejected as well."""
        said = f"{probability:.3f}" if probability < 0.9995 else "over 0.999"
        return f"among the least typical of '{self._classes[label]}' (probability {said})"


def _believed(scorer: Scorer, batch: ImageBatch) -> Float64:
    probabilities = np.asarray(scorer(batch.pixels), dtype=np.float64)
    own: Float64 = probabilities[np.arange(len(batch)), batch.labels]
    return np.clip(own, 0.0, 1.0)
