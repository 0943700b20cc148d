"""How real generated images look to an encoder, each figure beside its floor (METHOD §5).

Generated images are compared with *held-out* real images, which were not trained on: against the
training images a generator that copies them would look best. Absolute values mean little, so each
figure stands beside its floor: the same figure of equally many training images, class by class.
What is random – which images are compared – comes from the seed. NumPy and scikit-learn alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synthlift.seeds import generator_for
from synthlift.types import Float32, Float64, Int64
from synthlift.vision.neighbours import nearest

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

MOST = 2000
"""Images of a side that are compared at most; products of all pairs are in memory."""
FEWEST = 10
"""Fewer images of a side say nothing."""
PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5
CMMD_BANDWIDTH, CMMD_SCALE = 10.0, 1000.0
_STRENGTH = 0.01
_FOLDS = 5


@dataclass(frozen=True)
class Likeness:
    """Figures of one set of images against held-out ones.

    Attributes:
        kid: squared kernel distance, unbiased, so that it may be below 0 (Bińkowski 2018).
        precision: share of the images inside the held-out images' 3-neighbourhoods, and
        recall: the reverse (Kynkäänniemi 2019).
        density: how many 5-neighbourhoods an image is in, over 5; may exceed 1, and
        coverage: share of held-out images with an image in their 5-neighbourhood (Naeem 2020).
        cas: balanced accuracy on held-out images of a linear classifier of the features that learnt
            from these images alone (after Ravuri & Vinyals 2019); NaN with one class.
        told_apart: balanced accuracy, out of fold, of a linear classifier that tells these images
            from held-out ones (Lopez-Paz & Oquab 2017): 0.5 = no gap between the domains, 1 = each
            can be told.
    """

    kid: float
    precision: float
    recall: float
    density: float
    coverage: float
    cas: float
    told_apart: float


@dataclass(frozen=True)
class Quality:
    """Generated images, and as their floor equally many training images.

    Attributes:
        generated, floor: the figures of both.
        images: of each side of the comparison.
        held_out: real images that both were compared with.
    """

    generated: Likeness
    floor: Likeness
    images: int
    held_out: int


def measure_quality(
    generated: Float32,
    generated_labels: Int64,
    *,
    train: Float32,
    train_labels: Int64,
    held_out: Float32,
    held_out_labels: Int64,
    seed: int = 0,
) -> Quality | None:
    """Compare generated images with held-out ones, and with what training images reach.

    Of each class as many generated as training images are drawn, at most in the proportion in which
    held-out images lie there, so that classes weigh alike on all sides.

    Args:
        generated, train, held_out: features [n, D], of one encoder.
        generated_labels, train_labels, held_out_labels: classes [n].
        seed: of the images that are drawn.

    Returns:
        None where fewer than ten images of a side can be compared.
    """
    mine, theirs, real = matched_rows(
        generated_labels, train=train_labels, held_out=held_out_labels, seed=seed
    )
    if min(len(mine), len(real)) < FEWEST:
        return None
    # One scale for all directions, so that no distance depends on the encoder's units.
    scale = np.float32(np.sqrt(np.square(held_out[real]).sum(axis=1).mean() / held_out.shape[1]))
    wanted = held_out[real] / max(scale, np.float32(1e-12))

    def like(rows: NDArray[np.intp], features: Float32, labels: Int64) -> Likeness:
        return likeness(
            features[rows] / max(scale, np.float32(1e-12)),
            labels[rows],
            held_out=wanted,
            held_out_labels=held_out_labels[real],
        )

    return Quality(
        generated=like(mine, generated, generated_labels),
        floor=like(theirs, train, train_labels),
        images=len(mine),
        held_out=len(real),
    )


def matched_rows(
    generated: Int64, *, train: Int64, held_out: Int64, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the three sides that are compared: the first two equally many of each class.

    Classes are taken in the proportions of the held-out images; at most :data:`MOST` of a side.
    """
    classes = sorted(set(generated.tolist()) & set(train.tolist()) & set(held_out.tolist()))
    places = {
        side: {label: np.flatnonzero(labels == label) for label in classes}
        for side, labels in (("generated", generated), ("train", train), ("held_out", held_out))
    }
    real = {label: len(places["held_out"][label]) for label in classes}
    if not classes:
        none = np.zeros(0, np.intp)
        return none, none, none
    there = {k: min(len(places[s][k]) for s in ("generated", "train")) for k in classes}
    # How many times the held-out images of each class every class can give.
    times = min(there[label] / real[label] for label in classes)
    times = min(times, MOST / sum(real.values()))
    counts = {label: max(1, int(times * real[label])) for label in classes}
    fewer = min(1.0, MOST / sum(real.values()))
    kept = {label: max(1, int(fewer * real[label])) for label in classes}

    def drawn(side: str, wanted: dict[int, int]) -> NDArray[np.intp]:
        rows = [
            generator_for(seed, "quality", side, label).permutation(places[side][label])[
                : wanted[label]
            ]
            for label in classes
        ]
        return np.sort(np.concatenate(rows))

    return drawn("generated", counts), drawn("train", counts), drawn("held_out", kept)


def likeness(
    images: Float32, labels: Int64, *, held_out: Float32, held_out_labels: Int64
) -> Likeness:
    """All figures of some images [n, D] against held-out ones [m, D]."""
    precision, recall = precision_recall(images, real=held_out)
    density, coverage = density_coverage(images, real=held_out)
    return Likeness(
        kid=kernel_distance(images, held_out),
        precision=precision,
        recall=recall,
        density=density,
        coverage=coverage,
        cas=trained_on(images, labels, held_out=held_out, held_out_labels=held_out_labels),
        told_apart=told_apart(images, held_out),
    )


def kernel_distance(first: Float32, second: Float32) -> float:
    """KID: unbiased squared maximum mean discrepancy, kernel (x·y/D + 1)³ (Bińkowski 2018, eq. 4).

    Args:
        first, second: features [n, D] and [m, D], n and m at least 2.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    size = x.shape[1]
    own = [(z @ z.T / size + 1) ** 3 for z in (x, y)]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    between = ((x @ y.T / size + 1) ** 3).mean()
    return float(within[0] + within[1] - 2 * between)


def cmmd(first: Float32, second: Float32) -> float:
    """CMMD: 1000 times the squared mean discrepancy of CLIP embeddings (Jayasumana 2024, §4).

    The kernel is exp(−‖x − y‖² / 2σ²) with σ = 10, on embeddings of length 1; the estimate is the
    authors', which counts an image against itself, and so is above 0 for equal distributions, the
    more the fewer the images: hence the floor.

    Args:
        first, second: embeddings [n, D] and [m, D] of length 1.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)

    def mean(a: Float64, b: Float64) -> float:
        squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * (a @ b.T)
        return float(np.exp(-squares / (2 * CMMD_BANDWIDTH**2)).mean())

    return CMMD_SCALE * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def precision_recall(
    images: Float32, *, real: Float32, k: int = PRECISION_NEIGHBOURS
) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi 2019, eq. 1): share inside the other's balls.

    A ball reaches from an image to its k-th nearest other image of the same side.
    """
    return _inside(images, balls=real, k=k), _inside(real, balls=images, k=k)


def density_coverage(
    images: Float32, *, real: Float32, k: int = DENSITY_NEIGHBOURS
) -> tuple[float, float]:
    """Density and coverage (Naeem 2020, eq. 3 and 4)."""
    radii = _radii(real, k)
    within = _distances(images, real) <= radii[None]
    return float(within.sum() / (k * len(images))), float(within.any(axis=0).mean())


def trained_on(
    images: Float32, labels: Int64, *, held_out: Float32, held_out_labels: Int64
) -> float:
    """Balanced accuracy on held-out features of a linear classifier of ``images`` alone."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    right = _linear(images, labels, asked=held_out) == held_out_labels
    return balanced(right, held_out_labels)


def told_apart(first: Float32, second: Float32) -> float:
    """Balanced accuracy of telling two sets of features apart, over five folds."""
    from sklearn.model_selection import StratifiedKFold

    features = np.concatenate([first, second])
    side = np.repeat([0, 1], [len(first), len(second)])
    right = np.zeros(len(side), dtype=bool)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, side)
    for train, held in folds:
        right[held] = _linear(features[train], side[train], asked=features[held]) == side[held]
    return balanced(right, side)


def _linear(features: Float32, labels: Int64, *, asked: Float32) -> Int64:
    """What a logistic regression of standardised features says of the images asked for."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    # Sides of different sizes must not tempt it to name the larger one.
    model = LogisticRegression(C=_STRENGTH, max_iter=300, tol=1e-3, class_weight="balanced")
    with _thread_pools().limit(limits=1):
        model.fit(scaler.transform(features), labels)
        found: Int64 = model.predict(scaler.transform(asked))
    return found


@cache
def _thread_pools() -> ThreadpoolController:
    """Those of the libraries of linear algebra; looking for them takes as long as a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def balanced(right: Sequence[bool] | NDArray[np.bool_], labels: Int64) -> float:
    """Mean over the classes of the share that is right."""
    found = np.asarray(right, dtype=np.float64)
    return float(np.mean([found[labels == label].mean() for label in np.unique(labels)]))


def _inside(queries: Float32, *, balls: Float32, k: int) -> float:
    return float((_distances(queries, balls) <= _radii(balls, k)[None]).any(axis=1).mean())


def _radii(features: Float32, k: int) -> Float64:
    """Distance of each row to its k-th nearest other row [n]."""
    count = min(k, len(features) - 1)
    return nearest(features, references=features, k=count, same=True).distances[:, -1]


def _distances(first: Float32, second: Float32) -> Float64:
    x, y = first.astype(np.float64), second.astype(np.float64)
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None] - 2 * (x @ y.T)
    out: Float64 = np.sqrt(np.maximum(squares, 0))
    return out
