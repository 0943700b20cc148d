"""Membership attacks: does a generator explain its training images better than unseen ones?

Where it does, whoever holds the generator can tell of an image whether it was trained on (Carlini
2022). Scores are the generator's own losses, lower = more likely a training image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthlift.seeds import generator_for
from synthlift.types import Float32, Int64
from synthlift.vision.copying_statistics import joined, matched_cells

FALSE_ALARMS = 0.01
"""Share of unseen images that may be taken for training images when counting those caught."""


@dataclass(frozen=True)
class Attack:
    """How well training images are told from unseen ones.

    Attributes:
        auc: probability that a training image has the lower loss of the two, ties one half;
            1/2 = guessing.
        error: its standard error over images (DeLong 1988).
        caught: share of the training images below the loss that at most 1 % of the unseen ones
            are below; with fewer than 100 unseen ones none of them may be.
        images: on either side.
    """

    auc: float
    error: float
    caught: float
    images: int


def matched_images(
    training: Int64, unseen: Int64, *, most: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of training and of unseen images to attack: equally many of each class.

    Otherwise a class that is easily explained would pass for membership.

    Args:
        training, unseen: labels [n], [m].
        most: rows of either side, drawn by ``seed`` where there are more.
        seed: of the sub-samples.
    """
    cells = matched_cells(training, held_out=unseen, seed=seed)
    mine, theirs = (joined([pair[side] for pair in cells.values()]) for side in (0, 1))
    # Rows at the same place have the same class, so that one draw keeps both sides alike.
    mine = mine[np.argsort(training[mine], kind="stable")]
    theirs = theirs[np.argsort(unseen[theirs], kind="stable")]
    drawn = generator_for(seed, "attacked_images").permutation(len(mine))[:most]
    return np.sort(mine[drawn]), np.sort(theirs[drawn])


def attack(training: Float32, unseen: Float32) -> Attack:
    """Judge losses of training [n] and of unseen images [m], at least 2 each."""
    assert min(len(training), len(unseen)) >= 2, "an attack needs images on both sides"
    # Structural components of DeLong 1988, eq. 5: how often each image is rightly ordered.
    mine, theirs = 1 - _placed(training, unseen), _placed(unseen, training)
    error = np.sqrt(mine.var(ddof=1) / len(mine) + theirs.var(ddof=1) / len(theirs))
    alarms = int(FALSE_ALARMS * len(unseen))
    return Attack(
        auc=float(mine.mean()),
        error=float(error),
        caught=float((training < np.sort(unseen)[alarms]).mean()),
        images=min(len(training), len(unseen)),
    )


def _placed(values: Float32, among: Float32) -> NDArray[np.float64]:
    """Share of ``among`` below each of the values, ties one half, float64 [n]."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    placed: NDArray[np.float64] = (below + up_to) / (2 * len(among))
    return placed
