"""How unusual a picture is for the training data, against real pictures that were held out.

A picture's distance is the mean distance to its nearest training images, in the features that
copying is measured by too (METHOD §5). By itself a distance says nothing; its rank among the
distances of held-out real images does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import FeatureRows, PixelRows
from synthlift.types import Encoder, Float64, UInt8
from synthlift.vision.encoders import RandomConvolutions, joined_features
from synthlift.vision.features import encode
from synthlift.vision.neighbours import nearest

NEIGHBOURS = 5
TOGETHER = 2
"""Pictures encoded together: who asks about one should not wait for the time of 32."""


@dataclass(frozen=True)
class Standing:
    """Where a picture stands.

    Attributes:
        nearest: row of the nearest training image.
        distance: mean distance to the nearest training images.
        farther_than: share of held-out images that lie nearer to the training data.
        near_copy: nearer to its nearest training image than 99 of 100 held-out images are.
    """

    nearest: int
    distance: float
    farther_than: float
    near_copy: bool


@dataclass(frozen=True)
class Typical:
    """Training images as features, and how far held-out ones lie from them.

    Attributes:
        encoder: of pictures.
        references: features of the training images.
        far: mean distances of held-out images to their nearest references, sorted.
        near: distances of held-out images to their nearest reference, sorted.
    """

    encoder: Encoder
    references: FeatureRows
    far: Float64
    near: Float64

    @classmethod
    def of(cls, train: PixelRows, *, held_out: PixelRows, trained: Encoder) -> Typical:
        """Measure once.

        Args:
            train: training images, at least 2.
            held_out: real images that were not trained on, at least 1.
            trained: features of a classifier, beside which random convolutions are used.
        """
        untrained = RandomConvolutions(chunk=TOGETHER)
        encoder, references = joined_features([untrained, trained], pixels=train)
        distances = _distances(encode(encoder, held_out), references)[0]
        return cls(encoder, references, np.sort(distances.mean(axis=1)), np.sort(distances[:, 0]))

    def look(self, pixels: UInt8) -> list[Standing]:
        """Where pictures stand, uint8 [n, H, W, C]."""
        distances, rows = _distances(encode(self.encoder, pixels), self.references)
        means = distances.mean(axis=1)
        farther = np.searchsorted(self.far, means, side="left") / len(self.far)
        limit = float(np.quantile(self.near, 0.01))
        return [
            Standing(int(row), float(mean), float(share), bool(nearest_one < limit))
            for row, mean, share, nearest_one in zip(
                rows[:, 0], means, farther, distances[:, 0], strict=True
            )
        ]


def _distances(
    queries: NDArray[np.float32], references: FeatureRows
) -> tuple[Float64, NDArray[np.intp]]:
    found = nearest(queries, references=references, k=min(NEIGHBOURS, references.shape[0]))
    return found.distances, found.indices
