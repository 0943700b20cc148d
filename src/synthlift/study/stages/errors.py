"""Where classifiers trained on real images err: a stage, and what targets make of it.

Shape letters: n images, m classifiers, k classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from synthlift.errors import LeakageError
from synthlift.spec.targets import Cell
from synthlift.store import Artefact, StageContext, StageRequest, Store, Summary
from synthlift.store.images import DataKeys, members
from synthlift.study.census import cells_of
from synthlift.study.open_test import PREDICTIONS
from synthlift.study.stages.common import data_keys
from synthlift.types import Float64, Int64, Strings

ERRORS = "errors.npz"
PRIOR_IMAGES = 10
"""A cell's error is taken as if so many further images had been seen, which err as all do."""
HARD_SHARE = 0.2
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Errors:
    """How real images fared, none of them seen by the classifiers that judge it.

    Attributes:
        ids: of the images [n], sorted.
        labels: class indices [n].
        error: share of the classifiers that are wrong, in [0, 1] [n].
        loss: their mean negative log-likelihood of the class, in nats [n].
    """

    ids: Strings
    labels: Int64
    error: Float64
    loss: Float64


def measure(request: StageRequest, context: StageContext) -> Summary:
    """Stage: gather the validation predictions of classifiers; writes ``errors.npz``.

    ``part`` says which images of the draw these are: its validation images, or the training
    images out of fold. Where a classifier had no image of a class (``learnt``: its training images
    per class), its errors there say nothing and are left out.

    Raises:
        LeakageError: a prediction is of any other image.
    """
    config = request.config
    allowed = members(context.store, data_keys(request), config["draw"], config["part"])
    columns: dict[str, list[np.ndarray]] = {"ids": [], "labels": [], "error": [], "loss": []}
    for key, learnt in zip(request.many("models"), config["learnt"], strict=True):
        with np.load(context.store.open(key).path(PREDICTIONS)) as found:
            ids, labels, odds = found["ids"], found["labels"], found["probabilities"]
        require_members(ids, allowed, part=config["part"])
        able = np.array(learnt, np.int64)[labels] > 0
        own = odds[np.arange(len(labels)), labels].astype(np.float64)
        columns["ids"].append(ids[able])
        columns["labels"].append(labels[able])
        columns["error"].append((odds.argmax(axis=1) != labels)[able].astype(np.float64))
        columns["loss"].append(-np.log(np.maximum(own, SMALLEST_PROBABILITY))[able])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    ids, first, place = np.unique(joined["ids"], return_index=True, return_inverse=True)
    times = np.maximum(np.bincount(place, minlength=len(ids)), 1)
    np.savez(
        context.out / ERRORS,
        ids=ids,
        labels=joined["labels"][first],
        error=np.bincount(place, joined["error"], len(ids)) / times,
        loss=np.bincount(place, joined["loss"], len(ids)) / times,
    )
    return {"images": len(ids)}


def require_members(ids: Strings | Iterable[str], allowed: Strings, *, part: str) -> None:
    """Refuse images outside a part of a draw.

    Raises:
        LeakageError: there is one.
    """
    if set(ids) - set(allowed.tolist()):
        raise LeakageError(f"images outside the {part} part were to decide what is generated")


def read_errors(artefact: Artefact) -> Errors:
    """What :func:`measure` wrote."""
    with np.load(artefact.path(ERRORS)) as found:
        return Errors(found["ids"], found["labels"], found["error"], found["loss"])


def shrunk_errors(
    cells: Iterable[Cell], images: Mapping[Cell, int], errors: Mapping[Cell, float]
) -> dict[Cell, float]:
    """Error rates of cells, those of few images drawn toward the rate of all.

    The mean of a Beta posterior (Gelman et al., Bayesian Data Analysis, §2.4) whose prior weighs
    :data:`PRIOR_IMAGES` and has the rate of all images as its mean, (Σ errors + ½) / (Σ images + 1)
    (Krichevsky & Trofimov 1981), which lies above 0 even where nothing errs.

    Args:
        cells: for which a rate is wanted; those without images get the rate of all.
        images: measured in each cell.
        errors: how many of them were wrong, in [0, images].
    """
    rate = (sum(errors.values()) + 0.5) / (sum(images.values()) + 1)
    return {
        cell: (errors.get(cell, 0.0) + PRIOR_IMAGES * rate) / (images.get(cell, 0) + PRIOR_IMAGES)
        for cell in cells
    }


def hard_rows(errors: Errors) -> Int64:
    """Rows of the fifth (rounded up) with the highest loss, the highest first; ties go by id."""
    count = -(-len(errors.ids) // round(1 / HARD_SHARE))
    return np.lexsort((errors.ids, -errors.loss))[:count].astype(np.int64)


def hard_sources(
    store: Store, key: str, *, cell: Cell, data: DataKeys, draw: int
) -> tuple[str, ...]:
    """Ids of the hard training images of a cell, sorted.

    Args:
        store: holds what :func:`measure` wrote under ``key``.
        key: see there.
        cell: class and attributes.
        data, draw: of the training set that a generator was fitted on.

    Raises:
        LeakageError: a hard image is no training image of the draw.
    """
    errors = read_errors(store.open(key))
    ids = np.sort(errors.ids[hard_rows(errors)])
    require_members(ids, members(store, data, draw, "train"), part="train")
    names = [name for name, _ in cell.attributes]
    cells = cells_of(store, data, ids, attributes=names)
    return tuple(name for name, own in zip(ids.tolist(), cells, strict=True) if own == cell)
