"""Small images kept decoded beside the inventory, so that they are decoded once.

The file holds uint8 [H, W, C] of one image after the other, by id, with nothing between, behind the
header of a NumPy array: of all images as [N, H, W, C] where every image of the source is there and
has one shape, else of a flat array. Where one lies follows from the sizes in the table. Large
images stay compressed, as do all for which there is no more room, and are decoded again when they
are brought to their size.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from synthlift.data.integrity import pixel_hash
from synthlift.store import Artefact
from synthlift.store.images import INVENTORY, read_table
from synthlift.store.store import NO_HARD_LINKS
from synthlift.types import UInt8

KEPT = "decoded.npy"
LARGEST_IMAGE = 2**18
"""Values of the largest image that is kept; 295 × 295 pixels in colour."""
MOST_BYTES = 2**29
_WRITTEN_AT_ONCE = 2**20
_HEADER_BYTES = 128
_HASH_OF_IMAGES = "images-sha256:"


class Keeper:
    """Writes the file while images are read; without a small image there is none.

    Args:
        folder: receives the file.
        count: images that will come, None included.
    """

    def __init__(self, folder: Path, *, count: int) -> None:
        self._path, self._count = folder / KEPT, count
        self._end = self._wanted = 0
        self._shape: tuple[int, ...] = ()
        self._hash = hashlib.sha256()
        self._stream: BinaryIO | None = None

    def add(self, pixels: UInt8 | None, digest: str) -> None:
        """The next image by id with its :func:`pixel_hash`; None where it could not be decoded."""
        if pixels is None or pixels.size > LARGEST_IMAGE:
            return
        self._wanted += pixels.size
        if self._wanted > MOST_BYTES:
            return
        if self._stream is None:
            self._stream = self._path.open("wb", buffering=_WRITTEN_AT_ONCE)
            self._shape = pixels.shape
            self._stream.write(_header((self._count, *pixels.shape)))
        self._end = self._wanted
        self._stream.write(np.ascontiguousarray(pixels).data)
        self._hash.update(bytes.fromhex(digest))
        if pixels.shape != self._shape:
            self._shape = ()

    @property
    def digests(self) -> dict[str, str]:
        """As :func:`hash_images` by file name, as far as it is known already."""
        return {KEPT: _HASH_OF_IMAGES + self._hash.hexdigest()} if self._whole else {}

    @property
    def _whole(self) -> bool:
        """Whether every image is there and has one shape, as the header says."""
        return bool(self._shape) and self._end == self._count * int(np.prod(self._shape))

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            if not self._whole:
                self._stream.seek(0)
                self._stream.write(_header((self._end,)))
            self._stream.close()

    def discard(self) -> None:
        """Delete what was written."""
        self._path.unlink(missing_ok=True)
        self._shape = ()


def hash_images(path: Path) -> str:
    """What is recorded for a file of images of one shape, ``images-sha256:`` and 64 digits.

    The SHA-256 over the binary :func:`pixel_hash` of each image: the images are hashed when they
    are read, and hashing the file as well would take as long again.
    """
    whole = hashlib.sha256()
    for image in np.load(path, mmap_mode="r"):
        whole.update(bytes.fromhex(pixel_hash(image)))
    return _HASH_OF_IMAGES + whole.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    found = stream.getvalue()
    assert len(found) == _HEADER_BYTES, f"a header of {len(found)} bytes"
    return found


def link_kept(read: Artefact, target: Path, *, shape: tuple[int, ...]) -> dict[str, str]:
    """Make ``target`` what a reading kept, where that is all its images, each of one shape.

    Images that have their size already are thus neither copied nor hashed again.

    Args:
        read: the reading.
        target: the file; where there are no hard links, a copy.
        shape: H, W, C of an image.

    Returns:
        The file's :func:`hash_images` by its name; empty where the reading holds something else.
    """
    count = read.summary["usable"]
    if KEPT not in read.record["files"] or count != read.summary["read"]:
        return {}
    if np.load(read.path(KEPT), mmap_mode="r").shape != (count, *shape):
        return {}
    return link_file(read, KEPT, target)


def link_file(read: Artefact, name: str, target: Path) -> dict[str, str]:
    """Make ``target`` the same file as ``name`` of an artefact, or a copy without hard links.

    Returns:
        Its recorded hash by the target's name, so that it is not hashed again.
    """
    try:
        os.link(read.path(name), target)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        shutil.copyfile(read.path(name), target)
    return {target.name: read.record["files"][name]}


def kept_images(read: Artefact) -> Mapping[str, UInt8]:
    """The images of a reading that were kept, by id, uint8 [H, W, C]; they are mapped."""
    if KEPT not in read.record["files"]:
        return {}
    table = read_table(read.path(INVENTORY), ("id", "width", "height", "channels"))
    ids, *sides = (table.column(name).to_pylist() for name in table.column_names)
    sizes = np.prod(np.array(sides, np.int64), axis=0)
    small = (sizes > 0) & (sizes <= LARGEST_IMAGE)
    ends = np.cumsum(np.where(small, sizes, 0))
    starts = ends - sizes
    data: UInt8 = np.asarray(np.load(read.path(KEPT), mmap_mode="r")).reshape(-1)
    rows = np.flatnonzero(small & (ends <= MOST_BYTES))
    if not len(rows) or len(data) != ends[rows[-1]]:
        return {}  # written by a version with other limits
    widths, heights, channels = sides
    return {
        ids[row]: data[start:end].reshape(heights[row], widths[row], channels[row])
        for row, start, end in zip(
            rows.tolist(), starts[rows].tolist(), ends[rows].tolist(), strict=True
        )
    }
