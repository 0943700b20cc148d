"""Carries images from one value of an attribute to another, for classes never seen with it.

A network that was asked for "an inverted 3" without having seen one has two ways out: an inverted
image of another class, or a 3 that is not inverted. Where an attribute does the same to every
class, and what it does is a symmetry of the square and a mapping of colours, it can be learnt from
classes that were seen with both values. Training images of the class are then carried over and
stand in for those that are missing. Where it cannot be learnt that way, nothing is carried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.examples import as_nchw, to_unit
from synthlift.types import Float32, Float64, ImageSet, Int64

SIDE = 16
"""Pixels a side, at most, at which values of an attribute are compared."""
MOST_IMAGES = 20_000
"""Images that are compared, at most; of each cell the first ones."""
MOST_VALUES = 16
"""With more values, an attribute is taken for a name rather than for a property."""
LEAST_EXPLAINED = 0.5
"""Share of the differences between classes that is predicted for a class left out."""
LEAST_TOLD = 0.7
"""Share of images of two values that a linear classifier tells apart."""
TOLERATED = 0.1
"""How much more seldom carried images may be taken for the value than real ones."""
RIDGE = 1e-2
"""Of that classifier, in units of the pixels' mean variance."""


@dataclass(frozen=True)
class Carry:
    """From value ``before`` to value ``after`` of the attribute in ``column``.

    Attributes:
        column: 1 + index of the attribute.
        before, after: indices of its values.
        turn: 0 to 7, see :func:`turned`.
        colours: [C, C + 1], what a pixel in [-1, 1] is multiplied by, and what is added.
        explained: share of the differences between classes that it predicts, each class from the
            others.
    """

    column: int
    before: int
    after: int
    turn: int
    colours: Float64 = field(repr=False)
    explained: float

    def __call__(self, images_nchw: Tensor) -> Tensor:
        """Carry images in [-1, 1]."""
        matrix = torch.from_numpy(self.colours).to(images_nchw)
        mixed = torch.einsum("dc,nchw->ndhw", matrix[:, :-1], turned(images_nchw, self.turn))
        return (mixed + matrix[:, -1, None, None]).clamp(-1, 1)


@dataclass(frozen=True)
class Transport:
    """What is carried where.

    Attributes:
        carries: at most one for each pair of values of an attribute.
        seen: class indices and value indices that occur together, by column, bool [K + 1, V + 1].
    """

    carries: tuple[Carry, ...] = ()
    seen: tuple[Tensor, ...] = ()

    def __call__(
        self, images_nchw: Tensor, wanted_nk: Tensor, *, stream: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Carry some images to values that their class was never seen with.

        Each value that a class can be carried to becomes as likely as one it was seen with.

        Args:
            images_nchw: in [-1, 1].
            wanted_nk: indices of class and attribute values.
            stream: of random numbers; untouched where nothing is ever carried.

        Returns:
            Images and indices; the arguments are not changed.
        """
        images, wanted = images_nchw.clone(), wanted_nk.clone()
        for column in sorted({carry.column for carry in self.carries}):
            drawn = torch.rand(len(wanted), generator=stream)
            choice = torch.rand(len(wanted), generator=stream)
            labels, values = wanted[:, 0].cpu(), wanted[:, column].cpu()
            seen = self.seen[column - 1]
            usable = [carry for carry in self.carries if carry.column == column]
            targets = torch.stack(
                [(values == one.before) & ~seen[labels, one.after] for one in usable], dim=1
            )
            number = targets.sum(1)
            known = seen[labels].sum(1)
            moved = drawn < number / (number + known).clamp(min=1)
            rank = (choice * number).floor().long().clamp(max=len(usable))
            picked = targets & (targets.cumsum(1) - 1 == rank[:, None]) & moved[:, None]
            for index, carry in enumerate(usable):
                rows = picked[:, index].nonzero()[:, 0].to(wanted.device)
                if len(rows):
                    images[rows] = carry(images[rows])
                    wanted[rows, column] = carry.after
        return images, wanted

    def digest(self, wanted_nk: Tensor) -> bytes:
        """Tells what is done to images with these indices; b"" where nothing is carried."""
        if not self.carries:
            return b""
        sha = hashlib.sha256(wanted_nk.cpu().numpy().tobytes())
        for one in self.carries:
            sha.update(f"{one.column} {one.before} {one.after} {one.turn} ".encode())
            sha.update(one.colours.tobytes())
        for table in self.seen:
            sha.update(table.numpy().tobytes())
        return sha.digest()

    def as_json(self, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """What is carried, in names, for the facts that are kept with a generator."""
        names = tuple(vocabulary.attributes)
        return [
            {
                "attribute": (name := names[one.column - 1]),
                "from": vocabulary.attributes[name][one.before],
                "to": vocabulary.attributes[name][one.after],
                "turn": TURNS[one.turn],
                "explained": round(one.explained, 3),
            }
            for one in self.carries
        ]


TURNS = (
    "none",
    "quarter turn",
    "half turn",
    "three quarter turns",
    "mirrored",
    "mirrored, quarter turn",
    "mirrored, half turn",
    "mirrored, three quarter turns",
)


def turned(images_nchw: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square: quarter turns, after mirroring from 4 on."""
    mirrored = images_nchw.flip(3) if turn >= 4 else images_nchw
    return torch.rot90(mirrored, turn % 4, dims=(2, 3))


def learn_transport(train: ImageSet, vocabulary: Vocabulary) -> Transport:
    """Find out how values of attributes differ, where a class was not seen with one of them.

    Args:
        train: training images.
        vocabulary: classes and attributes; a missing value is neither carried from nor to.
    """
    wanted = vocabulary.encode(train.labels, train.attributes)
    seen = []
    for column, size in enumerate(vocabulary.sizes[1:], start=1):
        table = torch.zeros(vocabulary.sizes[0] + 1, size + 1, dtype=torch.bool)
        table[wanted[:, 0], wanted[:, column]] = True
        table[:, -1] = False
        table[-1] = True
        seen.append(table)
    carries: list[Carry] = []
    for column, (name, table) in enumerate(zip(vocabulary.attributes, seen, strict=True), start=1):
        values = vocabulary.attributes[name]
        present = table[: vocabulary.sizes[0], : len(values)]
        gaps = present[present.any(1)]
        if len(values) > MOST_VALUES or bool(gaps.all()):
            continue
        cells = _cells(train, wanted[:, [0, column]])
        for before, after in np.ndindex(len(values), len(values)):
            missing = bool((present[:, before] & ~present[:, after]).any())
            if missing and values[before] and values[after]:
                found = _carry(cells, before, after, column=column)
                carries += [found] if found else []
    return Transport(tuple(carries), tuple(seen))


Cells = dict[tuple[int, int], Float32]
"""Small images [n, C, h, w] in [-1, 1] by class and value."""


def _cells(train: ImageSet, pairs_n2: Int64) -> Cells:
    labelled = np.flatnonzero(train.labels >= 0)
    different, cell = np.unique(pairs_n2[labelled], axis=0, return_inverse=True)
    most = max(8, MOST_IMAGES // len(different))
    cells = {}
    for index, (label, value) in enumerate(different.tolist()):
        rows = labelled[cell.ravel() == index][:most]
        images = to_unit(as_nchw(torch.from_numpy(train.pixels(rows))))
        height, width = (min(SIDE, size) for size in images.shape[2:])
        cells[label, value] = F.adaptive_avg_pool2d(images, (height, width)).numpy()
    return cells


def _carry(cells: Cells, before: int, after: int, *, column: int) -> Carry | None:
    shared = [c for c, value in cells if value == before and (c, after) in cells]
    if len(shared) < 2:
        return None
    means = [cells[c, before].mean(0) for c in shared]
    goals = [cells[c, after].mean(0) for c in shared]
    square = means[0].shape[1] == means[0].shape[2]
    best = max(
        (_fitted(means, goals, turn=turn) for turn in range(8) if square or turn % 2 == 0),
        key=lambda one: one[0],
    )
    explained, turn, colours = best
    carry = Carry(column, before, after, turn, colours, explained)
    earlier, later = (
        np.concatenate([cells[c, value] for c in shared]) for value in (before, after)
    )
    fits = explained >= LEAST_EXPLAINED and _passes(earlier, later, carry)
    return carry if fits else None


def _fitted(
    means: Sequence[Float32], goals: Sequence[Float32], *, turn: int
) -> tuple[float, int, Float64]:
    """Least squares from mean images [C, h, w] of classes to those with another value.

    The score is 1 − squared error over the classes' squared distance from their own mean, where
    each class is predicted from the others: 1 = exactly, 0 = no better than one image for all.
    """
    inputs, outputs = [], []
    for mean, goal in zip(means, goals, strict=True):
        flat = turned(torch.from_numpy(mean)[None], turn)[0].flatten(1).double().numpy().T
        inputs.append(np.hstack([flat, np.ones((len(flat), 1))]))
        outputs.append(goal.reshape(len(goal), -1).T.astype(np.float64))
    grams = [x.T @ x for x in inputs]
    sides = [x.T @ y for x, y in zip(inputs, outputs, strict=True)]
    gram, side = np.sum(grams, axis=0), np.sum(sides, axis=0)

    def solve(gram: Float64, side: Float64) -> Float64:
        return np.asarray(np.linalg.pinv(gram, rcond=1e-5, hermitian=True) @ side)

    error = sum(
        float(np.square(x @ solve(gram - g, side - s) - y).sum())
        for x, y, g, s in zip(inputs, outputs, grams, sides, strict=True)
    )
    spread = float(np.square(np.stack(outputs) - np.mean(outputs, axis=0)).sum())
    return 1 - error / max(spread, 1e-12), turn, solve(gram, side).T


def _passes(before: Float32, after: Float32, carry: Carry) -> bool:
    """Whether carried images are taken for the value as often as images that have it.

    The judge is linear, fitted on every other image. What it cannot see – glasses on a face, that
    a mapping of colours does not put there – is thereby not claimed.
    """
    known = (before[::2], after[::2])
    inputs = np.concatenate([images.reshape(len(images), -1) for images in known])
    sides = np.repeat([-1.0, 1.0], [len(images) for images in known])
    weights = np.repeat([1 / len(images) for images in known], [len(images) for images in known])
    centre = np.average(inputs, axis=0, weights=weights)
    x = (inputs - centre).astype(np.float64)
    gram = (x * weights[:, None]).T @ x
    gram += np.eye(len(gram)) * RIDGE * np.trace(gram) / len(gram)
    direction = np.linalg.solve(gram, (x * weights[:, None]).T @ sides)

    def share(images: Float32) -> float:
        return float(((images.reshape(len(images), -1) - centre) @ direction > 0).mean())

    before, after = before[1::2], after[1::2]
    carried = carry(torch.from_numpy(before)).numpy()
    told = (share(after) + 1 - share(before)) / 2
    return told >= LEAST_TOLD and share(carried) >= share(after) - TOLERATED
