"""Rejects images whose features lie outside those of their class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.curation.config import OutliersConfig
from synthlift.curation.ranges import class_quantiles
from synthlift.errors import InputError
from synthlift.rows import FeatureRows
from synthlift.types import (
    Encoder,
    Filter,
    FilterInputs,
    Float32,
    Float64,
    ImageBatch,
    Int64,
    Verdict,
)
from synthlift.vision.features import encode, kept_features, some_rows
from synthlift.vision.neighbours import nearest

DIRECTIONS = 64
"""Principal directions in which covariance is estimated, at most."""
MOST = 2000
"""Training images behind the directions and covariance, and neighbours of each class, at most."""
LEAST = 20
"""Images behind the mean of a class, unless it has fewer."""
_WORDS = {"mahalanobis": "far from the mean of", "knn": "far from every training image of"}

Distance = Callable[[Float32, Int64], Float64]


class Outliers(Filter):
    """Distance to the class beyond what held-out real images of that class show.

    Two distances: Mahalanobis to the class mean under one covariance of all classes (Lee 2018,
    eq. 1 and 2), taken in the principal directions of the features and shrunk as Ledoit and Wolf
    2004 say; and to the k-th nearest training image of the class (Sun 2022, §3). The first finds
    what is strange as a whole, the second what lies between the images of a class of many kinds.
    """

    def __init__(self, config: OutliersConfig) -> None:
        self.config = config
        self._encoder: Encoder | None = None
        self._distances: dict[str, Distance] = {}
        self._cuts: dict[str, Float64] = {}
        self._held_out: dict[str, Float64] = {}
        self._known: set[int] = set()
        self._classes: tuple[str, ...] = ()

    def calibrate(self, inputs: FilterInputs) -> None:
        """Measure how far the validation images lie from the training images of their class.

        Raises:
            InputError: there is no validation image of a class that is trained on.
        """
        train, encoder = inputs.train, inputs.encoder
        self._encoder, self._classes = encoder, train.classes
        self._known = set(np.unique(train.labels[train.labels >= 0]).tolist())
        rows = np.flatnonzero(np.isin(inputs.validation.labels, list(self._known)))
        if not len(rows):
            raise InputError(
                "filter 'outliers' got no validation images",
                rule="its threshold is what new real images reach, so some must be held out",
                remedy="raise data.split.validation, or remove 'outliers' from 'curation'",
            )
        features = inputs.features
        if features is None:
            features = kept_features(encoder, train.source, folder=None)
        held_out = inputs.validation.subset(rows)
        queries = encode(encoder, held_out.source)
        wanted = ["mahalanobis", "knn"] if self.config.method == "both" else [self.config.method]
        makers = {"mahalanobis": _mahalanobis, "knn": self._neighbours}
        self._distances = {name: makers[name](features, train.labels) for name in wanted}
        for name, distance in self._distances.items():
            reached = distance(queries, held_out.labels)
            self._held_out[name] = np.sort(reached)
            self._cuts[name] = class_quantiles(
                reached,
                labels=held_out.labels,
                classes=len(self._classes),
                quantile=1 - self.config.quantile,
            )

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """The score is the share of held-out images at least as far, by the worse distance."""
        assert self._encoder is not None, "calibrate() comes first"
        scores = np.ones(len(batch))
        reasons = np.full(len(batch), "", dtype=object)
        rows = np.flatnonzero(np.isin(batch.labels, list(self._known)))
        if len(rows):
            queries, labels = encode(self._encoder, batch.pixels, rows=rows), batch.labels[rows]
            for name, distance in self._distances.items():
                far, held_out = distance(queries, labels), self._held_out[name]
                share = 1 - np.searchsorted(held_out, far, side="left") / len(held_out)
                scores[rows] = np.minimum(scores[rows], share)
                beyond = (far > self._cuts[name][labels]) & (self.config.quantile > 0)
                for row in rows[beyond & (reasons[rows] == "")]:
                    reasons[row] = f"{_WORDS[name]} '{self._classes[batch.labels[row]]}'"
        return [
            Verdict(float(score), bool(reason), str(reason))
            for score, reason in zip(scores, reasons, strict=True)
        ]

    def _neighbours(self, features: FeatureRows, labels: Int64) -> Distance:
        members = {
            label: features[rows[some_rows(len(rows), MOST, "outliers", label)]]
            for label in sorted(self._known)
            for rows in [np.flatnonzero(labels == label)]
        }

        def distance(queries: Float32, own: Int64) -> Float64:
            found = np.empty(len(queries))
            for label in np.unique(own).tolist():
                mine, references = own == label, members[label]
                k = min(self.config.neighbours, len(references))
                near = nearest(queries[mine], references=references, k=k)
                found[mine] = near.distances[:, -1]
            return found

        return distance


@dataclass(frozen=True)
class _Space:
    """Where covariance is the identity: features [D] → (features − centre) · basis [D, M]."""

    centre: Float64
    basis: Float64

    def __call__(self, features: Float32) -> Float64:
        # Row by row: matrix products round differently at other batch shapes.
        return np.stack([(row - self.centre) @ self.basis for row in features])


def _with_rare_classes(rows: NDArray[np.intp], labels: Int64) -> NDArray[np.intp]:
    """The rows, and more of each class of which fewer than :data:`LEAST` are among them."""
    found = [rows]
    for label in np.unique(labels[labels >= 0]).tolist():
        if np.count_nonzero(labels[rows] == label) < LEAST:
            members = np.flatnonzero(labels == label)
            found.append(members[some_rows(len(members), LEAST, "outliers", "mean", label)])
    return np.unique(np.concatenate(found))


def _mahalanobis(features: FeatureRows, labels: Int64) -> Distance:
    from sklearn.covariance import ledoit_wolf

    rows = np.flatnonzero(labels >= 0)
    rows = rows[some_rows(len(rows), MOST, "outliers", "directions")]
    some = features[rows].astype(np.float64)
    centre = some.mean(axis=0)
    _, sizes, directions = np.linalg.svd(some - centre, full_matrices=False)
    useful = max(1, min(DIRECTIONS, len(rows) // 2, int((sizes > 1e-6 * sizes[:1]).sum())))
    kept = np.ascontiguousarray(directions[:useful].T)
    rows = _with_rare_classes(rows, labels)
    own = labels[rows]
    shown = (features[rows].astype(np.float64) - centre) @ kept
    means = {label: shown[own == label].mean(axis=0) for label in np.unique(own).tolist()}
    spread = np.stack([row - means[label] for row, label in zip(shown, own.tolist(), strict=True)])
    covariance, _ = ledoit_wolf(spread, assume_centered=True)
    # A floor keeps the factor finite where all images of a class are one.
    floor = 1e-9 * max(float(np.trace(covariance)) / useful, 1e-12)
    factor = np.linalg.cholesky(covariance + floor * np.eye(useful))
    whitening = np.linalg.inv(factor).T
    space = _Space(centre, kept @ whitening)
    centres = {label: mean @ whitening for label, mean in means.items()}
    # A mean of n images is itself off by 1/n of their variance, which new images must not pay for.
    inflation = {label: 1 + 1 / np.count_nonzero(own == label) for label in means}

    def distance(queries: Float32, wanted: Int64) -> Float64:
        gaps = space(queries) - np.stack([centres[label] for label in wanted.tolist()])
        by_mean = np.array([inflation[label] for label in wanted.tolist()])
        far: Float64 = np.sqrt((gaps * gaps).sum(axis=1) / by_mean)
        return far

    return distance
