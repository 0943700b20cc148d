"""Opening a source: the reader that answers to it, the table beside it, and the first rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from synthlift.data.attributes import described
from synthlift.data.contract import ReaderDescriptor, Source, Where
from synthlift.data.formats import require_packages
from synthlift.data.grouping import STEM, stem_groups
from synthlift.data.joining import joined
from synthlift.data.masks import with_masks
from synthlift.data.overlay import Overlay
from synthlift.data.readers.listing import LAYOUT
from synthlift.errors import InputError, nearest_name
from synthlift.registry import available
from synthlift.store import digest

MINIMUM_PER_CLASS = 3
IMAGES, PROVENANCE = "images", "provenance.csv"
"""What ``synthlift generate`` writes: images, and a table of them."""


def open_source(where: Where, *, strict: bool = True, few: bool = False) -> Source:
    """Open the images that a study file names.

    Args:
        where: what to open.
        strict: refuse classes with fewer than 3 images, which ``inspect`` reports instead, and
            masks whose header tells another size than their image's.
        few: take such classes all the same, where nothing is tested.

    Raises:
        InputError: nothing there, not readable, or not laid out as described.
    """
    if where.group == STEM:
        plain = open_source(replace(where, group=None), strict=strict, few=few)
        return _by_stem(plain, where)
    where = _generated(where)
    reader = reader_of(where)
    if reader.folders and where.metadata is None:
        _refuse_columns(where)
    found: Source = reader.build(reader.config()).open(where)
    require_packages(item.path for item in found.items)
    if where.masks is not None and where.beside(where.masks).is_dir():
        # First, since masks among the images are none of those that the table must know.
        found = with_masks(found, where, check=strict)
    if where.metadata is not None:
        found = joined(found, where)
    found = described(with_masks(found, where, check=strict), where)
    if where.classes:
        found = _renamed(found, where)
    if strict and where.labelled and not few:
        require_three(Counter(item.label for item in found.items), unit="images")
    return found


def _generated(where: Where) -> Where:
    """The table of a folder that ``synthlift generate`` wrote, in place of the folder."""
    table = where.path / PROVENANCE
    try:
        written = table.is_file() and (where.path / IMAGES).is_dir()
    except OSError:  # The reader says what is wrong with the folder.
        written = False
    return replace(where, source=str(table)) if written and where.metadata is None else where


def _renamed(source: Source, where: Where) -> Source:
    """The same images under other class names, without those of classes that become ""."""
    items = [
        replace(item, label=where.classes.get(item.label, item.label))
        for item in source.items
        if where.classes.get(item.label, item.label)
    ]
    mapped = digest([source.fingerprint, sorted(where.classes.items())])
    return Overlay(source, items=items, fingerprint=mapped)


def _by_stem(source: Source, where: Where) -> Source:
    """The same images, grouped by their names."""
    groups = stem_groups([item.id for item in source.items])
    items = [replace(item, group=group) for item, group in zip(source.items, groups, strict=True)]
    note = f"images grouped by their names: {len(set(groups)):,} groups of {len(groups):,} images"
    found = Overlay(
        source, items=items, fingerprint=digest([source.fingerprint, STEM]), notes=[note]
    )
    found.where = where
    return found


def readers() -> list[ReaderDescriptor]:
    """All registered readers."""
    return [found for found in available("readers").values() if isinstance(found, ReaderDescriptor)]


def reader_of(where: Where) -> ReaderDescriptor:
    """The registered reader that answers to a source: by scheme, by ending, or a folder's.

    Raises:
        InputError: none does.
    """
    known = readers()
    scheme, _, name = where.source.partition(":")
    # Two letters at least: a drive letter of Windows is no scheme.
    named = re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]+", scheme) and name
    if named and not where.path.exists():
        schemes = {s: found for found in known for s in found.schemes}
        if scheme not in schemes:
            raise _unknown(where.source, nearest_name(scheme, schemes), schemes)
        return schemes[scheme]
    if not where.path.is_dir():
        suffixes = {s: found for found in known for s in found.suffixes}
        suffix = where.path.suffix.lower()
        if suffix in suffixes:
            return suffixes[suffix]
    # A folder, or nothing at all: the folder's reader says what is wrong with it.
    return next(found for found in known if found.folders)


def _refuse_columns(where: Where) -> None:
    """Refuse columns where there is no table: a group that is not kept would be a leak."""
    named = {"label": where.label, "group": where.group}
    for key, name in {**named, "attributes": next(iter(where.attributes), None)}.items():
        if name is not None:
            raise InputError(
                f"'{key}' names the column '{name}', but '{where.source}' is a folder without "
                "a table",
                rule=f"'{key}' names a column of the table that 'metadata' gives",
                remedy=f"name the table (`--metadata table.csv`), or remove data.{key}",
            )


def _unknown(source: str, nearest: str, schemes: Mapping[str, object]) -> InputError:
    return InputError(
        f"unknown source '{source}'{nearest}",
        rule=f"a source is a folder, a file, or begins with one of: {', '.join(sorted(schemes))}",
        remedy="give a folder with " + LAYOUT,
    )


def require_three(counts: Mapping[str, int], *, unit: str) -> None:
    """Refuse classes that cannot be in train, validation and test.

    Args:
        counts: number of ``unit`` by class.
        unit: "images" or "groups", for the message.

    Raises:
        InputError: a class has fewer than 3.
    """
    small = {name: n for name, n in sorted(counts.items()) if n < MINIMUM_PER_CLASS}
    if small:
        listed = ", ".join(f"'{name}' has {n}" for name, n in list(small.items())[:5])
        more = f" and {len(small) - 5} more classes" if len(small) > 5 else ""
        raise InputError(
            f"too few usable {unit}: {listed}{more}",
            rule=f"a class needs at least {MINIMUM_PER_CLASS} {unit}: one each to train on, to "
            "choose with and to test on",
            remedy="add images to the class, merge it with another, or move its folder elsewhere; "
            "`synthlift inspect` lists what was left out and why",
        )
