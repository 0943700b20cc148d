"""Real images retrieved from an unlabelled pool: what lies nearest to the training images.

Labels that the pool may have are not there to be read: an image's class is that of the training
images that it resembles. Retrieval is the rival that generated images have to beat (Burg et al.
2023, arXiv 2304.10253; Geng et al. 2024, arXiv 2406.05184).

Shape letters: n images of the pool, N training images, d features, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.rows import FeatureRows
from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.packed import write_images
from synthlift.study.stages.common import load_plugins, part, reference, unlabelled
from synthlift.types import Float64, Int64, Strings

RETRIEVED = "retrieved.npz"
NEIGHBOURS = 5
AT_ONCE = 1024


@dataclass(frozen=True)
class Likeness:
    """Which class each image of a pool resembles.

    Attributes:
        labels: class index [n].
        distance: mean distance to the nearest training images of that class [n].
        agrees: whether the nearest training image of all is of that class, too [n].
    """

    labels: Int64
    distance: Float64
    agrees: NDArray[np.bool_]


def retrieve(request: StageRequest, context: StageContext) -> Summary:
    """Stage: the images of a pool that are nearest to each class's training images.

    Writes images uint8 [m, H, W, C], class by class and the nearest first, and
    ``retrieved.npz`` (ids, labels, distances) in the same order. The pool is what the split
    ``pool`` leaves unlabelled in the draw ``pool_draw`` and the sources under ``unlabelled``,
    without what shows a picture of the data set.

    Raises:
        InputError: no image is left in the pool.
    """
    load_plugins(request)
    config = request.config
    train = part(request, context.store, "train")
    asked = replace(
        request,
        config={**config, "draw": config["pool_draw"]},
        inputs={**request.inputs, "split": request.one("pool")},
    )
    pool = unlabelled(asked, context.store)
    if pool is None:
        raise nothing_to_retrieve()
    known = reference(request, context.store)
    blocks = [
        resemblance(
            known.encoder(pool.pixels(np.arange(start, min(start + AT_ONCE, len(pool))))),
            references=known.features,
            labels=train.labels,
            classes=len(train.classes),
        )
        for start in range(0, len(pool), AT_ONCE)
    ]
    found = Likeness(
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.distance for block in blocks]),
        np.concatenate([block.agrees for block in blocks]),
    )
    rows = nearest_of_each(found, pool.ids, most=config["most"])
    write_images(context.out, pool.pixels(rows))
    np.savez(
        context.out / RETRIEVED,
        ids=pool.ids[rows],
        labels=found.labels[rows],
        distances=found.distance[rows],
    )
    counts = np.bincount(found.labels[rows], minlength=len(train.classes))
    return {"counts": counts.tolist(), "pool": len(pool), "agreeing": int(found.agrees.sum())}


def nothing_to_retrieve() -> InputError:
    """For a pool without an image."""
    return InputError(
        "there is no unlabelled image to retrieve",
        rule="pictures that the data set shows, too, are left out of a pool",
        remedy="give a folder of other images under data.unlabelled, or leave the arm out",
    )


def resemblance(
    queries: NDArray[np.float32], *, references: FeatureRows, labels: Int64, classes: int
) -> Likeness:
    """The class whose training images are nearest, class by class.

    Every class speaks with its own :data:`NEIGHBOURS` nearest images, or all where it has fewer,
    so that a large class does not win by its number.

    Args:
        queries: features of images of the pool [n, d].
        references: features of the training images [N, d].
        labels: their class indices [N].
        classes: k.

    Returns:
        Ties go to the lower class index.
    """
    from synthlift.vision.neighbours import nearest

    mean = np.full((len(queries), classes), np.inf)
    first = np.full((len(queries), classes), np.inf)
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        if len(rows):
            near = nearest(queries, references=references[rows], k=min(NEIGHBOURS, len(rows)))
            mean[:, label] = near.distances.mean(axis=1)
            first[:, label] = near.distances[:, 0]
    chosen = mean.argmin(axis=1)
    return Likeness(
        chosen.astype(np.int64),
        mean[np.arange(len(queries)), chosen],
        first.argmin(axis=1) == chosen,
    )


def nearest_of_each(found: Likeness, ids: Strings, *, most: list[int]) -> NDArray[np.intp]:
    """Rows of at most ``most[label]`` agreeing images of each class, the nearest first.

    Ties go by id. An image resembles one class, so that none is taken twice.
    """
    order = np.lexsort((ids, found.distance, found.labels))
    order = order[found.agrees[order]]
    return np.concatenate(
        [order[found.labels[order] == label][:count] for label, count in enumerate(most)]
    ).astype(np.intp)


def is_retrieved(chunk: str) -> bool:
    """Whether the images of an artefact are retrieved, not generated."""
    return chunk.startswith("retrieve-")


def read_retrieved(artefact: Artefact) -> tuple[Strings, Int64, Float64]:
    """Ids, class indices and distances of what :func:`retrieve` found, in its order."""
    with np.load(artefact.path(RETRIEVED)) as found:
        return found["ids"], found["labels"], found["distances"]
