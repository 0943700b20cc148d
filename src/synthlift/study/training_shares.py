"""How much the training sets of a study have in common, as its intervals need to know it."""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from synthlift.store.images import SPLIT, read_table

if TYPE_CHECKING:
    from synthlift.study.work import Work


def test_train_ratio(work: Work) -> float | None:
    """n_test / n_train of a fold, validation left out (METHOD §2, design C)."""
    if work.prepared.layout.design != "cross_validated":
        return None
    images = work.prepared.split.summary["images"]
    draws = {replicate.draw for replicate in work.replicates}
    tested = np.mean([sum(images[draw]["test"].values()) for draw in draws])
    trained = np.mean([sum(images[draw]["train"].values()) for draw in draws])
    return float(tested / trained)


def overlap(work: Work) -> float:
    """Share of their training images that two draws of design B have in common, on average."""
    draws = sorted({replicate.draw for replicate in work.replicates})
    if work.prepared.layout.design != "redrawn" or len(draws) < 2:
        return 0.0
    table = read_table(work.prepared.split.path(SPLIT), ("draw", "id", "part"))
    parts, ids = table["part"].to_numpy(), table["id"].to_numpy()
    drawn = np.where(parts == "train", table["draw"].to_numpy(), -1)
    sets = [set(ids[drawn == draw]) for draw in draws]
    shares = [
        len(one & other) / sqrt(len(one) * len(other)) for one, other in combinations(sets, 2)
    ]
    return round(float(np.mean(shares)), 6)
