"""Rejects images that are closer to a training image than new real images are (METHOD §5)."""

from __future__ import annotations

import numpy as np

from synthlift.curation.config import NearCopiesConfig
from synthlift.errors import InputError
from synthlift.types import Filter, FilterInputs, Float64, ImageBatch, Verdict
from synthlift.vision.copying import (
    Approach,
    CopyingReference,
    approach,
    copy_cuts,
    copying_reference,
)


class NearCopies(Filter):
    """Distance to train below the held-out images' quantile, or clearly of one training image.

    All training images are searched, however many; of the held-out images, those that
    :func:`~synthlift.vision.copying.copying_reference` draws. Nothing is saved: calibrating again
    on the same inputs gives the same thresholds.
    """

    def __init__(self, config: NearCopiesConfig) -> None:
        self.config = config
        self._reference: CopyingReference | None = None
        self._cuts = (0.0, 0.0)

    def calibrate(self, inputs: FilterInputs) -> None:
        """Measure how near the validation images come to the training images.

        Raises:
            InputError: there is no validation image to compare with.
        """
        if not len(inputs.validation):
            raise InputError(
                "filter 'near_copies' got no validation images",
                rule="its threshold is what new real images reach, so some must be held out",
                remedy="raise data.split.validation, or remove 'near_copies' from 'curation'",
            )
        reference = copying_reference(
            inputs.train,
            held_out=inputs.validation,
            encoder=inputs.encoder,
            features=inputs.features,
            controls=False,
        )
        self._reference = reference
        self._cuts = copy_cuts(
            reference.held_out, quantile=self.config.quantile, ceiling=self.config.relative
        )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the share of held-out images that come at least as near, by either test."""
        reference = self._reference
        assert reference is not None, "calibrate() comes first"
        near, (distance_cut, relative_cut) = approach(reference, pixels=batch.pixels), self._cuts
        flagged = (near.first < distance_cut) | (near.relative < relative_cut)
        scores = _scores(near, reference.held_out)
        return [
            Verdict(float(score), bool(copy), _reason(copy, name))
            for score, copy, name in zip(scores, flagged, reference.ids[near.rows], strict=True)
        ]


def _reason(copy: bool, name: str) -> str:
    return f"copy of training image {name}" if copy else ""


def _scores(near: Approach, held_out: Approach) -> Float64:
    ranks = [
        np.searchsorted(np.sort(theirs), mine, side="right") / len(theirs)
        for mine, theirs in (
            (near.first, held_out.first),
            (near.relative, held_out.relative),
        )
    ]
    lowest: Float64 = np.minimum(*ranks)
    return lowest
