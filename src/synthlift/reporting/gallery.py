"""Thumbnails: written into a run folder, read back as data URIs."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synthlift.spec.facts import GalleryImage
from synthlift.store.files import write_bytes_atomic
from synthlift.types import UInt8

if TYPE_CHECKING:
    import PIL.Image

Kind = Literal["real", "kept", "rejected", "copy_query", "copy_neighbour"]

FOLDER = "gallery"
SIDE = 96
_OURS = re.compile(r"\d{4}_(real|kept|rejected|copy_query|copy_neighbour)_[\w-]*_[0-9a-f]{8}\.png")
_LARGE = 4096  # bytes of PNG above which the embedded copy is compressed


@dataclass(frozen=True)
class Picture:
    """A picture on its way into the gallery.

    Attributes:
        pixels: uint8 [H, W, C], C = 1 or 3.
        kind, label, generator, reason, score, pair, distance: as in ``GalleryImage``.
    """

    pixels: UInt8
    kind: Kind
    label: str
    generator: str = ""
    reason: str = ""
    score: float | None = None
    pair: int | None = None
    distance: float | None = None


def write_gallery(folder: Path, items: Sequence[Picture]) -> list[GalleryImage]:
    """Write thumbnails of at most 96 pixels a side into ``folder/gallery``.

    Names follow from position, kind, label and pixels, so that the same items give the same files;
    thumbnails of an earlier call that are no longer wanted are removed.

    Args:
        folder: the run folder.
        items: the pictures, in the order of the report.

    Returns:
        One record per item, ``file`` relative to ``folder``.
    """
    records = []
    for index, item in enumerate(items):
        data = encode_png(thumbnail(item.pixels))
        sign = hashlib.sha256(data).hexdigest()[:8]
        name = f"{index:04d}_{item.kind}_{_slug(item.label)}_{sign}.png"
        write_bytes_atomic(folder / FOLDER / name, data, durable=False)
        records.append(
            GalleryImage(
                file=f"{FOLDER}/{name}",
                kind=item.kind,
                label=item.label,
                generator=item.generator,
                reason=item.reason,
                score=item.score,
                pair=item.pair,
                distance=item.distance,
            )
        )
    _remove_stale(folder / FOLDER, keep={Path(record.file).name for record in records})
    return records


def thumbnail(pixels: UInt8) -> UInt8:
    """Fit uint8 [H, W, C] into 96 × 96: small images grow by a whole factor, large ones shrink."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= SIDE:
        factor = SIDE // longest
        grown: UInt8 = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)
        return grown
    from PIL import Image

    size = (max(1, round(width * SIDE / longest)), max(1, round(height * SIDE / longest)))
    small = np.asarray(_image(pixels).resize(size, Image.Resampling.LANCZOS), dtype=np.uint8)
    return small if small.ndim == 3 else small[:, :, None]


def encode_png(pixels: UInt8) -> bytes:
    """Encode uint8 [H, W, C], C = 1 or 3, as PNG bytes."""
    stream = io.BytesIO()
    _image(pixels).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def data_uri(folder: Path, file: str) -> str | None:
    """Read a thumbnail of ``folder/gallery`` as a data URI.

    Photographs are compressed to WebP for embedding; the exact pixels stay in the gallery.

    Returns:
        None when the file is missing, is no PNG, or would lie outside the gallery.
    """
    name = Path(file).name
    path = folder / FOLDER / name
    if file not in (name, f"{FOLDER}/{name}") or path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kind = "png"
    if len(data) > _LARGE:
        kind, data = "webp", _compressed(data)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _compressed(data: bytes) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.convert("RGB").save(stream, format="WEBP", quality=88, method=4)
    return stream.getvalue()


def _image(pixels: UInt8) -> PIL.Image.Image:
    from PIL import Image

    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] in (1, 3)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower()[:32]


def _remove_stale(folder: Path, *, keep: set[str]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in keep:
            path.unlink(missing_ok=True)
