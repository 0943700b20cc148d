from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from synthlift.evaluation.predictions import Predictions, build

TableMaker = Callable[..., Predictions]


@pytest.fixture
def make_table() -> TableMaker:
    """Turn right/wrong arrays [arms, R, n] into a predictions table."""
    return _make_table


def _make_table(
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    names: Sequence[str],
    classes: int,
    fits: int = 0,
    evaluation_set: str = "test",
    groups: np.ndarray | None = None,
    folds: np.ndarray | None = None,
    images: np.ndarray | None = None,
    seed: int = 0,
) -> Predictions:
    rng = np.random.default_rng(seed)
    n = scores.shape[2]
    wrong = (labels + 1 + rng.integers(0, classes - 1, scores.shape)) % classes
    predicted = np.where(scores > 0, labels, wrong)
    probabilities = np.full((*scores.shape, classes), 0.1 / (classes - 1), np.float32)
    np.put_along_axis(probabilities, predicted[..., None], 0.9, axis=-1)
    arm, replicate, image = np.indices(scores.shape)
    ids = np.arange(n) if images is None else images
    columns = {
        "arm": np.array(names)[arm.ravel()],
        "replicate": replicate.ravel(),
        "fit": (replicate % fits).ravel() if fits else -1,
        "image_id": np.array([f"{evaluation_set}-{i}" for i in ids])[image.ravel()],
        "label": np.broadcast_to(labels, scores.shape).ravel(),
        "evaluation_set": evaluation_set,
        "probabilities": probabilities.reshape(-1, classes),
    }
    if groups is not None:
        columns["group"] = np.array([f"g{g}" for g in groups])[image.ravel()]
    if folds is not None:
        columns["fold"] = folds[replicate.ravel()]
    return build(columns, classes=[f"class {k}" for k in range(classes)])
