from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from synthlift.data.decode import (
    UnusableImageError,
    decode_file,
    picture_size,
    read_image,
    scale_16_bit,
)
from synthlift.errors import InputError

LIMIT = 50_000_000
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)


def png(width: int, height: int, *, bits: int, lines: bytes) -> bytes:
    """A colour PNG with any claims about its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    facts = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    body = chunk(b"IHDR", facts) + chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def bomb(side: int) -> bytes:
    """A PNG that claims side × side pixels and holds next to nothing."""
    return png(side, side, bits=8, lines=b"\0" * 99)


def test_grey_and_colour_come_back_exactly(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    grey = decode_file(tmp_path / "grey.png", max_pixels=LIMIT)
    colour = decode_file(tmp_path / "colour.png", max_pixels=LIMIT)
    assert np.array_equal(grey.pixels, GREY[:, :, None])
    assert np.array_equal(colour.pixels, COLOUR)
    assert (grey.mode, grey.bits, grey.conversions) == ("L", 8, ())
    assert (colour.mode, colour.bits, colour.conversions) == ("RGB", 8, ())
    assert colour.pixels.flags.c_contiguous


def test_colour_file_of_a_grey_picture_is_grey(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(GREY[:, :, None], 3, axis=2)).save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert np.array_equal(found.pixels, GREY[:, :, None])
    assert found.conversions == ("grey as colour",)


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"x.{ending}"
    Image.fromarray(COLOUR).save(file, exif=exif, lossless=True)  # which only WebP asks for
    found = decode_file(file, max_pixels=LIMIT)
    with Image.open(file) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(found.pixels, expected)
    assert ("orientation" in found.conversions) == (orientation != 1)
    assert picture_size(file) == (expected.shape[1], expected.shape[0])


def test_a_16_bit_tiff_is_turned_once(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    Image.fromarray(values).save(tmp_path / "x.tif", tiffinfo={0x0112: 6})
    found = decode_file(tmp_path / "x.tif", max_pixels=LIMIT)
    assert found.pixels[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert set(found.conversions) == {"orientation", "16-bit"}


def test_orientation_turns_a_camera_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "x.jpg", exif=exif)
    assert decode_file(tmp_path / "x.jpg", max_pixels=LIMIT).pixels.shape == (40, 20, 3)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [32768, 65407, 65408, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert found.pixels[:, :, 0].tolist() == [[0, 0, 1, 1], [128, 255, 255, 255]]
    assert (found.bits, found.peak, found.conversions) == (16, 65535, ("16-bit",))


def test_16_bit_white_may_be_lower(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 2048, 4095, 9000]], np.uint16)).save(tmp_path / "x.tif")
    found = decode_file(tmp_path / "x.tif", max_pixels=LIMIT, white=4095)
    assert found.pixels.ravel().tolist() == [0, 128, 255, 255]
    assert found.peak == 9000


def test_16_bit_rule_is_rounding() -> None:
    values = np.arange(65536)
    for white in (255, 4095, 65535):
        expected = np.rint(255 * np.minimum(values, white) / white)
        assert np.array_equal(scale_16_bit(values.astype(np.uint16), white=white), expected)


def test_16_bit_colour_is_noted(tmp_path: Path) -> None:
    raw = (COLOUR.astype(np.uint16) * 256 + 77).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in raw)
    (tmp_path / "x.png").write_bytes(png(5, 7, bits=16, lines=lines))
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert np.array_equal(found.pixels, COLOUR)
    assert (found.bits, found.conversions) == (16, ("16-bit colour",))


def test_palette_shows_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    assert found.pixels.tolist() == [[red, green], [blue, red]]
    assert (found.mode, found.conversions) == ("P", ("palette",))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (2, 1), (0,) * len(mode))
    image.putpixel((1, 0), (100,) * (len(mode) - 1) + (51,))
    image.save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    # 51 / 255 = one fifth of 100 over four fifths of white.
    assert found.pixels[0, 0].tolist() == [255]
    assert found.pixels[0, 1].tolist() == [224]
    assert "alpha" in found.conversions


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).convert("RGBA").save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert np.array_equal(found.pixels, COLOUR)
    assert found.conversions == ()


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "x.png", transparency=0)
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert found.pixels.tolist() == [[[255, 255, 255], [0, 255, 0]]]
    assert found.conversions == ("alpha", "palette")


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(tmp_path / "x.tif")
    found = decode_file(tmp_path / "x.tif", max_pixels=LIMIT)
    assert found.pixels[4, 4].tolist() == [255, 0, 0]
    assert found.conversions == ("cmyk",)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "x.png")
    found = decode_file(tmp_path / "x.png", max_pixels=LIMIT)
    assert (found.pixels.ravel().tolist(), found.bits) == ([255, 0], 1)
    assert found.conversions == ("1-bit",)


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.tif", "x.png"])
def test_first_frame_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    found = decode_file(tmp_path / name, max_pixels=LIMIT)
    assert found.pixels[0, 0].tolist() == [255, 0, 0]
    assert "first frame" in found.conversions


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_truncated_files_never_pass(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    pixels = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    whole = stream.getvalue()
    path = tmp_path / "x"
    for share in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UnusableImageError, match=r"^(truncated|unreadable): "):
            decode_file(path, max_pixels=LIMIT)
    path.write_bytes(whole)
    assert decode_file(path, max_pixels=LIMIT).pixels.shape == (64, 64, 3)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        stream = io.BytesIO()
        Image.fromarray(COLOUR).save(stream, kind)
        for _ in range(60):
            data = bytearray(stream.getvalue())
            for place in RNG.integers(0, len(data), 6):
                data[place] = RNG.integers(0, 256)
            path.write_bytes(bytes(data))
            try:
                found = decode_file(path, max_pixels=10_000)
            except UnusableImageError:
                continue
            assert found.pixels.dtype == np.uint8
            assert found.pixels.size <= 30_000


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "bomb.png").write_bytes(bomb(30_000))
    (tmp_path / "large.png").write_bytes(bomb(8_000))
    tracemalloc.start()
    for name in ("bomb.png", "large.png"):
        with pytest.raises(UnusableImageError, match=r"^too large: more than 50,000,000 pixels$"):
            decode_file(tmp_path / name, max_pixels=LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_limit_is_a_number_of_pixels(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "x.png")
    assert decode_file(tmp_path / "x.png", max_pixels=35).pixels.size == 35
    with pytest.raises(UnusableImageError, match="more than 34 pixels"):
        decode_file(tmp_path / "x.png", max_pixels=34)


def test_pixels_without_a_known_white_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UnusableImageError, match=r"^unsupported: 32-bit pixels \(mode F\)$"):
        decode_file(tmp_path / "x.tif", max_pixels=LIMIT)


def test_postscript_is_never_run(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(UnusableImageError, match="not an image in a known format"):
        decode_file(tmp_path / "x.png", max_pixels=LIMIT)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.jpg", "unreadable: not an image in a known format"),
        ("empty.png", "unreadable: an empty file"),
        ("cut.jpg", "truncated: the file ends before the image does"),
        ("bomb.png", "too large: more than 50,000,000 pixels"),
        ("warned.png", "too large: more than 50,000,000 pixels"),
        ("missing.png", "unreadable: a folder or no such file"),
    ],
)
def test_read_image_tells_the_user(tmp_path: Path, name: str, reason: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "JPEG")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:1500])
    (tmp_path / "bomb.png").write_bytes(bomb(30_000))
    (tmp_path / "warned.png").write_bytes(bomb(10_000))
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / name, max_pixels=LIMIT)
    assert str(caught.value) == (
        f"'{tmp_path / name}' cannot be used – {reason}\n"
        "  Rule: an image is a complete PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file with at most "
        "50,000,000 pixels\n"
        "  Remedy: give another file, or save it again from an image program"
    )
