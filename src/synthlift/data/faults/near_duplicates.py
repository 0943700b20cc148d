"""Images that show the same picture: copied, cropped, brightened, compressed, flipped or turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from synthlift.data.faults.comparing import BEST, Comparisons, compare, linked
from synthlift.data.faults.families import ALONE, families, fisher
from synthlift.data.faults.perceptual import Rows, best_of_each, thumbnails
from synthlift.data.integrity import pixel_hash
from synthlift.types import Float32, Int64, UInt8

LOOSEST, STRICTEST = 0.28, 0.02
"""Between these two the threshold is calibrated on the data."""
LARGEST_SHARE = 0.02
"""A component of more than this share of the images is taken apart, families aside (METHOD §2)."""
LARGEST_FAMILY, FEW_VERSIONS = 0.05, 10
"""Larger ones, by share and by images, are a kind of picture, as all circles are, and no family."""

_SPREADS = 3.0
_CALIBRATE_FROM = 30


class Pair(NamedTuple):
    """Two images, rows first < second, that show the same picture.

    ``distance`` is 1 − correlation of the aligned images' edges: 0 = the same.
    """

    first: int
    second: int
    distance: float
    kind: Literal["exact", "near"]


@dataclass(frozen=True)
class NearDuplicates:
    """All pairs by rows, and the largest distance at which two images counted as one picture.

    Attributes:
        pairs: at most ``threshold`` apart.
        threshold: given or calibrated.
        families: the family of each image, -1 for none: sets that resemble each other clearly more
            than anything else (:mod:`~synthlift.data.faults.families`); () = not sought.
        beyond: pairs that were compared and lie between ``threshold`` and 0.28.
    """

    pairs: tuple[Pair, ...]
    threshold: float
    families: tuple[int, ...] = ()
    beyond: tuple[Pair, ...] = ()

    def certain(self, pair: Pair) -> bool:
        """Whether a pair is a copy, or lies inside a family."""
        return pair.kind == "exact" or (
            bool(self.families) and self.families[pair.first] == self.families[pair.second] != ALONE
        )


def near_duplicates(
    pixels: UInt8,
    *,
    hashes: Sequence[str] | None = None,
    threshold: float | None = None,
    sides: Int64 | None = None,
) -> NearDuplicates:
    """Find images that show the same picture.

    Candidates share a perceptual hash (:mod:`~synthlift.data.faults.perceptual`). They are laid
    over each other – flips, quarter turns, shift, scale, brightness and contrast are free – and
    compared by their edges. Memory is bounded; 60,000 images of 32 px take about a minute.

    Args:
        pixels: uint8 [N, H, W, C] of any size; 32 px are enough and fastest.
        hashes: one a content [N]; None = taken from ``pixels``. Equal hashes are exact copies.
        threshold: largest distance of a near-duplicate, in [0, 1]; None = calibrated: 0.28, or
            less where unrelated images of this data set come near that anyway (small digits).
        sides: 0 or 1 an image [N], where two sources are compared; see
            :func:`~synthlift.data.faults.comparing.compare`.

    Returns:
        Of several exact copies, each is paired with the first only, and the first alone stands
        for them among the near-duplicates.
    """
    contents = [pixel_hash(image) for image in pixels] if hashes is None else list(hashes)
    assert len(contents) == len(pixels), f"{len(contents)} hashes for {len(pixels)} images"
    firsts: dict[str, int] = {}
    exact = []
    for row, content in enumerate(contents):
        first = firsts.setdefault(content, row)
        if first != row:
            exact.append(Pair(first, row, 0.0, "exact"))
    rows = np.array(list(firsts.values()), dtype=np.intp)
    grey = thumbnails(pixels if len(rows) == len(pixels) else pixels[rows])
    least = 1 - LOOSEST
    compared = compare(grey, least=least, sides=None if sides is None else sides[rows])
    own = families(
        *_settled(compared),
        count=len(rows),
        least=least,
        largest=max(FEW_VERSIONS, int(LARGEST_FAMILY * len(rows))),
    )
    limit = _calibrated(compared, own) if threshold is None else threshold
    near, beyond = _pairs(compared, rows, limit)
    place = {content: k for k, content in enumerate(firsts)}
    return NearDuplicates(
        tuple(sorted(exact + near)),
        float(limit),
        tuple(own[[place[content] for content in contents]].tolist()),
        tuple(sorted(beyond)),
    )


def _settled(compared: Comparisons) -> tuple[Rows, Rows, Float32]:
    kept = compared.settled
    return compared.first[kept], compared.second[kept], compared.agreement[kept]


def _pairs(compared: Comparisons, rows: Rows, limit: float) -> tuple[list[Pair], list[Pair]]:
    """What was compared well up to the limit, and beyond it up to the loosest."""
    first, second, agreement = _settled(compared)
    distance = np.maximum(1 - agreement.astype(np.float64), 0)
    near: list[Pair] = []
    beyond: list[Pair] = []
    for place in np.flatnonzero(distance <= max(limit, LOOSEST)).tolist():
        d = float(distance[place])
        a, b = int(rows[first[place]]), int(rows[second[place]])
        (near if d <= limit else beyond).append(Pair(a, b, round(d, 4), "near"))
    return near, beyond


def _calibrated(compared: Comparisons, own: Int64) -> float:
    """Three robust standard deviations beyond the typical look-alike that is no relative.

    Typical are each image's best two outside its family, on Fisher's z scale. With them inside,
    versions of one picture would be what is typical, and the more there are the fewer were found.
    """
    first, second, agreement = _settled(compared)
    strange = (own[first] == ALONE) | (own[first] != own[second])
    first, second, agreement = first[strange], second[strange], agreement[strange]
    z = fisher(agreement[best_of_each(first, second, agreement, count=BEST)])
    if len(z) < _CALIBRATE_FROM:
        return LOOSEST
    centre = np.median(z)
    spread = 1.4826 * np.median(np.abs(z - centre))
    return float(np.clip(1 - np.tanh(centre + _SPREADS * spread), STRICTEST, LOOSEST))


def components(pairs: Sequence[Pair], *, count: int) -> Int64:
    """The lowest row that each image is joined to, directly or through others; int64 [count]."""
    first, second = (np.array([pair[k] for pair in pairs], dtype=np.intp) for k in (0, 1))
    return linked(first, second, count=count)


def tightened(found: NearDuplicates, *, count: int, share: float = LARGEST_SHARE) -> NearDuplicates:
    """Drop the least certain pairs of components that exceed a share of the images (METHOD §2).

    Only inside such a component: it loses its weakest pairs until what is left of it fits. Exact
    copies and families always stay, so a component may be as large as they make it.

    Args:
        found: pairs over ``count`` images.
        count: N.
        share: largest component as a share of N; two images may always be joined.
    """
    most = max(2.0, share * count)
    label = components(found.pairs, count=count)
    large = np.bincount(label, minlength=count) > most
    if not large.any():
        return found
    inside: dict[int, list[Pair]] = {int(root): [] for root in np.flatnonzero(large)}
    kept: list[Pair] = []
    for pair in found.pairs:
        inside.get(int(label[pair.first]), kept).append(pair)
    for pairs in inside.values():
        kept += _fitting(found, pairs, most)
    return replace(found, pairs=tuple(sorted(kept)))


def _fitting(found: NearDuplicates, pairs: Sequence[Pair], most: float) -> list[Pair]:
    """The pairs of one component up to the largest distance at which its parts fit."""
    unsure = [pair for pair in pairs if not found.certain(pair)]
    certain = [pair for pair in pairs if found.certain(pair)]
    distances = sorted({pair.distance for pair in unsure})

    def up_to(rank: int) -> list[Pair]:
        limit = distances[rank - 1] if rank else -1.0
        return certain + [pair for pair in unsure if pair.distance <= limit]

    allowed = max(most, _largest(certain))
    low, high = 0, len(distances)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _largest(up_to(middle)) <= allowed
        low, high = (middle, high) if fits else (low, middle - 1)
    return up_to(low)


def _largest(pairs: Sequence[Pair]) -> int:
    rows, ends = np.unique([pair[:2] for pair in pairs], return_inverse=True)
    if not len(rows):
        return 1
    first, second = ends.reshape(-1, 2).T
    return int(np.bincount(linked(first, second, count=len(rows))).max())
