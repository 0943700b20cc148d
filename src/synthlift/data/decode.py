"""Decoding one image file safely, and saying what was done to it.

Whatever is stored, the result is uint8 with one channel (grey) or three (RGB):

- more pixels than ``max_pixels``: refused from the header, before anything is allocated;
- EXIF orientation: applied;
- 16-bit grey: ``round(255 · value / white)``, values above ``white`` count as ``white``;
- 16-bit colour: the upper 8 bits;
- transparency: composited on white;
- palette, CMYK, YCbCr, HSV: converted to RGB (colour profiles are not applied);
- 1 bit: black and white;
- animations and several pages: the first picture;
- colour files whose three channels are equal: grey;
- 32-bit integers and floats: refused, since no value in them is known to be white.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from synthlift.errors import InputError
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
EXTENSIONS = frozenset(extension for names in _FORMATS.values() for extension in names)
WHITE_16_BIT = 65535
_ORIENTATION_TAG = 0x0112
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")

# What is done to an image, in the words that follow a count: "12 palette images …".
CONVERSIONS = {
    "orientation": "images turned as their EXIF orientation says",
    "16-bit": "16-bit grey images scaled to 8 bits",
    "16-bit colour": "16-bit colour images read at their upper 8 bits",
    "alpha": "images with transparent pixels composited on white",
    "palette": "palette images expanded to their colours",
    "cmyk": "CMYK images converted to RGB without their colour profile",
    "colour space": "images in another colour space converted to RGB",
    "1-bit": "1-bit images read as black and white",
    "first frame": "files with several pictures of which the first was taken",
    "grey as colour": "colour files whose channels are equal, taken as grey",
}


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
        mode: Pillow's name of the stored pixel format ("L", "RGB", "P", "I;16", "CMYK" …).
        bits: stored bits per channel: 1, 8 or 16.
        peak: largest stored value of a 16-bit grey image, else 0.
        conversions: keys of :data:`CONVERSIONS` that apply.
    """

    pixels: UInt8
    mode: str
    bits: int
    peak: int = 0
    conversions: tuple[str, ...] = ()


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


def decode_file(path: Path, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
    """Decode one file; see the module's text for what is converted how.

    Raises:
        UnusableImageError: with a reason in the categories unreadable, truncated, too large and
            unsupported.
    """
    try:
        if not path.is_file():
            raise UnusableImageError("unreadable", "a folder or no such file")
        with path.open("rb") as stream:
            return _decode(stream, max_pixels=max_pixels, white=white)
    except (UnusableImageError, MemoryError):
        raise
    except PermissionError:
        raise UnusableImageError("unreadable", "no permission") from None
    except Exception as error:  # Decoders answer damaged bytes with almost any exception.
        raise _unusable(error, max_pixels=max_pixels) from error


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Silence Pillow on large images and odd headers: what matters becomes a reason instead.

    To be entered once around a pool of threads: warning filters belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\..*")
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


def _decode(stream: BinaryIO, *, max_pixels: int, white: int) -> Decoded:
    from PIL import Image

    if not stream.read(1):
        raise UnusableImageError("unreadable", "an empty file")
    stream.seek(0)
    with Image.open(stream, formats=_known_formats()) as image:
        if image.width * image.height > max_pixels:
            raise _too_large(max_pixels)
        mode, bits = image.mode, _stored_bits(image)
        if mode in ("I", "F"):
            raise UnusableImageError("unsupported", f"32-bit pixels (mode {mode})")
        done = {"first frame"} if _has_more_frames(image) else set()
        orientation = _orientation(image)
        image.load()
        if mode in _SIXTEEN:
            raw = np.asarray(image)
            pixels, peak = scale_16_bit(raw, white=white), int(raw.max())
            done.add("16-bit")
        else:
            if bits == 16:
                done.add("16-bit colour")
            pixels, peak = np.asarray(_eight_bit(image, done)), 0
    if orientation != 1:
        pixels = _orient(pixels, orientation)
        done.add("orientation")
    if pixels.ndim == 3 and _channels_equal(pixels):
        pixels = pixels[:, :, :1]
        if mode in _COLOUR:
            done.add("grey as colour")
    pixels = np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])
    order = tuple(name for name in CONVERSIONS if name in done)
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


def _orientation(image: Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # A damaged header beside an intact picture.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _orient(pixels: UInt8, orientation: int) -> UInt8:
    """Undo the rotation and mirroring that EXIF tag 274 states (CIPA DC-008, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _eight_bit(image: Image, done: set[str]) -> Image:
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
            image = Pillow.alpha_composite(white, image)
    if mode in ("L", "1"):
        return image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")


def _channels_equal(pixels: np.ndarray) -> bool:
    # One row decides for nearly every colour picture, so that the whole is rarely compared.
    for part in (pixels[:1], pixels):
        first = part[:, :, 0]
        if not (np.array_equal(first, part[:, :, 1]) and np.array_equal(first, part[:, :, 2])):
            return False
    return True
