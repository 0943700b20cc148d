"""Image formats that Pillow does not read: one module each, with ``decode`` and ``size``."""

from __future__ import annotations

import importlib
import importlib.util
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from synthlift.errors import InputError, installing


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: for people.
        extensions: endings of its files, lower case.
        mark, offset: bytes that its files carry, and where.
        module: offers ``decode(stream, *, max_pixels, white) -> Decoded`` and
            ``size(stream) -> (width, height)``, the latter from the header alone.
        package, extra: what must be installed, and the extra of Synthlift that brings it.
    """

    name: str
    extensions: tuple[str, ...]
    mark: bytes
    offset: int
    module: str
    package: str
    extra: str

    def function(self, name: str) -> Callable[..., Any]:
        """``decode`` or ``size`` of the format's module."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), name)
        return found


FORMATS = (
    Format(
        name="DICOM",
        extensions=(".dcm", ".dicom"),
        mark=b"DICM",
        offset=128,
        module="synthlift.data.formats.dicom",
        package="pydicom",
        extra="dicom",
    ),
)


def format_of(stream: BinaryIO, name: str = "") -> Format | None:
    """The format by its mark, else by the file's ending; the stream is left at its start."""
    for other in FORMATS:
        stream.seek(other.offset)
        marked = stream.read(len(other.mark)) == other.mark
        stream.seek(0)
        if marked:
            return other
    return _by_ending(name)


def carries_mark(path: Path) -> bool:
    """Whether a file whose name has no ending that says something begins as one of the formats.

    Scanners name their files by number ("IM0001", "1.2.840.10008.5"), so digits count as none.
    """
    ending = path.suffix[1:]
    if ending and not ending.isdigit():
        return False
    try:
        with path.open("rb") as stream:
            return format_of(stream) is not None
    except OSError:
        return False


def require_packages(names: Iterable[str]) -> None:
    """Refuse files, by their endings, whose format needs a package that is not installed.

    Raises:
        InputError: with the command that installs it.
    """
    endings = tuple(ending for other in FORMATS for ending in other.extensions)
    found = Counter(_by_ending(name) for name in names if name.lower().endswith(endings))
    for other in FORMATS:
        count = found[other]
        if count and importlib.util.find_spec(other.package) is None:
            raise InputError(
                f"{count:,} {other.name} files, and the package '{other.package}' is not installed",
                rule=f"{other.name} files are read by '{other.package}', which is optional",
                remedy=installing(other.extra),
            )


def _by_ending(name: str) -> Format | None:
    ending = posixpath.splitext(name)[1].lower()
    return next((other for other in FORMATS if ending in other.extensions), None)
