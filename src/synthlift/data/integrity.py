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
_STAYS = ("test", "validation", "train", "", "unlabelled", "pool")
"""Of copies in different parts, the one in the first of these stays."""


def pixel_hash(pixels: UInt8) -> str:
    """SHA-256 (hex) over shape and pixels, uint8 [H, W, C].

    Headers, compression and file names do not matter: two files have the same hash exactly when
    they decode to the same picture.
    """
    whole = hashlib.sha256(_shape_bytes(pixels.shape))
    whole.update(np.ascontiguousarray(pixels).data)
    return whole.hexdigest()


@lru_cache(1024)
def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    return "x".join(map(str, shape)).encode() + b":"


def find_duplicates(
    ids: Sequence[str],
    *,
    labels: Sequence[str],
    hashes: Sequence[str],
    parts: Sequence[str] | None = None,
) -> dict[str, str]:
    """Decide which of several identical pictures to leave out, and why.

    Within a class the first by id stays; where parts are fixed, a copy in the test part
    before one in validation before one in train (METHOD §2). A picture that lies under different
    labels says nothing about any of them, so all of its copies go.

    Args:
        ids, labels, hashes: of the readable images, in any order; equal lengths.
        parts: train, validation, test, unlabelled, pool or "" of each.

    Returns:
        Reason by id, ``"<category>: <detail>"``, for the images to exclude.
    """
    copies: dict[str, list[tuple[int, str, str, str]]] = defaultdict(list)
    given = [""] * len(ids) if parts is None else parts
    for name, label, content, part in zip(ids, labels, hashes, given, strict=True):
        copies[content].append((_STAYS.index(part), name, label, part))
    reasons: dict[str, str] = {}
    for found in copies.values():
        under = sorted({label for *_, label, _ in found})
        if len(under) > 1:
            reasons.update({name: f"{CONFLICT}: {', '.join(under)}" for _, name, *_ in found})
            continue
        (_, first, _, kept), *others = sorted(found)
        for _, name, _, part in others:
            what = "duplicate" if part == kept else ACROSS
            reasons[name] = f"{what}: of {first}"
    return reasons


def category(reason: str) -> str:
    """The part of a reason before its detail; what exclusions are counted by."""
    return reason.partition(": ")[0]


def count_by_category(reasons: Iterable[str]) -> dict[str, int]:
    """Exclusions per category, most frequent first."""
    return dict(Counter(map(category, reasons)).most_common())
