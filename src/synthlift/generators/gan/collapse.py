"""Whether a generator still draws different images of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from synthlift.generators.learning.loop import Seen
from synthlift.seeds import generator_for
from synthlift.types import Float64, ImageBatch, ImageSet, UInt8

MOST_COMPARED = 64
"""Images of a class that are compared with each other."""
FEWEST_COMPARED = 8
"""Fewer samples of a class say too little of it by itself; its share counts in the mean."""
NAMED = 3


def spread(pixels: UInt8) -> float:
    """Mean Euclidean distance between two different images, in units of the grey range.

    Args:
        pixels: uint8 [n, H, W, C]; with fewer than two the spread is 0.
    """
    if len(pixels) < 2:
        return 0.0
    # Whole numbers are summed exactly in any order, so that equal images are 0 apart everywhere.
    flat: Float64 = pixels.reshape(len(pixels), -1).astype(np.float64)
    squares = (flat**2).sum(1)
    apart = np.sqrt(squares[:, None] + squares[None] - 2 * flat @ flat.T) / 255.0
    return float(apart.sum() / (len(flat) * (len(flat) - 1)))


def diversity_judge(
    train: ImageSet, *, least: float, seed: int
) -> Callable[[ImageBatch], Seen] | None:
    """Judge samples by their spread within each class over that of its training images.

    A generator that knew its n training images by heart and drew them at random would reach
    (n − 1)/n of their spread, since it would repeat itself: that is what samples are measured by.
    Classes with a single training image, or equal ones, have nothing to compare with.

    Args:
        train: training images; up to 64 of each class are read.
        least: share below which a class, or the mean of all, has collapsed.
        seed: of which are read.

    Returns:
        None where no class can be judged.
    """
    real = {}
    for label in np.unique(train.labels[train.labels >= 0]).tolist():
        rows = np.flatnonzero(train.labels == label)
        rng = generator_for(seed, "diversity", label)
        read = np.sort(rng.permutation(rows)[:MOST_COMPARED])
        real[label] = spread(train.pixels(read)) * (len(rows) - 1) / len(rows)
    known = {label: value for label, value in real.items() if value > 0}
    if not known:
        return None

    def judge(samples: ImageBatch) -> Seen:
        drawn = {label: samples.pixels[samples.labels == label] for label in known}
        shares = {
            label: spread(images[:MOST_COMPARED]) / known[label]
            for label, images in drawn.items()
            if len(images) > 1
        }
        if not shares:
            return Seen(acceptable=True)
        mean = float(np.mean(list(shares.values())))
        collapsed = [
            label
            for label, share in shares.items()
            if mean < least or (share < least and len(drawn[label]) >= FEWEST_COMPARED)
        ]
        return Seen(
            acceptable=not collapsed,
            curves={
                "diversity": mean,
                "diversity_of_the_lowest_class": min(shares.values()),
            },
            problem=_words([train.classes[k] for k in collapsed], min(shares.values())),
        )

    return judge


def unjudged(train: ImageSet, *, least: float) -> list[str]:
    """What to say where a collapse was to be watched for, and no class could be judged."""
    if not least or diversity_judge(train, least=least, seed=0) is not None:
        return []
    said = (
        "Whether its images became alike was not judged: no class has two different training "
        "images to compare with."
    )
    return [said]


def _words(classes: Sequence[str], lowest: float) -> str:
    if not classes:
        return ""
    named = ", ".join(f"'{name}'" for name in classes[:NAMED])
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return (
        f"the generator had collapsed: its images of {named}{more} were nearly alike (down to "
        f"{lowest:.0%} of the distance between training images)"
    )
