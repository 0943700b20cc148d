"""Plain JPEG files without Pillow: the same pixels, the same reasons, whatever the bytes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthlift.data import decode
from synthlift.data.decode import (
    Decoded,
    UnusableImageError,
    decode_file,
    decode_stream,
    without_pillow_warnings,
)
from synthlift.data.plain_jpeg import decode_plain, read_plain

LIMIT = 10_000


def _jpeg(size: tuple[int, int] = (23, 17), *, mode: str = "RGB", **how: Any) -> bytes:
    random = np.random.default_rng(size[0])
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    smooth = np.cumsum(random.normal(0, 9, shape), axis=1) + 128
    stream = io.BytesIO()
    pixels = np.clip(smooth, 0, 255).astype(np.uint8)
    Image.fromarray(pixels, mode=mode).save(stream, "JPEG", **how)
    return stream.getvalue()


def _outcome(data: bytes) -> Decoded | str:
    try:
        with without_pillow_warnings():
            return decode_stream(io.BytesIO(data), max_pixels=LIMIT)
    except UnusableImageError as error:
        return error.reason


def _same(data: bytes) -> bool:
    """Whether Pillow alone comes to the same."""
    ours = _outcome(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "decode_plain", lambda *_, **__: None)
        theirs = _outcome(data)
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours == theirs
    return np.array_equal(ours.pixels, theirs.pixels) and (
        (ours.mode, ours.bits, ours.peak, ours.conversions)
        == (theirs.mode, theirs.bits, theirs.peak, theirs.conversions)
    )


SAVED = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "subsampling": st.sampled_from([0, 1, 2]),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
        "restart_marker_blocks": st.sampled_from([0, 3]),
        "keep_rgb": st.booleans(),
    }
)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    how=SAVED,
)
@settings(max_examples=80)
def test_the_bits_are_pillows(size: tuple[int, int], mode: str, how: dict[str, Any]) -> None:
    if mode == "CMYK" or how["keep_rgb"]:
        how["subsampling"] = 0  # Pillow refuses the others
    data = _jpeg(size, mode=mode, **how)
    found = decode_plain(data, max_pixels=LIMIT)
    # Pillow marks CMYK and unconverted RGB with Adobe's segment.
    assert (found is None) == (mode == "CMYK" or (mode == "RGB" and how["keep_rgb"]))
    assert _same(data)


@given(
    place=st.integers(0, 10**6),
    value=st.integers(0, 255),
    progressive=st.booleans(),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
)
@settings(max_examples=150)
def test_damaged_files_come_to_the_same(
    place: int, value: int, progressive: bool, cut: int | None
) -> None:
    data = bytearray(_jpeg(progressive=progressive, restart_marker_blocks=2))
    data[place % len(data)] = value
    whole = bytes(data[: cut % len(data)] if cut is not None else data)
    assert _same(whole)


def _with(segment: bytes, marker: int) -> bytes:
    data = _jpeg()
    length = (len(segment) + 2).to_bytes(2, "big")
    return data[:2] + bytes([0xFF, marker]) + length + segment + data[2:]


@pytest.mark.parametrize(
    ("segment", "marker", "plain"),
    [
        (b"ICC_PROFILE\0\x01\x01" + bytes(200), 0xE2, True),
        (b"a comment", 0xFE, True),
        (b"MPF\0", 0xE2, False),
        (b"Exif\0\0", 0xE1, False),
        (b"http://ns.adobe.com/xap/1.0/\0", 0xE1, False),
        (b"Adobe\0\x64\0\0\0\0\x01", 0xEE, False),
        (b"Photoshop 3.0\0", 0xED, False),
    ],
)
def test_what_may_change_the_picture_is_left_to_pillow(
    segment: bytes, marker: int, plain: bool
) -> None:
    data = _with(segment, marker)
    assert (decode_plain(data, max_pixels=LIMIT) is not None) == plain
    assert _same(data)


def test_a_turned_picture_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _jpeg((20, 10), exif=exif.tobytes())
    found = _outcome(data)
    assert isinstance(found, Decoded)
    assert found.pixels.shape == (20, 10, 3)
    assert found.conversions == ("orientation",)


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded() -> None:
    assert decode_plain(_jpeg((101, 100)), max_pixels=LIMIT) is None
    assert _outcome(_jpeg((101, 100))) == "too large: more than 10,000 pixels"
    assert decode_plain(_jpeg((100, 100)), max_pixels=LIMIT) is not None


def test_equal_channels_are_grey_either_way() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=95)
    found = _outcome(stream.getvalue())
    assert isinstance(found, Decoded)
    assert found.pixels.shape == (16, 16, 1)
    assert found.conversions == ("grey as colour",)
    assert _same(stream.getvalue())


# ── files ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("side", [20, 300])
def test_a_file_comes_to_the_same_as_its_bytes(tmp_path: Path, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    path = tmp_path / "noise.jpg"
    Image.fromarray(noise).save(path, quality=95)
    assert (path.stat().st_size > 2**16) == (side == 300)  # read in one part or in several
    found = decode_file(path, max_pixels=10**6)
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(path)))
    assert read_plain(str(path), max_pixels=10**6) is not None
    assert read_plain(str(path), max_pixels=side * side - 1) is None


def _outcome_of(path: Path) -> str:
    with pytest.raises(UnusableImageError) as raised, without_pillow_warnings():
        decode_file(path, max_pixels=LIMIT)
    return raised.value.reason


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(_jpeg()[:-200])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "large.jpg").write_bytes(_jpeg((101, 100)))
    reasons = {
        "folder": "unreadable: a folder or no such file",
        "missing": "unreadable: a folder or no such file",
        "empty": "unreadable: an empty file",
        "cut": "truncated: the file ends before the image does",
        "text": "unreadable: not an image in a known format",
        "large": "too large: more than 10,000 pixels",
    }
    found = {name: _outcome_of(tmp_path / f"{name}.jpg") for name in reasons}
    assert found == reasons


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert _outcome_of(tmp_path / "pipe.jpg") == "unreadable: a folder or no such file"


def test_another_format_under_its_name_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "png.jpg", "PNG")
    np.testing.assert_array_equal(decode_file(tmp_path / "png.jpg", max_pixels=99).pixels, pixels)
    (tmp_path / "jpeg.png").write_bytes(_jpeg())
    assert decode_file(tmp_path / "jpeg.png", max_pixels=LIMIT).pixels.shape == (17, 23, 3)


def test_files_that_share_their_header_are_told_apart_from_others() -> None:
    first, second = _jpeg((23, 17)), _jpeg((23, 17), quality=40)
    for data in (first, first, second, _jpeg((24, 17)), _jpeg(mode="L"), first):
        assert decode_plain(data, max_pixels=LIMIT) is not None
        assert _same(data)
    # Known from a file that was let in, and yet too large where the limit is lower.
    assert decode_plain(first, max_pixels=23 * 17) is not None
    assert decode_plain(first, max_pixels=23 * 17 - 1) is None
    # As long as what the files share, and without a picture behind it.
    for length in range(first.index(b"\xff\xda") - 2, first.index(b"\xff\xda") + 8):
        assert decode_plain(first[:length], max_pixels=LIMIT) is None
        assert _same(first[:length])
