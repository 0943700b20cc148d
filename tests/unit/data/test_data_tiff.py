from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from synthlift.data.contract import Where
from synthlift.data.decode import UnusableImageError, decode_file
from synthlift.data.inventory import Asked, take_inventory
from synthlift.data.sources import open_source

LIMIT = 1_000_000
VALUES = np.array([[0, 1000, 40000], [65535, 300, 128]], np.uint16)
SHOWN = np.rint(VALUES / 257).astype(np.uint8)
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def tiff(*pages: np.ndarray, order: Literal["<", ">"] = "<", white_is_zero: bool = False) -> bytes:
    """An uncompressed grey TIFF, written field by field (TIFF 6.0, section 2)."""
    out = bytearray(b"II*\0" if order == "<" else b"MM\0*") + b"\0\0\0\0"
    place = 4
    for page in pages:
        height, width = page.shape
        data = page.astype(page.dtype.newbyteorder(order)).tobytes()
        start = len(out)
        out += data + b"\0" * (len(data) % 2)
        sample = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[page.dtype.kind]
        fields = [
            *((256, width), (257, height), (258, 8 * page.dtype.itemsize), (259, 1)),
            *((262, 0 if white_is_zero else 1), (273, start), (277, 1), (278, height)),
            *((279, len(data)), (339, sample)),
        ]
        struct.pack_into(f"{order}I", out, place, len(out))
        out += struct.pack(f"{order}H", len(fields))
        for tag, value in fields:
            out += struct.pack(f"{order}HHII", tag, 4, 1, value)
        place = len(out)
        out += b"\0\0\0\0"
    return bytes(out)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_in_either_byte_order(tmp_path: Path, order: Literal["<", ">"]) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(VALUES, order=order))
    found = decode_file(tmp_path / "x.tif", max_pixels=LIMIT)
    assert found.pixels.shape == (2, 3, 1)
    assert np.array_equal(found.pixels[:, :, 0], SHOWN)
    assert (found.bits, found.peak, found.conversions) == (16, 65535, ("16-bit",))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_16_bit_grey_compressed(tmp_path: Path, compression: str) -> None:
    Image.fromarray(VALUES).save(tmp_path / "x.tiff", compression=compression)
    found = decode_file(tmp_path / "x.tiff", max_pixels=LIMIT)
    assert np.array_equal(found.pixels[:, :, 0], SHOWN)
    assert found.bits == 16


def test_first_page_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(VALUES, VALUES[::-1], VALUES // 2))
    found = decode_file(tmp_path / "x.tif", max_pixels=LIMIT)
    assert np.array_equal(found.pixels[:, :, 0], SHOWN)
    assert found.conversions == ("16-bit", "first frame")


def test_16_bit_negative_is_inverted_as_8_bit_is(tmp_path: Path) -> None:
    """Pillow inverts "white is zero" in 8 bits only."""
    (tmp_path / "8.tif").write_bytes(tiff(SHOWN, white_is_zero=True))
    (tmp_path / "16.tif").write_bytes(tiff(VALUES, white_is_zero=True))
    Image.fromarray(VALUES).save(tmp_path / "lzw.tif", compression="tiff_lzw", tiffinfo={262: 0})
    eight = decode_file(tmp_path / "8.tif", max_pixels=LIMIT).pixels
    assert np.array_equal(eight[:, :, 0], 255 - SHOWN)
    for name in ("16.tif", "lzw.tif"):
        found = decode_file(tmp_path / name, max_pixels=LIMIT)
        assert np.array_equal(found.pixels, eight), name


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u4"])
def test_floats_and_signed_or_32_bit_integers_are_refused(
    tmp_path: Path, dtype: str, order: Literal["<", ">"]
) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(VALUES.astype(dtype), order=order))
    with pytest.raises(UnusableImageError, match=r"^(unsupported: 32-bit|unreadable: )"):
        decode_file(tmp_path / "x.tif", max_pixels=LIMIT)


def test_12_bit_microscope_images_share_one_white(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k, name in enumerate(("a", "b")):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(3):
            values = rng.integers(0, 1000 + 3000 * k, (9, 9)).astype(np.uint16)
            order: Literal["<", ">"] = "<" if i % 2 else ">"
            (tmp_path / "cells" / name / f"{i}.tif").write_bytes(tiff(values, order=order))
    source = open_source(Where("cells", str(tmp_path)))
    found = take_inventory(source, Asked(LIMIT), progress=lambda *_: None)
    assert found.white == 4095
    assert {(row.status, row.bits, row.channels) for row in found.rows} == {("ok", 16, 1)}
    assert found.conversions == {"16-bit": 6}
