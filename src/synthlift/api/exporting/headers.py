"""Taking out of an image file what its header tells of people, places and dates.

Pixels and colour are left as they are: only segments and chunks beside them go. JPEG: everything
but JFIF, the colour profile and Adobe's colour transform (ITU-T T.81, Annex B); an EXIF orientation
is written back alone. PNG: chunks that are neither needed for decoding nor about colour, and text
other than our own (PNG specification, chapter 11).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from synthlift.spec.provenance import PREFIX

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_KEPT_CHUNKS = frozenset(
    (
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"),
        *(b"sBIT", b"bKGD", b"hIST", b"pHYs", b"cICP", b"mDCv", b"cLLi", b"acTL", b"fcTL", b"fdAT"),
    )
)
_TEXT = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_APP, _COMMENT, _SCAN, _END = range(0xE0, 0xF0), 0xFE, 0xDA, b"\xff\xd9"
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_TOLD = ("exif", "xmp", "comment", "photoshop")


def without_headers(data: bytes) -> bytes | None:
    """The same picture without what its header tells; None where that cannot be taken out.

    Args:
        data: a whole image file.
    """
    try:
        if data.startswith(_PNG):
            return _PNG + b"".join(chunk for kind, chunk in _chunks(data) if _keep(kind, chunk))
        if data.startswith(_JPEG):
            return _clean_jpeg(data)
    except (struct.error, IndexError, ValueError):
        return None
    return None if _tells(data) else data


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and whole bytes of each chunk of a PNG file, up to the last one."""
    place = len(_PNG)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place : place + 12 + length]
        place += 12 + length


def _keep(kind: bytes, chunk: bytes) -> bool:
    return kind in _KEPT_CHUNKS or (kind in _TEXT and chunk[8:].startswith(PREFIX.encode()))


def _clean_jpeg(data: bytes) -> bytes | None:
    """None for a file with several pictures, since each has a header of its own."""
    parts, place = [_JPEG], 2
    orientation = _orientation(data)
    if orientation != 1:
        parts.append(_exif(orientation))
    while True:
        marker = data[place + 1]
        if data[place] != 0xFF:
            raise ValueError("no marker")
        if marker == 0xFF:  # fill bytes
            place += 1
            continue
        if marker == _SCAN:
            end = data.rindex(_END) + len(_END)
            return b"".join([*parts, data[place:end]])
        length = 2 if marker in _ALONE else 2 + struct.unpack_from(">H", data, place + 2)[0]
        body = data[place + 4 : place + length]
        if marker == 0xE2 and body.startswith(b"MPF\0"):
            return None
        known = (0xE0, b"JFIF\0"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe")
        telling = marker in _APP or marker == _COMMENT
        if not telling or any(marker == m and body.startswith(sign) for m, sign in known):
            parts.append(data[place : place + length])
        place += length


def _orientation(data: bytes) -> int:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            value = image.getexif().get(0x0112, 1)
    except Exception:  # A damaged header beside an intact picture.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif(orientation: int) -> bytes:
    """An EXIF segment with nothing but the orientation (CIPA DC-008, 4.5 and 4.6.4)."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    body = b"Exif\0\0" + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _tells(data: bytes) -> bool:
    """Whether Pillow finds owner's words in the header of another format; yes if it cannot say."""
    import io

    from PIL import Image

    # Width, height, bits, compression, strips, resolution and the like of a TIFF tell nothing.
    plain = {*range(254, 267), *range(273, 285), 277, 296, 317, 320, 322, 323, 324, 325, 338, 339}
    try:
        with Image.open(io.BytesIO(data)) as image:
            tags = set(image.getexif())
            info = {str(key).lower() for key, value in image.info.items() if value}
    except Exception:
        return True
    return bool((tags - plain) or any(name in key for key in info for name in _TOLD))
