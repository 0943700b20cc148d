"""The head alone, on points between the features of real images: SMOTE and mixup.

The rest of the network is frozen by then. No pixels are made, so there is nothing to sample or
curate; every class is filled to the largest.

Shape letters: n images, m points, d features, k classes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthlift.errors import InputError
from synthlift.rows import FeatureRows, PixelRows
from synthlift.seeds import generator_for
from synthlift.training.batches import Batch
from synthlift.training.regimes import Interpolation, filled_labels
from synthlift.types import Float32, Int64
from synthlift.vision.classifiers.base import ImageNetwork
from synthlift.vision.encoders import CallableEncoder
from synthlift.vision.features import kept_features
from synthlift.vision.neighbours import nearest
from synthlift.vision.prediction import compute

NEIGHBOURS = 5
"""k of SMOTE (Chawla et al. 2002, §4.2)."""
MIXUP_ALPHA = 0.2
"""α of mixup (Zhang et al. 2018, §2), here of features (Verma et al. 2019, manifold mixup)."""


@dataclass(frozen=True)
class Points:
    """Points on segments between features: f[first] + share · (f[second] − f[first]).

    Attributes:
        first, second: rows of images, int64 [m].
        share: float32 [m] in [0, 1]; how much of the second's target a point has, too.
    """

    first: Int64
    second: Int64
    share: Float32

    def features(self, of: FeatureRows, rows: Int64) -> Float32:
        """The points ``rows`` [b], float32 [b, d], from features ``of`` images [n, d]."""
        start, end = of[self.first[rows]], of[self.second[rows]]
        found: Float32 = start + self.share[rows, None] * (end - start)
        return found


def smote_points(features: FeatureRows, labels: Int64, *, classes: int, seed: int) -> Points:
    """Every image, then new points until each class has as many as the largest.

    A new point lies between an image and one of its :data:`NEIGHBOURS` nearest of the same class
    (fewer where there are no more), at a place drawn evenly from their segment (Chawla et al.
    2002, §4.2); images start a segment equally often. A class of one image repeats it.

    Args:
        features: of the images [n, d].
        labels: class indices [n].
        classes: number of classes.
        seed: of the draws.
    """
    every = np.arange(len(labels), dtype=np.int64)
    firsts, seconds, shares = [every], [every], [np.zeros(len(labels), np.float32)]
    filled = np.bincount(filled_labels(labels, classes), minlength=classes)
    for label, wanted in enumerate(filled - np.bincount(labels, minlength=classes)):
        if not wanted:
            continue
        rows, rng = np.flatnonzero(labels == label), generator_for(seed, "smote", label)
        start = _in_turn(len(rows), int(wanted), rng)
        k = min(NEIGHBOURS, len(rows) - 1)
        share = rng.random(int(wanted), dtype=np.float32)
        end = start
        if k:
            own = features[rows]
            near = nearest(own, references=own, k=k, same=True).indices
            end = near[start, rng.integers(k, size=int(wanted))]
        firsts.append(rows[start])
        seconds.append(rows[end])
        shares.append(share)
    return Points(np.concatenate(firsts), np.concatenate(seconds), np.concatenate(shares))


def mixup_points(labels: Int64, *, classes: int, seed: int) -> Points:
    """As many points of each class as the largest has, each moved toward one of any class.

    How far is drawn from Beta(α, α) with α = :data:`MIXUP_ALPHA`; targets move with features.

    Args:
        labels: class indices [n].
        classes: number of classes.
        seed: of the draws.
    """
    rng, have = generator_for(seed, "mixup"), np.bincount(labels, minlength=classes)
    filled = np.bincount(filled_labels(labels, classes), minlength=classes)
    further = [
        np.flatnonzero(labels == label)[_in_turn(int(have[label]), int(wanted), rng)]
        for label, wanted in enumerate(filled - have)
        if wanted
    ]
    first = np.concatenate([np.arange(len(labels)), *further]).astype(np.int64)
    share = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(first)).astype(np.float32)
    return Points(first, rng.permutation(first), share)


def _in_turn(count: int, wanted: int, rng: np.random.Generator) -> Int64:
    """Positions below ``count``, each as often as any other (± 1), in random order."""
    rounds = -(-wanted // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[:wanted]


class HeadImages:
    """What the head is trained on: features of real images, frozen, and points between them.

    Args:
        network: the network whose features are taken, as they are now.
        pixels: the real training images.
        labels: their class indices [n].
        classes: number of classes.
        interpolation: smote or mixup.
        seed: of the points.
        device: where the network is.
        folder: for a temporary file, where features would take much memory.
    """

    def __init__(
        self,
        network: ImageNetwork,
        pixels: PixelRows,
        labels: Int64,
        *,
        classes: int,
        interpolation: Interpolation,
        seed: int,
        device: str,
        folder: Path,
    ) -> None:
        network.eval()
        encoder = CallableEncoder(
            "trunk", partial(compute, network, what="features", device=device)
        )
        self._features = kept_features(encoder, pixels, folder=folder)
        network.train()
        if interpolation == "smote":
            self._points = smote_points(self._features, labels, classes=classes, seed=seed)
        else:
            self._points = mixup_points(labels, classes=classes, seed=seed)
        one_hot = functional.one_hot(torch.from_numpy(labels), classes)
        self._targets, self._device = one_hot.float(), device

    def feed(self, batches: Iterator[Batch]) -> Generator[tuple[Batch, Tensor], None, None]:
        """Each batch with the features of its points, float32 [b, d]."""
        for batch in batches:
            points = self._points.features(self._features, batch.real)
            yield batch, torch.from_numpy(points).to(self._device)

    def targets(self, batch: Batch) -> Tensor:
        """Targets of a batch's points, float32 [b, k]."""
        rows, points = batch.real, self._points
        share = torch.from_numpy(points.share[rows])[:, None]
        start = self._targets[torch.from_numpy(points.first[rows])]
        end = self._targets[torch.from_numpy(points.second[rows])]
        return torch.lerp(start, end, share).to(self._device)


def require_head(network: ImageNetwork, *, kind: str) -> None:
    """Refuse a network without a head to train.

    Raises:
        InputError: its head has no weights.
    """
    if any(parameter.numel() for parameter in network.head.parameters()):
        return
    raise InputError(
        f"augmentation in feature space with classifier '{kind}'",
        rule="it trains the head of a classifier on the features below it, and the head of this "
        "one has no weights",
        remedy="use a classifier with a linear head, such as small_cnn, resnet or timm, or remove "
        "the arms feature_smote and feature_mixup",
    )
