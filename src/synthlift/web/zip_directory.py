"""How much a zip says that it holds, read before the library ``zipfile`` is let at it.

``zipfile`` reads the whole directory of a zip, and makes an object of each entry, before anybody
can count them: half a gibibyte of directory becomes many gibibytes. Here the directory is found as
``zipfile`` finds it and its entries are counted by their headers alone. Zips that could be
read in two ways, of which ``zipfile`` might choose the other, are refused.
"""

from __future__ import annotations

import os
import struct
from typing import IO, NamedTuple

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_FORM, _END_64_FORM = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64_FORM = struct.Struct("<4sLQL")
_ENTRY, _ENTRY_SIZE = b"PK\x01\x02", 46
_ENTRY_LENGTHS = struct.Struct("<3H")
"""Of the name, the extra field and the comment, behind the first 28 bytes of an entry."""
_LONGEST_COMMENT = 2**16
ENTRY_BYTES = 512
"""What an entry of the directory may take on average; with a usual name it takes about 100."""


class Directory(NamedTuple):
    """The directory of a zip.

    Attributes:
        start: where it begins.
        size: in bytes.
        declared: entries, as the end of the zip says.
    """

    start: int
    size: int
    declared: int


def find_directory(stream: IO[bytes]) -> Directory | None:
    """Where the directory is; None when this is no zip, or one that is not plain to read."""
    stream.seek(0, os.SEEK_END)
    place = _end_of(stream, stream.tell())
    if place is None:
        return None
    stream.seek(place)
    *_, declared, size, _offset, _comment = _END_FORM.unpack(stream.read(_END_FORM.size))
    before = place - _LOCATOR_64_FORM.size - _END_64_FORM.size
    if before >= 0:
        stream.seek(before)
        large = stream.read(_END_64_FORM.size)
        locator = stream.read(_LOCATOR_64_FORM.size)
        if locator.startswith(_LOCATOR_64):
            if not large.startswith(_END_64) or _LOCATOR_64_FORM.unpack(locator)[2] != before:
                return None
            *_, declared, size, _offset = _END_64_FORM.unpack(large)
            place = before
    return Directory(place - size, size, declared) if size <= place else None


def _end_of(stream: IO[bytes], end: int) -> int | None:
    """Where the record begins that ends a zip: the last one, mostly without a comment."""
    tail_size = min(end, _LONGEST_COMMENT + _END_FORM.size)
    stream.seek(end - tail_size)
    tail = stream.read(tail_size)
    without_comment = len(tail) - _END_FORM.size
    if without_comment < 0:
        return None
    if tail.startswith(_END, without_comment) and tail.endswith(b"\0\0"):
        return end - _END_FORM.size
    found = tail.rfind(_END)
    return None if found < 0 or found > without_comment else end - tail_size + found


def count_entries(stream: IO[bytes], directory: Directory, *, most: int) -> int:
    """Entries that the directory truly holds, files and folders; counted up to one above ``most``.

    It is read a block at a time.
    """
    stream.seek(directory.start)
    left, count = directory.size, 0
    while left >= _ENTRY_SIZE and count <= most:
        head = stream.read(_ENTRY_SIZE)
        if len(head) < _ENTRY_SIZE or not head.startswith(_ENTRY):
            break
        rest = sum(_ENTRY_LENGTHS.unpack_from(head, 28))
        stream.seek(rest, os.SEEK_CUR)
        left -= _ENTRY_SIZE + rest
        count += 1
    return count
