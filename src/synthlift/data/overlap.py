"""Pictures of the data set that a source beside it shows too.

A pool that holds a test image, cropped or saved anew, would carry it into training. The stage
compares both as they are at training size; what is left out is decided where the split is known.
"""

from __future__ import annotations

import numpy as np

from synthlift.data.alike import SURE
from synthlift.data.faults.near_duplicates import near_duplicates
from synthlift.data.faults.perceptual import thumbnails
from synthlift.rows import PixelRows, in_blocks
from synthlift.store import StageContext, StageRequest, Summary
from synthlift.store.images import PIXELS, usable_rows
from synthlift.store.pixel_files import open_rows
from synthlift.types import UInt8

SMALLEST_SIDE = 16
"""Smaller pictures are compared by their exact content only."""


def overlap_request(*, inventory: str, pixels: str, other: str, other_pixels: str) -> StageRequest:
    """Ask for the pictures of ``other`` that the data set (the first two keys) shows too."""
    return StageRequest(
        stage="overlap",
        function=f"{__name__}:overlap",
        inputs={
            "inventory": inventory,
            "pixels": pixels,
            "other": other,
            "other_pixels": other_pixels,
        },
        label="comparing a pool with the data set",
    )


def overlap(request: StageRequest, context: StageContext) -> Summary:
    """Stage: pairs (id there, id here) of equal or nearly equal pictures."""
    store = context.store
    ours = usable_rows(store, request.one("inventory"))
    theirs = usable_rows(store, request.one("other"))
    by_content: dict[str, list[str]] = {}
    for name, content in zip(ours["id"].tolist(), ours["sha256"].tolist(), strict=True):
        by_content.setdefault(content, []).append(name)
    pairs = {
        (name, own)
        for name, content in zip(theirs["id"].tolist(), theirs["sha256"].tolist(), strict=True)
        for own in by_content.get(content, ())
    }
    here = open_rows(store.open(request.one("pixels")).path(PIXELS))
    there = open_rows(store.open(request.one("other_pixels")).path(PIXELS))
    if min(here.shape[1:3]) >= SMALLEST_SIDE and here.shape[0] and there.shape[0]:
        small = np.concatenate([*_small(here), *_small(there)])
        hashes = [*ours["sha256"].tolist(), *theirs["sha256"].tolist()]
        names = [*ours["id"].tolist(), *theirs["id"].tolist()]
        count = here.shape[0]
        for pair in near_duplicates(small, hashes=hashes, threshold=SURE).pairs:
            first, second = sorted((pair.first, pair.second))
            if first < count <= second:
                pairs.add((names[second], names[first]))
    return {"pairs": [list(pair) for pair in sorted(pairs)]}


def _small(rows: PixelRows) -> list[UInt8]:
    return [thumbnails(block)[..., None] for block in in_blocks(rows)]
