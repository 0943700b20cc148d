"""Arrays inside an ``.npz`` file: their headers, and their rows without the whole in memory.

Nothing is ever unpickled: headers are parsed as literals, and arrays of objects are refused.
"""

from __future__ import annotations

import math
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from synthlift.data.decode import UnusableImageError
from synthlift.errors import InputError

_BLOCK_BYTES = 16 * 2**20
_BLOCKS_HELD = 8
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Member:
    """One array: its name, shape and dtype, and where its data begin in the member's bytes."""

    name: str
    file: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row along the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


def list_members(path: Path, given: str) -> dict[str, Member]:
    """All arrays by name, from their headers.

    Raises:
        InputError: no such file, no ``.npz``, damaged, or an array of pickled objects.
    """
    with _refusing(given), zipfile.ZipFile(path) as archive:
        found = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as stream:
                member = _member(stream, name, info.filename)
            if member is None or member.dtype.hasobject:
                raise _pickled(given, name)
            expected = member.offset + math.prod(member.shape) * member.dtype.itemsize
            if info.file_size != expected:
                raise ValueError("the array is not as long as its header says")
            found[name] = member
        return found


def read_whole(path: Path, member: Member, given: str) -> np.ndarray:
    """One small array, such as the labels."""
    with _refusing(given), zipfile.ZipFile(path) as archive, archive.open(member.file) as stream:
        stream.read(member.offset)
        values: np.ndarray = np.frombuffer(stream.read(), member.dtype).reshape(member.shape)
        return values


class Rows:
    """Rows of the arrays of one file, in bounded memory and from any thread.

    Data are decompressed block by block from front to end, and the blocks used last are kept:
    reading in order decompresses once, going back beyond them starts the array anew.
    """

    def __init__(self, path: Path, *, block_bytes: int = _BLOCK_BYTES) -> None:
        self._path = path
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._open: tuple[str, int, zipfile.ZipFile, IO[bytes]] | None = None

    def row(self, member: Member, row: int) -> np.ndarray:
        """Row ``row`` of an array, not to be written to.

        Raises:
            UnusableImageError: damaged.
        """
        number, within = divmod(row, self._per_block(member))
        found: np.ndarray = self._block(member, number)[within]
        return found

    def blocks(self, member: Member) -> Iterator[np.ndarray]:
        """All rows, block by block; raises as :meth:`row`."""
        for start in range(0, member.shape[0], self._per_block(member)):
            yield self._block(member, start // self._per_block(member))

    def _per_block(self, member: Member) -> int:
        return max(1, self._block_bytes // max(1, member.row_bytes))

    def _block(self, member: Member, number: int) -> np.ndarray:
        key = (member.file, number)
        with self._lock:
            if key not in self._blocks:
                try:
                    self._blocks[key] = self._decompress(member, number)
                except _DAMAGED as error:
                    self._close()
                    raise UnusableImageError("unreadable", "damaged image data") from error
                if len(self._blocks) > _BLOCKS_HELD:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(key)
            return self._blocks[key]

    def _decompress(self, member: Member, number: int) -> np.ndarray:
        stream = self._stream_before(member, number)
        per_block = self._per_block(member)
        rows = min(per_block, member.shape[0] - number * per_block)
        stream.seek(member.offset + number * per_block * member.row_bytes)
        data = stream.read(rows * member.row_bytes)
        return np.frombuffer(data, member.dtype).reshape(rows, *member.shape[1:])

    def _stream_before(self, member: Member, number: int) -> IO[bytes]:
        """The stream of an array, at or before a block."""
        if self._open is not None:
            file, position, archive, stream = self._open
            if file == member.file and position <= number:
                self._open = (file, number + 1, archive, stream)
                return stream
            self._close()
        archive = zipfile.ZipFile(self._path)
        stream = archive.open(member.file)
        self._open = (member.file, number + 1, archive, stream)
        return stream

    def _close(self) -> None:
        if self._open is not None:
            self._open[3].close()
            self._open[2].close()
            self._open = None

    def __del__(self) -> None:
        self._close()


def _member(stream: IO[bytes], name: str, file: str) -> Member | None:
    """The header of one member; None where it is no array."""
    try:
        version = np.lib.format.read_magic(stream)
    except ValueError:
        return None
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError("an array format that no images need")
    shape, fortran_order, dtype = readers[version](stream)
    if fortran_order and len(shape) > 1:
        raise InputError(
            f"the array '{name}' is stored column by column (Fortran order)",
            rule="arrays are stored row by row, so that one image can be read without the others",
            remedy=f"save it again: np.savez(..., {name}=np.ascontiguousarray({name}))",
        )
    return Member(name, file, shape, dtype, stream.tell())


@contextmanager
def _refusing(given: str) -> Iterator[None]:
    rule = "an .npz file is a zip archive of NumPy arrays, as np.savez writes it"
    try:
        yield
    except FileNotFoundError:
        raise InputError(
            f"there is no file '{given}'", rule=rule, remedy="check the spelling"
        ) from None
    except PermissionError:
        raise InputError(
            f"no permission to read '{given}'", rule=rule, remedy=f"chmod u+r '{given}'"
        ) from None
    except _DAMAGED as error:
        raise InputError(
            f"'{given}' cannot be read as an .npz file: {str(error)[:200]}",
            rule=rule,
            remedy="save or download it again",
        ) from error


def _pickled(given: str, name: str) -> InputError:
    return InputError(
        f"'{name}' in '{given}' holds pickled Python objects",
        rule="pickled objects can run any program when they are read, so they are never opened",
        remedy="save plain arrays: images as uint8, labels as numbers or text of fixed length "
        "(np.asarray(labels).astype(str))",
    )
