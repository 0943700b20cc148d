"""Decoding pictures that came from elsewhere, in the process that is there for it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from synthlift.web.pictures import INLINE

if TYPE_CHECKING:
    from synthlift.types import UInt8


def decode_picture(picture: str, *, white: int, max_pixels: int) -> UInt8 | str:
    """The pixels of a file whose name says nothing, or of an inline picture; or what is wrong."""
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
