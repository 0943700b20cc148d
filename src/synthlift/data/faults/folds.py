"""Folds that keep groups whole."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from synthlift.types import Int64


def grouped_folds(labels: Int64, *, groups: Sequence[str], folds: int) -> Int64 | None:
    """A fold for each image: groups whole, classes spread evenly.

    Args:
        labels: class indices [N].
        groups: [N].
        folds: how many; fewer where the smallest class has fewer groups, down to 2.

    Returns:
        int64 [N] in 0 … folds − 1; None with one class, or where no class has two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    names = np.asarray(groups, dtype=str)
    counts = [len(np.unique(names[labels == k])) for k in np.unique(labels)]
    splittable = [n for n in counts if n >= 2]
    if len(counts) < 2 or not splittable:
        return None
    number = max(2, min(folds, min(splittable)))
    out = np.zeros(len(labels), dtype=np.int64)
    alone = len(np.unique(names)) == len(names)
    kind = StratifiedKFold if alone else StratifiedGroupKFold  # the latter is slow
    with warnings.catch_warnings():
        # A class of one group is in one fold; there it counts as never learnt.
        warnings.filterwarnings("ignore", message="The least populated class")
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        separate = kind(number, shuffle=True, random_state=0).split(names, labels, names)
        for k, (_, held) in enumerate(separate):
            out[held] = k
    return out
