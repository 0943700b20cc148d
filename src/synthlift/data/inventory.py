"""The inventory: one row an image, what it is and whether it can be used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from synthlift.data.contract import Item, Source
from synthlift.data.decode import (
    WHITE_16_BIT,
    UnusableImageError,
    without_pillow_warnings,
)
from synthlift.data.faults.perceptual import thumbnails
from synthlift.data.faults.spread import bin_words, derive
from synthlift.data.integrity import category, count_by_category, find_duplicates, pixel_hash
from synthlift.data.parallel import in_order
from synthlift.data.parting import Parting
from synthlift.data.wording import CONVERSIONS
from synthlift.spec.provenance import SHARES
from synthlift.store import digest
from synthlift.store.images import read_table
from synthlift.types import UInt8

OK, EXCLUDED = "ok", "excluded"
SMALLEST_ALIKE = 16
"""Images with fewer pixels a side all look alike; no near-duplicates are sought among them."""
_EXAMPLES = 5
_WHITES = (255, 1023, 4095, 16383)


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the inventory; the columns of ``inventory.parquet``.

    Attributes:
        id, label, group, path: as in :class:`~synthlift.data.contract.Item`.
        attributes: facts by name; "" where one is missing.
        part, mask: as in the item.
        sha256: of shape and decoded pixels; "" where it could not be decoded.
        width, height: pixels after EXIF orientation; 0 where it could not be decoded.
        channels: 1 = grey, 3 = colour, as decoded; 0 where it could not be decoded.
        mode, bits: as stored.
        status: "ok" or "excluded".
        reason: why excluded, ``"<category>: <detail>"``; "" when ok.
    """

    id: str
    label: str
    group: str
    path: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    channels: int = 0
    mode: str = ""
    bits: int = 0
    status: str = OK
    reason: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    mask: str = ""


_VALUES = attrgetter(*(column.name for column in fields(Row)))
"""All of a row, in the order of its columns."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A row with what only the summary needs."""

    row: Row
    peak: int
    conversions: tuple[str, ...]
    thumbnail: UInt8 | None = None
    derived: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What is wanted of every image besides its row.

    Attributes:
        max_pixels: larger images are refused.
        alike: whether near-duplicates join one group.
        derived: attributes that are read off the pixels.
        parting: what fixes parts, which copies must not cross.
        white: the 16-bit grey value that is white; None = by the largest value that occurs.
        shares: whether images that say between which classes they lie keep it as an attribute.
    """

    max_pixels: int
    alike: bool = False
    derived: tuple[str, ...] = ()
    parting: Parting = field(default_factory=Parting)
    white: int | None = None
    shares: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a stage's request."""
        parting = self.parting.as_json()
        return {
            "max_pixels": self.max_pixels,
            "alike": self.alike,
            "derived": list(self.derived),
            # What is not asked for stays out, so that it changes no key.
            **({"parting": parting} if parting else {}),
            **({} if self.white is None else {"white": self.white}),
            **({"shares": True} if self.shares else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, split: str | None = None) -> Asked:
        """Read back what :meth:`as_json` gave; ``split`` is where a published split lies."""
        parting = Parting.from_json(value.get("parting", {}), file=split)
        derived = tuple(value["derived"])
        told = value.get("white"), value.get("shares", False)
        return cls(value["max_pixels"], value["alike"], derived, parting, *told)


@dataclass(frozen=True)
class Inventory:
    """What a source holds.

    Attributes:
        rows: all, sorted by id.
        white: the 16-bit grey value that became white.
        conversions: how often which conversion was made.
        notes: what else was found, in words.
        peaks: largest value of each usable 16-bit grey image.
    """

    rows: tuple[Row, ...]
    white: int
    conversions: Mapping[str, int]
    notes: tuple[str, ...] = ()
    peaks: tuple[int, ...] = ()

    @property
    def clipped(self) -> int:
        """Usable images with values beyond white, which count as white."""
        return sum(peak > self.white for peak in self.peaks)


def take_inventory(
    source: Source,
    asked: Asked,
    *,
    progress: Callable[[int, int, str], None],
    keep: Callable[[UInt8 | None, str], None] = lambda *_: None,
) -> Inventory:
    """Decode every item once, in threads; results do not depend on their number.

    ``keep`` is given every image by id with its hash, None where it could not be decoded; what it
    was given holds as long as ``white`` is what it is without 16-bit images, 65535.

    Where 16-bit images use only part of the range (12-bit medical images), the smallest power of
    two that holds the largest value of *all* of them becomes white, so that none is dark and all
    stay comparable; unless ``asked.white`` says what it is.
    """
    first = asked.white or WHITE_16_BIT

    def read(item: Item, white: int = first) -> tuple[_Reading, UInt8 | None]:
        return _read(source, item, asked, white=white)

    items = sorted(source.items, key=lambda item: item.id)
    with without_pillow_warnings():
        readings = []
        for reading, pixels in in_order(read, items, progress):
            readings.append(reading)
            keep(pixels, reading.row.sha256)
        white = asked.white or _white([reading.peak for reading in readings])
        if white != first:
            readings = [
                read(item, white)[0] if reading.peak else reading
                for item, reading in zip(items, readings, strict=True)
            ]
    rows = _exclude_duplicates([reading.row for reading in readings], asked.parting)
    rows, notes = _with_derived(rows, readings, asked)
    if asked.alike:
        from synthlift.data.alike import join_alike

        rows, found = join_alike(rows, [reading.thumbnail for reading in readings], asked.parting)
        notes += found
    used = [r for r, row in zip(readings, rows, strict=True) if row.status == OK]
    made = Counter(name for reading in used for name in reading.conversions)
    counted = {name: made[name] for name in CONVERSIONS if made[name]}
    peaks = tuple(reading.peak for reading in used if reading.peak)
    return Inventory(tuple(rows), white, counted, tuple(notes), peaks)


def _with_derived(
    rows: list[Row], readings: Sequence[_Reading], asked: Asked
) -> tuple[list[Row], list[str]]:
    """The rows with attributes read off the pixels, in words."""
    used = [place for place, row in enumerate(rows) if row.status == OK]
    for name in asked.derived:
        words = bin_words([readings[place].derived[name] for place in used], name)
        for place, word in zip(used, words, strict=True):
            attributes = {**rows[place].attributes, name: word}
            rows[place] = replace(rows[place], attributes=attributes)
    listed = ", ".join(asked.derived)
    return rows, [f"read off the pixels: {listed}"] if asked.derived else []


def _read(source: Source, item: Item, asked: Asked, *, white: int) -> tuple[_Reading, UInt8 | None]:
    try:
        image = source.load(item.path, max_pixels=asked.max_pixels, white=white)
    except UnusableImageError as error:
        return _Reading(_row_of(item, status=EXCLUDED, reason=error.reason), 0, ()), None
    if asked.shares and image.shares:
        item = replace(item, attributes={**item.attributes, SHARES: image.shares})
    pixels = image.pixels
    height, width, channels = pixels.shape
    row = _row_of(
        item,
        sha256=pixel_hash(pixels),
        width=width,
        height=height,
        channels=channels,
        mode=image.mode,
        bits=image.bits,
    )
    small = None
    if asked.alike and min(height, width) >= SMALLEST_ALIKE:
        small = thumbnails(pixels[None])[0][..., None]
    derived = {name: derive(pixels, name) for name in asked.derived}
    return _Reading(row, image.peak, image.conversions, small, derived), pixels


def _row_of(item: Item, **found: Any) -> Row:
    return Row(
        item.id,
        item.label,
        item.group,
        item.path,
        attributes=item.attributes,
        part=item.part,
        mask=item.mask,
        **found,
    )


def _white(peaks: Sequence[int]) -> int:
    peak = max(peaks, default=0)
    return next((white for white in _WHITES if 0 < peak <= white), WHITE_16_BIT)


def _exclude_duplicates(rows: Sequence[Row], parting: Parting) -> list[Row]:
    found = [row for row in rows if row.status == OK]
    reasons = find_duplicates(
        [row.id for row in found],
        labels=[row.label for row in found],
        hashes=[row.sha256 for row in found],
        draws=parting.draws(found),
    )
    return [
        replace(row, status=EXCLUDED, reason=reasons[row.id]) if row.id in reasons else row
        for row in rows
    ]


# ── what the rows say ─────────────────────────────────────────────────────────────────────────


def usable(rows: Sequence[Row]) -> list[Row]:
    """The rows with status "ok", sorted by id."""
    return sorted((row for row in rows if row.status == OK), key=lambda row: row.id)


def attribute_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The rows' attributes as columns; "" where a row has none of that name."""
    names = sorted({name for row in rows for name in row.attributes})
    return {name: [row.attributes.get(name, "") for row in rows] for name in names}


def content_digest(rows: Sequence[Row]) -> str:
    """SHA-256 over every column of the usable rows.

    Where a folder lies and when its files were touched take no part; unused files neither.
    """
    return digest(list(map(_VALUES, usable(rows))))


DESCRIBED = ("usable", "classes", "groups", "digest", "grey", "grey_images", "size_quartiles")
"""The names of what :func:`describe` tells."""


def describe(rows: Sequence[Row]) -> dict[str, Any]:
    """What decisions need of the usable rows: counts, sizes and channels (JSON)."""
    used = usable(rows)
    sizes = {"width": [r.width for r in used], "height": [r.height for r in used]}
    return {
        "usable": len(used),
        "classes": dict(sorted(Counter(row.label for row in used).items())),
        "groups": len({row.group for row in used}),
        "digest": content_digest(used),
        "grey": bool(used) and all(row.channels == 1 for row in used),
        "grey_images": sum(row.channels == 1 for row in used),
        "size_quartiles": {
            name: [float(q) for q in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))] if used else []
            for name, values in sizes.items()
        },
    }


def describe_exclusions(rows: Sequence[Row]) -> dict[str, Any]:
    """How many images were read and left out, why, with the first few of each reason (JSON)."""
    out = [row for row in rows if row.status == EXCLUDED]
    counts = count_by_category([row.reason for row in out])
    examples: dict[str, list[str]] = {name: [] for name in counts}
    for row in out:
        named = examples[category(row.reason)]
        if len(named) < _EXAMPLES:
            named.append(f"{row.path} ({row.reason})")
    return {"read": len(rows), "excluded": counts, "excluded_examples": examples}


def conversion_notes(inventory: Inventory) -> list[str]:
    """One sentence a conversion, e.g. "12 palette images expanded to their colours"."""
    notes = [f"{n:,} {CONVERSIONS[name]}" for name, n in inventory.conversions.items()]
    if inventory.conversions.get("16-bit"):
        beyond = f" ({inventory.clipped:,} images go beyond it)" if inventory.clipped else ""
        notes.append(f"16-bit grey: value {inventory.white} became white{beyond}, 0 black")
    return [*notes, *inventory.notes]


# ── files ─────────────────────────────────────────────────────────────────────────────────────


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a parquet table; a full disk raises ``OSError``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    path.write_bytes(sink.getvalue())


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as ``inventory.parquet``, in the given order; attributes as JSON."""
    columns = {f.name: list(map(attrgetter(f.name), rows)) for f in fields(Row)}
    columns["attributes"] = [_as_text(row.attributes) for row in rows]
    write_table(path, columns)


def _as_text(attributes: Mapping[str, str]) -> str:
    return json.dumps(dict(attributes), sort_keys=True) if attributes else "{}"


def read_rows(path: Path) -> list[Row]:
    """Read what :func:`write_rows` wrote."""
    table = read_table(path, [f.name for f in fields(Row)])
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    known: dict[str, dict[str, str]] = {}
    for text in set(columns["attributes"]):
        known[text] = json.loads(text)
    columns["attributes"] = [known[text] for text in columns["attributes"]]
    return [Row(*values) for values in zip(*columns.values(), strict=True)]
