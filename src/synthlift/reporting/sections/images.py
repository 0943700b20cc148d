"""Images: real beside kept beside rejected, and generated images beside their nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from synthlift.reporting import text
from synthlift.reporting.gallery import data_uri
from synthlift.reporting.reading import Reading
from synthlift.spec.facts import GalleryImage

BUDGET = 1_200_000  # characters of data URIs in one report
KINDS = ("real", "kept", "rejected")


@dataclass(frozen=True)
class Shown:
    """One embedded thumbnail."""

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class ClassGrid:
    """A class: its pictures by kind, and how many more the gallery holds."""

    name: str
    cells: Sequence[tuple[str, Sequence[Shown], int]]


@dataclass(frozen=True)
class Pair:
    """A generated image and the nearest training image."""

    query: Shown
    neighbour: Shown
    name: str
    generator: str
    distance: str
    reason: str


@dataclass(frozen=True)
class View:
    """Grids per class and nearest-neighbour pairs."""

    grids: Sequence[ClassGrid]
    pairs: Sequence[Pair]
    left_out: int
    many: bool


def view(reading: Reading) -> View | None:
    """None without thumbnails."""
    gallery = reading.results.gallery
    if not gallery or reading.folder is None:
        return None
    embedded = _embed(reading, gallery)
    if not embedded:
        return None
    names = reading.class_order([g.label for g in gallery if g.kind in KINDS])
    grids = [_grid(reading, name, gallery, embedded) for name in names]
    pairs = _pairs(reading, gallery, embedded)
    return View(grids, pairs, len(gallery) - len(embedded), many=len(grids) > 12)


def _embed(reading: Reading, gallery: Sequence[GalleryImage]) -> dict[int, str]:
    """Data URIs by position: pairs first, then one image a class and kind in turn."""
    assert reading.folder is not None
    spent, found = 0, {}
    for index in _turns(gallery):
        uri = data_uri(reading.folder, gallery[index].file)
        if uri is None or spent + len(uri) > BUDGET:
            continue
        spent += len(uri)
        found[index] = uri
    return found


def _turns(gallery: Sequence[GalleryImage]) -> list[int]:
    piles: dict[tuple[str, str], list[int]] = {}
    pairs: dict[int | None, list[int]] = {}
    for index, item in enumerate(gallery):
        if item.kind in KINDS:
            piles.setdefault((item.label, item.kind), []).append(index)
        else:
            pairs.setdefault(item.pair, []).append(index)
    rounds = zip_longest(*piles.values())
    return [i for pair in pairs.values() for i in pair] + [
        i for turn in rounds for i in turn if i is not None
    ]


def _grid(
    reading: Reading, name: str, gallery: Sequence[GalleryImage], embedded: dict[int, str]
) -> ClassGrid:
    cells = []
    for kind in KINDS:
        mine = [i for i, g in enumerate(gallery) if g.kind == kind and g.label == name]
        shown = [_shown(reading, gallery[i], embedded[i]) for i in mine if i in embedded]
        cells.append((kind, shown, len(mine) - len(shown)))
    return ClassGrid(reading.display(name), cells)


def _shown(reading: Reading, item: GalleryImage, uri: str) -> Shown:
    words = {"copy_query": "generated", "copy_neighbour": "nearest training image"}
    name = reading.display(item.label)
    alt = f"{words.get(item.kind, item.kind)} image, class {name}"
    alt += f": {item.reason}" if item.reason else ""
    score = f" ({text.number(item.score, 2)})" if item.score is not None and item.reason else ""
    return Shown(uri, alt, item.reason + score)


def _pairs(
    reading: Reading, gallery: Sequence[GalleryImage], embedded: dict[int, str]
) -> list[Pair]:
    queries = {g.pair: i for i, g in enumerate(gallery) if g.kind == "copy_query"}
    neighbours = {g.pair: i for i, g in enumerate(gallery) if g.kind == "copy_neighbour"}
    found = []
    for pair, i in queries.items():
        j = neighbours.get(pair)
        if j is None or i not in embedded or j not in embedded:
            continue
        query, neighbour = gallery[i], gallery[j]
        distance = query.distance if query.distance is not None else neighbour.distance
        found.append((distance if distance is not None else float("inf"), i, j))
    return [_pair(reading, gallery, embedded, *item) for item in sorted(found)]


def _pair(
    reading: Reading,
    gallery: Sequence[GalleryImage],
    embedded: dict[int, str],
    distance: float,
    i: int,
    j: int,
) -> Pair:
    query = gallery[i]
    return Pair(
        query=_shown(reading, query, embedded[i]),
        neighbour=_shown(reading, gallery[j], embedded[j]),
        name=reading.display(query.label),
        generator=query.generator,
        distance=text.MISSING if distance == float("inf") else f"{distance:.3g}",
        reason=query.reason or gallery[j].reason,
    )
