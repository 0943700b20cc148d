"""Decoding one image safely – a file, a stream, an array – and saying what was done to it.

Whatever is stored, the result is uint8 with one channel (grey) or three (RGB):

- more pixels than ``max_pixels``: refused from the header, before anything is allocated;
- EXIF orientation: applied;
- 16-bit grey: ``round(255 · value / white)``, values above ``white`` count as ``white``;
- 16-bit colour: the upper 8 bits;
- transparency: composited on white, in a mask background;
- palette, CMYK, YCbCr, HSV: converted to RGB (colour profiles are not applied);
- 1 bit: black and white;
- animations and several pages: the first picture;
- colour files whose three channels are equal: grey;
- 32-bit integers and floats: refused, since no value in them is known to be white;
- DICOM: see :mod:`synthlift.data.formats.dicom`.

Of a file's header nothing is kept but the pixel format, and whether a PNG says that Synthlift
generated it, and of which classes: no owner, place, name or date.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from synthlift.data.formats import FORMATS, format_of
from synthlift.data.plain_jpeg import ENDINGS, START, decode_plain, read_plain
from synthlift.data.turning import orientation_of, size_as_shown, turned
from synthlift.data.wording import CONVERSIONS
from synthlift.errors import InputError
from synthlift.spec.provenance import ORIGIN, PREFIX, SYNTHETIC, told_shares
from synthlift.types import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats by name, so that none is tried that runs other programs (EPS) or has no raster of its own.
_FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
}
EXTENSIONS = frozenset(
    extension
    for names in (*_FORMATS.values(), *(other.extensions for other in FORMATS))
    for extension in names
)
WHITE_16_BIT = 65535
_PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 262, 0
_PILLOW_LIMIT = 178_956_970  # beyond it Pillow itself takes a header for a bomb
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")

GENERATED = "generated"
"""Said of an image whose file tells that Synthlift made it."""


class UnusableImageError(Exception):
    """A file that cannot be used; ``reason`` is ``"<category>: <detail>"``."""

    def __init__(self, category: str, detail: str) -> None:
        self.reason = f"{category}: {detail}"
        super().__init__(self.reason)


@dataclass(frozen=True)
class Decoded:
    """One decoded image.

    Attributes:
        pixels: uint8 [H, W, C] in [0, 255], C = 1 (grey) or 3 (RGB), orientation applied.
        mode: Pillow's name of the stored pixel format ("L", "RGB", "P", "I;16", "CMYK" …), or
            DICOM's ("MONOCHROME2" …).
        bits: stored bits per channel: 1, 8 or 16.
        peak: largest stored value of a 16-bit grey image without a window, else 0.
        conversions: keys of :data:`~synthlift.data.wording.CONVERSIONS` that apply.
        shares: what :func:`told_shares` finds in the file.
    """

    pixels: UInt8
    mode: str
    bits: int
    peak: int = 0
    conversions: tuple[str, ...] = ()
    shares: str = ""


def read_image(path: Path, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
    """Decode one file for a user who named it.

    Args:
        path: the file.
        max_pixels: larger images are refused from their header.
        white: the 16-bit grey value that becomes 255.

    Raises:
        InputError: no such file, no image, truncated, too large, or unsupported pixels.
    """
    try:
        with without_pillow_warnings():
            return decode_file(path, max_pixels=max_pixels, white=white)
    except UnusableImageError as error:
        raise InputError(
            f"'{path}' cannot be used – {error.reason}",
            rule="an image is a complete PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file with at most "
            f"{max_pixels:,} pixels",
            remedy="give another file, or save it again from an image program",
        ) from error


def decode_file(
    path: Path | str, *, max_pixels: int, white: int = WHITE_16_BIT, mask: bool = False
) -> Decoded:
    """Decode one file; see the module's text for what is converted how.

    Args:
        path: the file.
        max_pixels: larger images are refused from their header.
        white: the 16-bit grey value that becomes 255.
        mask: transparency is background, as in a mask, instead of white.

    Raises:
        UnusableImageError: with a reason in the categories unreadable, truncated, too large and
            unsupported.
    """
    name = os.fspath(path)
    if name.endswith(ENDINGS):
        # Of a small picture, opening and guarding a stream would take most of the time.
        plain = read_plain(name, max_pixels=max_pixels)
        if plain is not None:
            return _finish_plain(plain)
    path = Path(path)
    with _opened(path) as stream:
        return decode_stream(stream, name=path.name, max_pixels=max_pixels, white=white, mask=mask)


def decode_stream(
    stream: BinaryIO,
    *,
    name: str = "",
    max_pixels: int,
    white: int = WHITE_16_BIT,
    mask: bool = False,
) -> Decoded:
    """As :func:`decode_file`, from a seekable stream; ``name`` may tell the format by its ending.

    Raises:
        UnusableImageError: as :func:`decode_file`.
    """
    with _reasons(max_pixels):
        other = format_of(stream, name)
        if other is None:
            return _decode(stream, max_pixels=max_pixels, white=white, mask=mask)
        found: Decoded = other.function("decode")(stream, max_pixels=max_pixels, white=white)
        return found


def decode_array(values: np.ndarray, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
    """One image of an array: uint8 or uint16, [H, W] or [H, W, C], C = 1 (grey) or 3 (RGB).

    Raises:
        UnusableImageError: more than ``max_pixels``.
    """
    assert values.dtype in (np.uint8, np.uint16), values.dtype
    if values.shape[0] * values.shape[1] > max_pixels:
        raise _too_large(max_pixels)
    colour = values.ndim == 3 and values.shape[2] == 3
    if values.dtype == np.uint8:
        return finish(values, mode="RGB" if colour else "L", bits=8)
    if colour:
        pixels = (values >> 8).astype(np.uint8)
        return finish(pixels, mode="RGB", bits=16, done={"16-bit colour"})
    pixels, peak = scale_16_bit(values, white=white), int(values.max())
    return finish(pixels, mode="I;16", bits=16, peak=peak, done={"16-bit"})


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels after EXIF orientation, from the header alone.

    Raises:
        UnusableImageError: as :func:`decode_file`.
    """
    with _opened(path) as stream, _reasons(_PILLOW_LIMIT):
        other = format_of(stream, path.name)
        if other is not None:
            width, height = other.function("size")(stream)
            return width, height
        from PIL import Image

        with Image.open(stream, formats=_known_formats()) as image:
            return size_as_shown(image)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            raise UnusableImageError("unreadable", "a folder or no such file")
        with path.open("rb") as stream:
            yield stream
    except PermissionError:
        raise UnusableImageError("unreadable", "no permission") from None
    except OSError:
        raise UnusableImageError("unreadable", "damaged image data") from None


@contextmanager
def _reasons(max_pixels: int) -> Iterator[None]:
    """Turn whatever a decoder raises into a reason."""
    try:
        yield
    except (UnusableImageError, MemoryError):
        raise
    except Exception as error:  # Decoders answer damaged bytes with almost any exception.
        raise _unusable(error, max_pixels=max_pixels) from error


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Silence decoders on large images and odd headers: what matters becomes a reason instead.

    To be entered once around a pool of threads: warning filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\..*")
        yield


def _unusable(error: Exception, *, max_pixels: int) -> UnusableImageError:
    from PIL import Image, UnidentifiedImageError

    text = str(error).lower()
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(max_pixels)
    if isinstance(error, UnidentifiedImageError):
        return UnusableImageError("unreadable", "not an image in a known format")
    if "truncated" in text or isinstance(error, EOFError):
        return UnusableImageError("truncated", "the file ends before the image does")
    return UnusableImageError("unreadable", "damaged image data")


def _too_large(max_pixels: int) -> UnusableImageError:
    return UnusableImageError("too large", f"more than {max_pixels:,} pixels")


def _decode(stream: BinaryIO, *, max_pixels: int, white: int, mask: bool) -> Decoded:
    from PIL import Image

    start = stream.read(len(START))
    if not start:
        raise UnusableImageError("unreadable", "an empty file")
    if start == START:
        plain = decode_plain(start + stream.read(), max_pixels=max_pixels)
        if plain is not None:
            return _finish_plain(plain)
    stream.seek(0)
    with Image.open(stream, formats=_known_formats()) as image:
        return decode_picture(image, max_pixels=max_pixels, white=white, mask=mask)


def decode_picture(
    image: Image, *, max_pixels: int, white: int = WHITE_16_BIT, mask: bool = False
) -> Decoded:
    """One picture that Pillow has opened, its pixels loaded or not yet.

    Raises:
        UnusableImageError: too large or unsupported; other exceptions where data are damaged.
    """
    if image.width * image.height > max_pixels:
        raise _too_large(max_pixels)
    mode, bits = image.mode, _stored_bits(image)
    if mode in ("I", "F"):
        raise UnusableImageError("unsupported", f"32-bit pixels (mode {mode})")
    done = {"first frame"} if _has_more_frames(image) else set()
    if orientation_of(image) != 1:
        done.add("orientation")
    if image.info.get(PREFIX + ORIGIN) == SYNTHETIC:
        done.add(GENERATED)
    image.load()
    peak = 0
    if mode in _SIXTEEN:
        raw = np.asarray(image)
        # Pillow inverts such TIFFs of 8 bits, but not those of 16.
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:
            raw = WHITE_16_BIT - raw
        pixels, peak = scale_16_bit(raw, white=white), int(raw.max())
        done.add("16-bit")
    else:
        if bits == 16:
            done.add("16-bit colour")
        pixels = np.asarray(_eight_bit(image, done, mask=mask))
    pixels = turned(pixels, orientation_of(image))
    found = finish(pixels, mode=mode, bits=bits, peak=peak, done=done)
    return replace(found, shares=told_shares(image.info))


def _finish_plain(pixels: UInt8) -> Decoded:
    return finish(pixels, mode="L" if pixels.shape[2] == 1 else "RGB", bits=8)


def finish(
    pixels: UInt8, *, mode: str, bits: int, peak: int = 0, done: Iterable[str] = ()
) -> Decoded:
    """Decoded pixels, uint8 [H, W] or [H, W, C], in the common form; equal channels are grey."""
    done = set(done)
    if pixels.ndim == 3 and pixels.shape[2] == 3 and _channels_equal(pixels):
        pixels = pixels[:, :, :1]
        if mode in _COLOUR:
            done.add("grey as colour")
    pixels = np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])
    order = tuple(name for name in CONVERSIONS if name in done) if done else ()
    return Decoded(pixels=pixels, mode=mode, bits=bits, peak=peak, conversions=order)


def scale_16_bit(values: np.ndarray, *, white: int) -> UInt8:
    """``round(255 · min(value, white) / white)`` as uint8, elementwise."""
    # A table of all 65,536 values needs no temporary in floats of the image's size.
    table = np.rint(np.minimum(np.arange(65536), white) * (255.0 / white)).astype(np.uint8)
    scaled: UInt8 = table[values]
    return scaled


@cache
def _known_formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _stored_bits(image: Image) -> int:
    if image.mode == "1":
        return 1
    tiles = getattr(image, "tile", None)
    return 16 if image.mode in _SIXTEEN or (tiles and ";16" in str(tiles[0][3])) else 8


def _has_more_frames(image: Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # A damaged later frame does not spoil the first.
        return False


def _eight_bit(image: Image, done: set[str], *, mask: bool) -> Image:
    """Convert any 8-bit (or 1-bit) mode to "L" or "RGB", noting what was done."""
    from PIL import Image as Pillow

    mode = image.mode
    names = {"P": "palette", "PA": "palette", "CMYK": "cmyk", "1": "1-bit"}
    if mode in names:
        done.add(names[mode])
    elif mode in ("YCbCr", "HSV", "LAB"):
        done.add("colour space")
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            done.add("alpha")
            white = Pillow.new("RGBA", image.size, "white")
            image = _drawn(image) if mask else Pillow.alpha_composite(white, image)
    if mode in ("L", "1"):
        return image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def _drawn(image: Image) -> Image:
    """What a mask draws on transparency: its own values, or all of it where it is black."""
    from PIL import Image as Pillow

    values = np.asarray(image)
    seen = values[:, :, 3] > 0
    drawn = values[:, :, :3] * seen[:, :, None]
    if not drawn.any():
        drawn[seen] = 255
    return Pillow.fromarray(drawn)


def _channels_equal(pixels: np.ndarray) -> bool:
    # One row decides for nearly every colour picture, so that the whole is rarely compared.
    row = pixels[0].tobytes()
    if row[0::3] != row[1::3]:
        return False
    first = pixels[:, :, 0]
    return np.array_equal(first, pixels[:, :, 1]) and np.array_equal(first, pixels[:, :, 2])
