"""Generated images on disk: as they are while they are small, losslessly compressed above.

A packed file begins with the shape of its images and where each of them starts; then come PNG
streams, so that single images are read without the others. Beside the images of a study may lie
their originals, as a generator drew them, always packed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from synthlift.rows import PixelRows
from synthlift.store.pixel_files import FileRows
from synthlift.types import Int64, UInt8

PLAIN, PACKED, ORIGINALS = "pixels.npy", "pixels.packed", "originals.packed"
LARGE_IMAGE = 48 * 2**10
"""Images of more bytes than this are compressed: writing a smaller one costs more than it saves."""
LEVEL = 1
"""Of zlib: photographs shrink by a tenth more at level 6, in four times the time."""
_MAGIC = b"synthlift packed images 1\n"
_NUMBERS = np.dtype("<u8")


class Packing:
    """Compresses large images on a thread of its own, while what comes next is computed."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "packing")
        self._waiting: list[Future[list[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def add(self, pixels: UInt8, *, small: bool = False) -> None:
        """Take further images uint8 [n, H, W, C], which must not change until they are written.

        Args:
            pixels: the images.
            small: compress them even where they are small.
        """
        if len(pixels) and (small or pixels[0].nbytes > LARGE_IMAGE):
            self._waiting.append(self._thread.submit(lambda: [packed(one) for one in pixels]))

    def streams(self) -> list[bytes]:
        """What :func:`write_images` writes of all of them, once they are ready."""
        return [stream for one in self._waiting for stream in one.result()]

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(cancel_futures=error[0] is not None)


def write_images(folder: Path, pixels: UInt8, *, streams: Sequence[bytes] = ()) -> Path:
    """Write images uint8 [N, H, W, C] (C = 1 or 3) into a folder, the smaller way.

    Args:
        folder: that they are written into.
        pixels: the images.
        streams: what :class:`Packing` made of them, if it did.

    Returns:
        The file written.
    """
    if not len(pixels) or pixels[0].nbytes <= LARGE_IMAGE:
        np.save(folder / PLAIN, pixels)
        return folder / PLAIN
    streams = streams or [packed(image) for image in pixels]
    assert len(streams) == len(pixels)
    return write_streams(folder / PACKED, streams, shape=pixels.shape[1:])


def write_streams(path: Path, streams: Sequence[bytes], *, shape: tuple[int, ...]) -> Path:
    """Write what :class:`Packing` made of images of one shape [H, W, C] into a file; returns it."""
    first = len(_MAGIC) + (4 + len(streams) + 1) * _NUMBERS.itemsize
    starts = first + np.concatenate([[0], np.cumsum([len(stream) for stream in streams])])
    with path.open("wb") as file:
        file.write(_MAGIC)
        file.write(np.array((len(streams), *shape), _NUMBERS).tobytes())
        file.write(starts.astype(_NUMBERS).tobytes())
        for stream in streams:
            file.write(stream)
    return path


def stored_bytes(pixels: UInt8, originals: UInt8 | None = None) -> list[int]:
    """Bytes that each image of a batch takes.

    Args:
        pixels: uint8 [n, H, W, C].
        originals: as they were drawn, uint8 [n, h, w, 3]; None = they are not kept.
    """
    sizes = [one.nbytes if one.nbytes <= LARGE_IMAGE else len(packed(one)) for one in pixels]
    beside = [0] * len(sizes) if originals is None else [len(packed(one)) for one in originals]
    return [size + more for size, more in zip(sizes, beside, strict=True)]


def open_images(folder: Path) -> PixelRows:
    """The images that :func:`write_images` wrote into a folder; each is read when asked for."""
    path = folder / PACKED
    return PackedRows(path) if path.is_file() else FileRows(folder / PLAIN)


def open_originals(folder: Path) -> PixelRows | None:
    """Images of a folder as they were drawn, row by row; None = they are the images themselves."""
    path = folder / ORIGINALS
    return PackedRows(path) if path.is_file() else None


class PackedRows:
    """Images of one packed file, uint8 [N, H, W, C]; holds no image and no handle."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            assert file.read(len(_MAGIC)) == _MAGIC, f"'{path}' holds no packed images"
            self.shape = tuple(int(n) for n in _read(file, 4))
            self._starts: Int64 = _read(file, self.shape[0] + 1).astype(np.int64)

    def __getitem__(self, rows: NDArray[np.intp], /) -> UInt8:
        """Read the images at ``rows``, uint8 [n, H, W, C].

        Raises:
            IndexError: there is no such row.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= self.shape[0]):
            raise IndexError(f"a row outside the {self.shape[0]} of '{self._path.name}'")
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        with self._path.open("rb") as file:
            for place, row in enumerate(rows.tolist()):
                file.seek(int(self._starts[row]))
                stream = file.read(int(self._starts[row + 1] - self._starts[row]))
                images[place] = unpacked(stream).reshape(self.shape[1:])
        return images


class JoinedRows:
    """Chosen rows of several folders of images of equal shape, one choice after the other.

    Args:
        choices: folder, as :func:`write_images` fills it, and the rows wanted of it; a folder may
            come several times.
    """

    def __init__(self, choices: Sequence[tuple[Path, Sequence[int]]]) -> None:
        assert choices, "no folder names the shape of the images"
        counts = [len(rows) for _, rows in choices]
        names = list(dict.fromkeys(path for path, _ in choices))
        number = {path: i for i, path in enumerate(names)}
        self._folder = np.repeat([number[path] for path, _ in choices], counts)
        self._row = np.concatenate([np.asarray(rows, np.intp) for _, rows in choices])
        self._paths = names
        # Not mapped, however small: thousands of maps would use up the process's file handles.
        self._opened: dict[int, PixelRows] = {}
        self.shape: tuple[int, ...] = (len(self._row), *self._open(0).shape[1:])

    def __getitem__(self, rows: NDArray[np.intp], /) -> UInt8:
        """Read the images at ``rows``, uint8 [n, H, W, C]."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        folder = self._folder[rows]
        order = np.argsort(folder, kind="stable")
        ends = np.flatnonzero(np.diff(folder[order])) + 1
        for own in np.split(order, ends) if len(order) else ():
            images[own] = self._open(int(folder[own[0]]))[self._row[rows[own]]]
        return images

    def _open(self, number: int) -> PixelRows:
        if number not in self._opened:
            self._opened[number] = open_images(self._paths[number])
        return self._opened[number]


def packed(image: UInt8) -> bytes:
    """An image uint8 [H, W, C], losslessly compressed."""
    from PIL import Image

    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    stream = io.BytesIO()
    picture.save(stream, "png", compress_level=LEVEL)
    return stream.getvalue()


def unpacked(stream: bytes) -> UInt8:
    """What :func:`packed` made of an image, uint8 [H, W, C]."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(stream)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _read(file: io.BufferedReader, count: int) -> NDArray[np.uint64]:
    return np.frombuffer(file.read(count * _NUMBERS.itemsize), _NUMBERS)
