"""Pictures that occur twice, found by the hash of their decoded pixels."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from synthlift.types import UInt8

CONFLICT = "same image under different labels"
ACROSS = "duplicate across given parts"
_STAYS = ("test", "validation", "train", "unlabelled", "pool")
"""Of copies in different parts, the one in the first of these stays."""


def pixel_hash(pixels: UInt8) -> str:
    """SHA-256 (hex) over shape and pixels, uint8 [H, W, C].

    Headers, compression and file names do not matter: two files have the same hash exactly when
    they decode to the same picture.
    """
    whole = hashlib.sha256(_shape_bytes(pixels.shape))
    whole.update(np.ascontiguousarray(pixels).data)
    return whole.hexdigest()


def worth(parts: Sequence[str]) -> tuple[int, ...]:
    """What an image is worth among its copies, by its part in each draw ("" = train).

    To be tested on, in however many draws, is worth more than to be validated on, and this more
    than to be trained on.
    """
    counts = Counter(part or "train" for part in parts)
    return tuple(counts[part] for part in _STAYS)


@lru_cache(1024)
def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    return "x".join(map(str, shape)).encode() + b":"


def find_duplicates(
    ids: Sequence[str],
    *,
    labels: Sequence[str],
    hashes: Sequence[str],
    draws: Sequence[Sequence[str]] = (),
) -> dict[str, str]:
    """Decide which of several identical pictures to leave out, and why.

    Within a class the first by id stays; where parts are fixed, a copy that is tested before one
    that is validated on before one that is trained on (METHOD §2). A picture that lies under
    different labels says nothing about any of them, so all of its copies go.

    Args:
        ids, labels, hashes: of the readable images, in any order; equal lengths.
        draws: train, validation, test, unlabelled, pool or "" of each, in each draw [D, N]; none
            where nothing is fixed.

    Returns:
        Reason by id, ``"<category>: <detail>"``, for the images to exclude.
    """
    copies: dict[str, list[int]] = defaultdict(list)
    for image, content in enumerate(hashes):
        copies[content].append(image)
    reasons: dict[str, str] = {}
    for found in copies.values():
        if len(found) == 1:
            continue
        under = sorted({labels[image] for image in found})
        if len(under) > 1:
            reasons.update({ids[image]: f"{CONFLICT}: {', '.join(under)}" for image in found})
            continue
        parts = {image: [draw[image] for draw in draws] for image in found}
        most = max(worth(parts[image]) for image in found)
        kept = min((i for i in found if worth(parts[i]) == most), key=lambda image: ids[image])
        for image in found:
            if image != kept:
                what = "duplicate" if parts[image] == parts[kept] else ACROSS
                reasons[ids[image]] = f"{what}: of {ids[kept]}"
    return reasons


def category(reason: str) -> str:
    """The part of a reason before its detail; what exclusions are counted by."""
    return reason.partition(": ")[0]


def count_by_category(reasons: Iterable[str]) -> dict[str, int]:
    """Exclusions per category, most frequent first."""
    return dict(Counter(map(category, reasons)).most_common())
