"""Shortcuts: can the class be told from what should not matter?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synthlift.data.sizes import border_colour
from synthlift.seeds import generator_for
from synthlift.types import Float32, Float64, Int64, UInt8

_NEIGHBOURS = 15
_MOST_GROUPS = 4000
_LEAST_GROUPS = 20
_PERMUTATIONS = 199

WORDS = {
    "file_size": "the size of the file",
    "resolution": "the resolution",
    "aspect": "the aspect ratio",
    "border_colour": "the border colour",
    "mean_colour": "the mean colour",
}


class Shortcut(NamedTuple):
    """How well one nuisance alone tells the class.

    Attributes:
        name: of the nuisance.
        balanced_accuracy: out of sample, in [0, 1].
        chance: 1 / classes.
        p_value: share of permuted labels that do as well, itself included.
        groups: one image each was looked at.
        words: the finding as a sentence.
    """

    name: str
    balanced_accuracy: float
    chance: float
    p_value: float
    groups: int
    words: str


def nuisances(image: UInt8, *, file_size: int | None = None) -> dict[str, tuple[float, ...]]:
    """What should not tell the class, by the names of :data:`WORDS`.

    Args:
        image: uint8 [H, W, C] as decoded, at its own size.
        file_size: bytes, where the image is a file of its own.
    """
    height, width, channels = image.shape
    border = np.broadcast_to(border_colour(image), 3)
    mean = np.broadcast_to(image.reshape(-1, channels).mean(axis=0), 3)
    found: dict[str, tuple[float, ...]] = {
        "resolution": (float(width), float(height)),
        "aspect": (width / height,),
        "border_colour": tuple(float(v) for v in border),
        "mean_colour": tuple(float(v) for v in mean),
    }
    return found if file_size is None else {"file_size": (float(file_size),), **found}


def find_shortcuts(
    table: Mapping[str, Float64],
    *,
    labels: Int64,
    groups: Sequence[str],
    seed: int = 0,
    permutations: int = _PERMUTATIONS,
) -> list[Shortcut]:
    """Measure for each nuisance how well it alone tells the class.

    A vote of the 15 nearest other groups in ranked values, each vote weighted by one over the
    size of its class. One image of each group takes part, at most 4,000, so that no group is
    asked about itself and labels can be permuted freely: neighbours stay, labels change, and the
    permutation test is exact.

    Args:
        table: values by name, float64 [N] or [N, d]; what is the same in all images is left out.
        labels: class indices [N].
        groups: [N].
        seed: of which image stands for a group, and of the permutations.
        permutations: how many; the lowest p-value is 1 / (permutations + 1).

    Returns:
        The most telling first. Empty with fewer than 2 classes or 20 groups.
    """
    rows = _one_of_each(groups, seed)
    _, own = np.unique(labels[rows], return_inverse=True)
    classes = int(own.max()) + 1 if len(rows) else 0
    if classes < 2 or len(rows) < _LEAST_GROUPS:
        return []
    found = []
    for name, values in table.items():
        columns = np.asarray(values, dtype=np.float64).reshape(len(labels), -1)[rows]
        columns = columns[:, np.ptp(columns, axis=0) > 0]
        if columns.shape[1]:
            score, p = _tested(columns, own, seed_name=name, seed=seed, permutations=permutations)
            words = _sentence(name, score, 1 / classes, p)
            found.append(Shortcut(name, score, 1 / classes, p, len(rows), words))
    return sorted(found, key=lambda shortcut: (-shortcut.balanced_accuracy, shortcut.name))


def _one_of_each(groups: Sequence[str], seed: int) -> np.ndarray:
    shuffled = generator_for(seed, "shortcut_groups").permutation(len(groups))
    _, first = np.unique(np.asarray(groups, dtype=str)[shuffled], return_index=True)
    rows = np.sort(shuffled[first])
    if len(rows) > _MOST_GROUPS:
        rows = np.sort(generator_for(seed, "shortcut_rows").permutation(rows)[:_MOST_GROUPS])
    return rows


def _tested(
    columns: Float64, labels: np.ndarray, *, seed_name: str, seed: int, permutations: int
) -> tuple[float, float]:
    from synthlift.vision.neighbours import nearest

    rng = generator_for(seed, "shortcut", seed_name)
    ranked = _ranked(columns, rng)
    k = min(_NEIGHBOURS, len(labels) - 1)
    neighbours = nearest(ranked, references=ranked, k=k, same=True).indices
    score = _balanced_accuracy(labels, neighbours)
    as_good = sum(
        _balanced_accuracy(rng.permutation(labels), neighbours) >= score
        for _ in range(permutations)
    )
    return score, (as_good + 1) / (permutations + 1)


def _ranked(columns: Float64, rng: np.random.Generator) -> Float32:
    """Ranks in [0, 1]; a little noise lets chance, not the order of rows, decide between ties."""
    from scipy.stats import rankdata

    ranks = rankdata(columns, axis=0) / len(columns)
    noise = rng.uniform(0, 0.1 / len(columns), ranks.shape)
    out: Float32 = (ranks + noise).astype(np.float32)
    return out


def _balanced_accuracy(labels: np.ndarray, neighbours: np.ndarray) -> float:
    """Leave-one-out vote: a neighbour counts one over the size of its class without the asker."""
    sizes = np.bincount(labels)
    votes = np.stack([(labels[neighbours] == k).sum(axis=1) for k in range(len(sizes))], axis=1)
    others = np.maximum(sizes - (labels[:, None] == np.arange(len(sizes))), 1)
    right = (votes / others).argmax(axis=1) == labels
    return float((np.bincount(labels, weights=right) / sizes).mean())


def _sentence(name: str, score: float, chance: float, p_value: float) -> str:
    what = WORDS.get(name, name.replace("_", " "))
    told, guessed = f"{100 * score:.0f} %", f"{100 * chance:.0f} %"
    if p_value > 0.05 or score <= chance:
        return f"the class cannot be told from {what} ({told}, chance {guessed})"
    return f"the class can be told from {what} alone in {told} of images (chance {guessed})"
