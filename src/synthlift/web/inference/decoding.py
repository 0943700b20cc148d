"""Decoding pictures that came from elsewhere, in the process that is there for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from synthlift.web.pictures import INLINE

if TYPE_CHECKING:
    from synthlift.types import UInt8

READING, READ = "reading", "read"
"""What is told before a file is read, and after: meanwhile no library can be asked to hurry up."""
Tell = Callable[[str], None]


def decode_picture(picture: str, *, white: int, max_pixels: int, tell: Tell) -> UInt8 | str:
    """The pixels of a file whose name says nothing, or of an inline picture; or what is wrong.

    Args:
        picture: a file's place, or the picture itself.
        white, max_pixels: see :func:`synthlift.data.decode.decode_stream`.
        tell: hears ``READING`` and ``READ``; not of inline pictures, which are too small to take
            long and so many that each word counts.
    """
    if picture.startswith(INLINE):
        return _decoded(picture, white=white, max_pixels=max_pixels)
    tell(READING)
    try:
        return _decoded(picture, white=white, max_pixels=max_pixels)
    finally:
        tell(READ)


def _decoded(picture: str, *, white: int, max_pixels: int) -> UInt8 | str:
    from synthlift.data.decode import UnusableImageError, decode_stream

    try:
        with _stream_of(picture) as stream:
            return decode_stream(stream, max_pixels=max_pixels, white=white).pixels
    except UnusableImageError as error:
        return error.reason


def _stream_of(picture: str) -> BinaryIO:
    if picture.startswith(INLINE):
        return io.BytesIO(base64.b64decode(picture.removeprefix(INLINE)))
    return Path(picture).open("rb")
