"""DICOM images as a viewer shows them: rescaled, windowed, MONOCHROME1 inverted, 8 bits.

A grey image passes through, in this order (DICOM PS3.3 C.11.1, C.11.2, C.7.6.3.1.2):

1. the modality LUT, or RescaleSlope and RescaleIntercept;
2. the first window (WindowCenter, WindowWidth; LINEAR, LINEAR_EXACT or SIGMOID), else the first
   VOI LUT, else nothing for unsigned images of up to 8 bits, else a stretch from the smallest to
   the largest value, padding left out;
3. inversion, where the photometric interpretation is MONOCHROME1.

RGB, YBR and palette images become RGB. Of several frames the first is taken. Only the elements
that this needs are ever parsed: no name, identifier, date or place of a patient.

Uncompressed, deflated and RLE files are read by pydicom alone, baseline JPEG and JPEG 2000 with
Pillow. Other compressions (lossless JPEG, JPEG-LS, 12-bit JPEG) need decoders that Synthlift does
not bring, in part since they are under the GPL; such files are excluded with that reason, unless a
decoder is installed that pydicom finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from synthlift.data.decode import WHITE_16_BIT, Decoded, UnusableImageError, finish
from synthlift.errors import installing
from synthlift.types import Float64, UInt8

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_IN_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
_NEEDED = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *_GROUPS,
]
_PIXELS = ["PlanarConfiguration", "PixelData"]


def decode(stream: BinaryIO, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
    """Decode the first frame; ``white`` takes no part, since a window says what is white.

    Raises:
        UnusableImageError: no picture in it, too large, or a compression that cannot be read.
    """
    del white
    header = _header(stream)
    if header.Rows * header.Columns > max_pixels:
        raise UnusableImageError("too large", f"more than {max_pixels:,} pixels")
    values = _stored_values(stream, header)
    done = {"first frame"} if int(header.get("NumberOfFrames") or 1) > 1 else set()
    mode = str(header.PhotometricInterpretation)
    if values.ndim == 3 or mode == "PALETTE COLOR":
        pixels = _colour(values, header)
    else:
        pixels = _grey(values, header, done)
    bits = 16 if header.BitsAllocated > 8 else 8
    return finish(pixels, mode=mode, bits=bits, done=done)


def size(stream: BinaryIO) -> tuple[int, int]:
    """Width and height, from the header alone."""
    header = _header(stream)
    return int(header.Columns), int(header.Rows)


def window(values: Float64, *, center: float, width: float, function: str = "LINEAR") -> Float64:
    """Map values to [0, 1] by a window, elementwise (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        values: after the modality LUT.
        center, width: in the same unit; ``width`` at least 1 for LINEAR, above 0 otherwise.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width <= 0:
        return np.where(values > center, 1.0, 0.0)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _header(stream: BinaryIO) -> Dataset:
    """The elements that a picture depends on, and no others."""
    try:
        from pydicom import dcmread
    except ImportError:
        raise UnusableImageError(
            "unsupported", f"DICOM needs a further package: {installing('dicom')}"
        ) from None
    stream.seek(0)
    found = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_NEEDED)
    if not found.get("Rows") or not found.get("Columns"):
        raise UnusableImageError("unsupported", "a DICOM file without a picture")
    # Enhanced files state windows per frame; those of the first frame are taken.
    for group in _GROUPS:
        for outer in (found.get(group) or [])[:1]:
            for name in _IN_GROUPS:
                for inner in (outer.get(name) or [])[:1]:
                    found.update({element.tag: element for element in inner})
    return found


def _stored_values(stream: BinaryIO, header: Dataset) -> np.ndarray:
    """The first frame as stored, [H, W] or [H, W, 3]; YBR already converted to RGB."""
    from pydicom import dcmread
    from pydicom.pixels import get_decoder, pixel_array

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise UnusableImageError("unsupported", "a DICOM file that names no transfer syntax")
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise _compressed(syntax.name)
    stream.seek(0)
    # Of a deflated file, which is one stream, pydicom finds the pixels only in the whole.
    whole = dcmread(stream, specific_tags=[*_NEEDED, *_PIXELS]) if syntax.is_deflated else stream
    try:
        values: np.ndarray = pixel_array(whole, index=0)
    except RuntimeError as error:
        if "does not support" in str(error):  # such as 12 bits in Pillow's JPEG
            raise _compressed(syntax.name) from error
        raise
    return values


def _compressed(name: str) -> UnusableImageError:
    remedy = "decompress it first, as with dcmdjpeg of DCMTK"
    return UnusableImageError("unsupported", f"DICOM compressed as '{name}'; {remedy}")


def _colour(values: np.ndarray, header: Dataset) -> UInt8:
    from pydicom.pixels import apply_color_lut

    bits = int(header.BitsStored)
    if values.ndim == 2:
        values = apply_color_lut(values, header)
        bits = 8 * values.dtype.itemsize
    return _eight_bit(values / (2**bits - 1))


def _grey(stored: np.ndarray, header: Dataset, done: set[str]) -> UInt8:
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = np.asarray(apply_modality_lut(stored, header), np.float64)
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    bits = int(header.BitsStored)
    if center is not None and width is not None:
        function = str(header.get("VOILUTFunction") or "LINEAR").upper()
        share = window(values, center=center, width=width, function=function)
        done.add("window")
    elif header.get("VOILUTSequence"):
        whole = np.rint(values).astype(np.int32)
        share = apply_voi(whole, header) / (2 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1)
        done.add("window")
    elif bits <= 8 and stored.dtype.kind == "u" and np.array_equal(values, stored):
        share = values / (2**bits - 1)
    else:
        share = _stretch(values, inside=stored != header.get("PixelPaddingValue"))
        done.add("no window")
    if header.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
        done.add("inverted")
    return _eight_bit(share)


def _stretch(values: Float64, *, inside: Any) -> Float64:
    """From 0 at the smallest to 1 at the largest value ``inside``; all 0 where they are equal."""
    known = values[inside] if np.any(inside) else values
    lower, upper = known.min(), known.max()
    share: Float64 = np.clip((values - lower) / ((upper - lower) or 1), 0, 1)
    return share


def _eight_bit(share: np.ndarray) -> UInt8:
    pixels: UInt8 = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return pixels


def _first(value: Any) -> float | None:
    """The first of one or several numbers; None where there is none."""
    several = [value] if value is None or isinstance(value, (int, float, str)) else list(value)
    return float(several[0]) if several and several[0] not in (None, "") else None
