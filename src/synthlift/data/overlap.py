"""Pictures of the data set that a source beside it shows too.

A pool that holds a test image, cropped or saved anew, would carry it into training; an external
test set that holds a training image would test what was learnt by heart. The stage compares both as
they are at training size; what is left out is decided where the split is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthlift.data.alike import SURE, same_pictures
from synthlift.data.faults.near_duplicates import Pair, components
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
        label="comparing further images with the data set",
        version="2",
    )


def overlap(request: StageRequest, context: StageContext) -> Summary:
    """Stage: pairs (id there, id here) of equal or nearly equal pictures.

    ``apart`` counts those there that resemble one here no less than unrelated images resemble each
    other.

    A picture there shows all that it is joined to here, directly or through others: versions of one
    picture may each resemble another version more than the one that is tested. Of its pairs, the
    one that is nearest comes first.
    """
    store = context.store
    ours = usable_rows(store, request.one("inventory"))
    theirs = usable_rows(store, request.one("other"))
    names = [*ours["id"].tolist(), *theirs["id"].tolist()]
    hashes = [*ours["sha256"].tolist(), *theirs["sha256"].tolist()]
    here = open_rows(store.open(request.one("pixels")).path(PIXELS))
    there = open_rows(store.open(request.one("other_pixels")).path(PIXELS))
    count = here.shape[0]
    found, apart = _copies(hashes), set[int]()
    if min(here.shape[1:3]) >= SMALLEST_SIDE and count and there.shape[0]:
        small = np.concatenate([*_small(here), *_small(there)])
        sides = (np.arange(len(small)) >= count).astype(np.int64)
        # An image too many is easily spared here, so that few need not be told apart more strictly.
        seen = same_pictures(small, hashes=hashes, few=SURE, sides=sides)
        found = list(seen.pairs)
        apart = {p.second for p in (*seen.beyond, *seen.chained) if p.first < count <= p.second}
    across = _across(found, len(names), count)
    return {
        "pairs": [[names[second], names[first]] for first, second in across],
        "apart": len(apart - {second for _, second in across}),
    }


def _copies(hashes: Sequence[str]) -> list[Pair]:
    firsts: dict[str, int] = {}
    return [
        Pair(first, row, 0.0, "exact")
        for row, content in enumerate(hashes)
        if (first := firsts.setdefault(content, row)) != row
    ]


def _across(found: Sequence[Pair], rows: int, count: int) -> list[tuple[int, int]]:
    """Rows here (below ``count``) and there that are joined, by row there, then by distance."""
    label = components(found, count=rows).tolist()
    here: dict[int, list[int]] = {}
    for row in range(count):
        here.setdefault(label[row], []).append(row)
    distance = {(pair.first, pair.second): pair.distance for pair in found}
    return [
        (first, second)
        for second in range(count, rows)
        for first in sorted(
            here.get(label[second], ()), key=lambda row: (distance.get((row, second), 1.0), row)
        )
    ]


def _small(rows: PixelRows) -> list[UInt8]:
    return [thumbnails(block)[..., None] for block in in_blocks(rows)]
