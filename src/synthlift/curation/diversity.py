"""Keeps, class by class, the images that stand for all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthlift.curation.config import DiversityConfig
from synthlift.types import Encoder, FilterInputs, Float64, ImageBatch, Selector
from synthlift.vision.features import encode

MOST = 2000
"""More images are put in order in parts of so many, since all distances are in memory."""


class Diversity(Selector):
    """Greedy selection for coverage.

    Facility location adds the image that brings all others nearest to a selected one (Cornuéjols
    1977; greedy reaches 1 − 1/e of the best, Nemhauser 1978, thm. 4.2): modes in the order of their
    size, repetitions of a mode last. K-centre adds the image farthest from all selected ones
    (Gonzalez 1985; Sener and Savarese 2018, alg. 1), which wants outliers filtered before.
    """

    def __init__(self, config: DiversityConfig) -> None:
        self.config = config
        self._encoder: Encoder | None = None

    @property
    def share(self) -> float:
        """Share of the images that is kept."""
        return self.config.keep

    def calibrate(self, inputs: FilterInputs) -> None:
        """Take the encoder; nothing is measured on real images."""
        self._encoder = inputs.encoder

    def order(self, batch: ImageBatch) -> NDArray[np.intp]:
        """The permutation [n] in which images are selected; ties go to the earlier image."""
        assert self._encoder is not None, "calibrate() comes first"
        if not len(batch):
            return np.zeros(0, np.intp)
        features = encode(self._encoder, batch.pixels).astype(np.float64)
        parts = [
            start + self._greedy(_distances(features[start : start + MOST]))
            for start in range(0, len(batch), MOST)
        ]
        return _interleaved(parts)

    def _greedy(self, distances: Float64) -> NDArray[np.intp]:
        pick = _facility_location if self.config.method == "facility_location" else _k_centre
        return pick(distances)


def _distances(features: Float64) -> Float64:
    """All distances [n, n], symmetric and 0 on the diagonal."""
    centred = features - features.mean(axis=0)
    squares = (centred * centred).sum(axis=1)
    gaps = squares[:, None] + squares - 2 * centred @ centred.T
    found: Float64 = np.sqrt(np.maximum((gaps + gaps.T) / 2, 0))
    np.fill_diagonal(found, 0)
    return np.round(found, 9)


def _facility_location(distances: Float64) -> NDArray[np.intp]:
    count = len(distances)
    nearest = np.full(count, distances.max() * 2 + 1)
    left = np.ones(count, dtype=bool)
    order = np.empty(count, np.intp)
    for place in range(count):
        gains = np.maximum(nearest[None] - distances, 0).sum(axis=1)
        gains[~left] = -1
        best = int(gains.argmax())
        order[place], left[best] = best, False
        nearest = np.minimum(nearest, distances[best])
    return order


def _k_centre(distances: Float64) -> NDArray[np.intp]:
    count = len(distances)
    order = np.empty(count, np.intp)
    order[0] = int(distances.sum(axis=1).argmin())
    nearest = distances[order[0]].copy()
    nearest[order[0]] = -1
    for place in range(1, count):
        best = int(nearest.argmax())
        order[place] = best
        nearest = np.minimum(nearest, distances[best])
        nearest[order[: place + 1]] = -1
    return order


def _interleaved(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The parts' first images, then their second ones, in proportion to their lengths."""
    places = np.concatenate([(np.arange(len(part)) + 0.5) / len(part) for part in parts])
    return np.concatenate(parts)[np.argsort(places, kind="stable")]
