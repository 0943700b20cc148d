"""Opening a source: the reader that answers to it, the table beside it, and the first rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from synthlift.data.contract import ReaderDescriptor, Source, Where
from synthlift.data.readers.listing import LAYOUT
from synthlift.errors import InputError, nearest_name
from synthlift.registry import available

MINIMUM_PER_CLASS = 3


def open_source(where: Where, *, strict: bool = True) -> Source:
    """Open the images that a study file names.

    Args:
        where: what to open.
        strict: refuse classes with fewer than 3 images; ``inspect`` reports them instead.

    Raises:
        InputError: nothing there, not readable, or not laid out as described.
    """
    reader = reader_of(where)
    found: Source = reader.build(reader.config()).open(where)
    if strict and where.labelled:
        require_three(Counter(item.label for item in found.items), unit="images")
    return found


def reader_of(where: Where) -> ReaderDescriptor:
    """The registered reader that answers to a source: by scheme, by ending, or a folder's.

    Raises:
        InputError: none does.
    """
    readers = {
        kind: found
        for kind, found in available("readers").items()
        if isinstance(found, ReaderDescriptor)
    }
    scheme, _, name = where.source.partition(":")
    # Two letters at least: a drive letter of Windows is no scheme.
    named = re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]+", scheme) and name
    if named and not where.path.exists():
        schemes = {s: found for found in readers.values() for s in found.schemes}
        if scheme not in schemes:
            raise _unknown(where.source, nearest_name(scheme, schemes), schemes)
        return schemes[scheme]
    if not where.path.is_dir():
        suffixes = {s: found for found in readers.values() for s in found.suffixes}
        suffix = where.path.suffix.lower()
        if suffix in suffixes:
            return suffixes[suffix]
    # A folder, or nothing at all: the folder's reader says what is wrong with it.
    return next(found for found in readers.values() if found.folders)


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
