"""Rejects images whose pixels equal a training image's."""

from __future__ import annotations

import hashlib

import numpy as np

from synthlift.curation.config import ExactDuplicatesConfig
from synthlift.rows import in_blocks
from synthlift.types import Filter, FilterInputs, ImageBatch, UInt8, Verdict

FINE = Verdict(score=1.0, flagged=False)


class ExactDuplicates(Filter):
    """Compares content hashes with those of the training images."""

    def __init__(self, config: ExactDuplicatesConfig) -> None:
        self.config = config
        self._known: dict[bytes, str] | None = None

    def calibrate(self, inputs: FilterInputs) -> None:
        """Hash the training images; of equal ones the first is named."""
        known: dict[bytes, str] = {}
        images = (image for block in in_blocks(inputs.train.source) for image in block)
        for image, name in zip(images, inputs.train.ids, strict=True):
            known.setdefault(_digest(image), str(name))
        self._known = known

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """Score 0 for a duplicate, else 1."""
        assert self._known is not None, "calibrate() comes first"
        return [self._verdict(self._known.get(_digest(image))) for image in batch.pixels]

    @staticmethod
    def _verdict(original: str | None) -> Verdict:
        if original is None:
            return FINE
        return Verdict(0.0, flagged=True, reason=f"same pixels as training image {original}")


def _digest(image: UInt8) -> bytes:
    shape = "x".join(map(str, image.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).digest()
