"""Rejects images whose pixels follow a training image's, brightness and mirroring aside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthlift.curation.config import PixelCopiesConfig
from synthlift.curation.measures import luma
from synthlift.curation.ranges import class_quantiles
from synthlift.errors import InputError
from synthlift.rows import in_blocks
from synthlift.types import Filter, FilterInputs, Float32, Float64, ImageBatch, UInt8, Verdict
from synthlift.vision.neighbours import nearest

SIDE = 16


class PixelCopies(Filter):
    """Correlation with a training image above what new real images reach.

    Distances in pixels find what diffusion models have memorised (Carlini 2023, §4). Images are
    averaged down to 16 × 16, made of mean 0 and length 1 – the distance is then √(2 − 2r), r the
    normalised cross-correlation (Lewis 1995) – and compared as they are and mirrored. Features
    (``near_copies``) forgive shifts and crops; pixels need no encoder and forgive lighting.
    """

    def __init__(self, config: PixelCopiesConfig) -> None:
        self.config = config
        self._train: Float32 | None = None
        self._ids: NDArray[np.str_] = np.zeros(0, np.str_)
        self._held_out: Float64 = np.zeros(0)
        self._cuts: Float64 = np.zeros(0)

    def calibrate(self, inputs: FilterInputs) -> None:
        """Measure how near the validation images come to the training images.

        Raises:
            InputError: there is no validation image to compare with.
        """
        held_out = inputs.validation
        if not len(held_out):
            raise InputError(
                "filter 'pixel_copies' got no validation images",
                rule="its threshold is what new real images reach, so some must be held out",
                remedy="raise data.split.validation, or remove 'pixel_copies' from 'curation'",
            )
        self._train = np.concatenate([_standard(block) for block in in_blocks(inputs.train.source)])
        self._ids = inputs.train.ids
        near = [self._approach(block)[0] for block in in_blocks(held_out.source)]
        self._held_out = np.sort(np.concatenate(near))
        self._cuts = class_quantiles(
            np.concatenate(near),
            labels=held_out.labels,
            classes=len(held_out.classes),
            quantile=self.config.quantile,
        )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the share of held-out images that come at least as near."""
        assert self._train is not None, "calibrate() comes first"
        near, rows = self._approach(batch.pixels)
        scores = np.searchsorted(self._held_out, near, side="right") / len(self._held_out)
        flagged = (near < self._cuts[batch.labels]) & (self.config.quantile > 0)
        return [
            Verdict(float(score), bool(copy), f"pixels of training image {name}" if copy else "")
            for score, copy, name in zip(scores, flagged, self._ids[rows], strict=True)
        ]

    def _approach(self, pixels: UInt8) -> tuple[Float64, NDArray[np.intp]]:
        """Distance to the nearest training image, mirrored or not, and its row."""
        assert self._train is not None
        found = [
            nearest(_standard(views), references=self._train)
            for views in (pixels, pixels[:, :, ::-1])
        ]
        distances = np.stack([one.distances[:, 0] for one in found])
        rows = np.stack([one.indices[:, 0] for one in found])
        better = distances.argmin(axis=0)
        every = np.arange(len(pixels))
        return distances[better, every], rows[better, every]


def _standard(pixels: UInt8) -> Float32:
    """Luma at 16 × 16 at most, mean 0 and length 1, float32 [n, D]; 0 where nothing is shown."""
    out = []
    for image in pixels:
        small = _shrunk(_shrunk(luma(image)).T).ravel()
        small -= small.mean()
        length = float(np.sqrt((small * small).sum()))
        out.append(small / length if length > 1e-6 else np.zeros_like(small))
    return np.array(out, dtype=np.float32)


def _shrunk(grey: Float64) -> Float64:
    """Means of at most 16 stretches of rows, as equal as they can be."""
    edges = np.linspace(0, len(grey), min(SIDE, len(grey)) + 1).astype(int)
    means: Float64 = np.add.reduceat(grey, edges[:-1], axis=0) / np.diff(edges)[:, None]
    return means
