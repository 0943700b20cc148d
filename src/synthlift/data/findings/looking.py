"""A second look at every image: small copies, and what can be measured without keeping it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.data.contract import UNLABELLED, Source
from synthlift.data.decode import UnusableImageError, without_pillow_warnings
from synthlift.data.faults import fisher
from synthlift.data.faults.perceptual import SIDE, thumbnails
from synthlift.data.faults.shortcuts import nuisances
from synthlift.data.faults.spread import Measures, measure
from synthlift.data.inventory import OK, SMALLEST_ALIKE, Row
from synthlift.data.parallel import in_order
from synthlift.data.sizes import resize
from synthlift.seeds import generator_for
from synthlift.types import Float64, UInt8

MOST_IMAGES = 60_000
"""More are looked at as a sample of so many."""
MOST_LEARNT = 10_000
"""Label errors and outliers are sought in a sample of so many images."""
_MEASURED_AT = (32, 64)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Looked:
    """What was seen of ``n`` images; 1 KiB each, and 12 KiB more for those learnt from.

    Attributes:
        places: which rows of the inventory [n], ascending.
        grey: uint8 [n, 32, 32], as near-duplicates are sought in.
        learnt: which of the ``n`` are learnt from [m], ascending; all have a label.
        colour: of these, uint8 [m, 64, 64, 3].
        measures: brightness, contrast and sharpness of each at one size.
        nuisances: what should not tell the class, float64 [n, d] by name.
        usable: how many usable images there are in all.
    """

    places: tuple[int, ...]
    grey: UInt8
    learnt: tuple[int, ...]
    colour: UInt8
    measures: tuple[Measures, ...]
    nuisances: dict[str, Float64]
    usable: int

    def thumbnails(self, rows: Sequence[Row]) -> list[UInt8 | None]:
        """Grey copies [32, 32, 1] by row; None where there is none or the image is too small."""
        found: list[UInt8 | None] = [None] * len(rows)
        for place, grey in zip(self.places, self.grey, strict=True):
            if min(rows[place].width, rows[place].height) >= SMALLEST_ALIKE:
                found[place] = grey[..., None]
        return found


@dataclass(frozen=True)
class _Seen:
    grey: UInt8
    colour: UInt8 | None
    measures: Measures
    nuisances: dict[str, tuple[float, ...]]


def look(
    source: Source,
    rows: Sequence[Row],
    *,
    max_pixels: int,
    white: int,
    progress: Progress,
    most: int = MOST_IMAGES,
) -> Looked:
    """Decode the usable images once more and keep small copies of them.

    Args:
        source: what the rows were read from.
        rows: the inventory, sorted by id.
        max_pixels, white: as they were read.
        progress: called as ``progress(done, total, note)``.
        most: larger data sets are looked at in a sample of so many, the same every time.
    """
    usable = [place for place, row in enumerate(rows) if row.status == OK]
    places = usable
    if len(places) > most:
        drawn = generator_for(0, "inspected_sample").permutation(len(places))[:most]
        places = [usable[i] for i in np.sort(drawn)]
    learnt = _learnt_from(rows, places)
    side = _measured_at([rows[place] for place in places])

    def seen(place: int) -> _Seen | None:
        row = rows[place]
        try:
            image = source.load(row.path, max_pixels=max_pixels, white=white).pixels
        except UnusableImageError:
            return None  # It changed since it was read.
        return _Seen(
            thumbnails(image[None])[0],
            resize(image, size=fisher.SIDE, fit="stretch", channels=3) if place in learnt else None,
            measure(resize(image, size=side, fit="stretch", channels=image.shape[2])),
            nuisances(image, file_size=_file_size(source, row.path)),
        )

    grey = np.empty((len(places), SIDE, SIDE), dtype=np.uint8)
    colour = np.empty((len(learnt), fisher.SIDE, fisher.SIDE, 3), dtype=np.uint8)
    kept: list[int] = []
    coloured: list[int] = []
    measures: list[Measures] = []
    table: list[dict[str, tuple[float, ...]]] = []
    with without_pillow_warnings():
        found = in_order(seen, places, lambda n, total, _: progress(n, total, "looking closer"))
        for place, one in zip(places, found, strict=True):
            if one is not None:
                grey[len(kept)] = one.grey
                if one.colour is not None:
                    colour[len(coloured)] = one.colour
                    coloured.append(len(kept))
                measures.append(one.measures)
                table.append(one.nuisances)
                kept.append(place)
    shared = [name for name in table[0] if all(name in t for t in table)] if table else []
    return Looked(
        tuple(kept),
        grey[: len(kept)],
        tuple(coloured),
        colour[: len(coloured)],
        tuple(measures),
        {name: np.array([one[name] for one in table]) for name in shared},
        len(usable),
    )


def _learnt_from(rows: Sequence[Row], places: Sequence[int]) -> frozenset[int]:
    labelled = [place for place in places if rows[place].label != UNLABELLED]
    if len(labelled) > MOST_LEARNT:
        drawn = generator_for(0, "inspected_features").permutation(len(labelled))[:MOST_LEARNT]
        labelled = [labelled[i] for i in drawn]
    return frozenset(labelled)


def _measured_at(rows: Sequence[Row]) -> int:
    """The size at which sharpness is compared: no typical image is enlarged."""
    shorter = np.median([min(row.width, row.height) for row in rows]) if rows else 0
    return max(side for side in _MEASURED_AT if side <= max(shorter, _MEASURED_AT[0]))


def _file_size(source: Source, path: str) -> int | None:
    file = source.file(path)
    return None if file is None else file.stat().st_size
