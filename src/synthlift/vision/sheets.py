"""Contact sheets: all images at a glance, one row a class."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from synthlift.spec.provenance import ORIGIN, SYNTHETIC, png_bytes

if TYPE_CHECKING:
    import PIL.Image

    from synthlift.types import UInt8

SHEET_COLUMNS, SHEET_SIDE = 8, 96
_GAP = 4


def contact_sheet(pictures: Mapping[str, Sequence[UInt8]], *, title: str = "") -> PIL.Image.Image:
    """One row a class, its name on the left; a title above where there is one.

    Args:
        pictures: uint8 [H, W, C] each, by class; a class without pictures says so.
        title: one line.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    margin = max((round(font.getlength(name)) for name in pictures), default=0) + 3 * _GAP
    columns = max((len(row) for row in pictures.values()), default=0)
    cell, top = SHEET_SIDE + _GAP, 28 if title else 0
    least = round(font.getlength(title)) + 2 * _GAP
    width = max(margin + max(columns, 1) * cell, least)
    sheet = Image.new("RGB", (width, top + len(pictures) * cell + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, "black", font)
    for y, (name, row) in enumerate(pictures.items()):
        above = top + _GAP + y * cell
        draw.text((_GAP, above + SHEET_SIDE // 2 - 8), name, "black", font)
        if not row:
            draw.text((margin, above + SHEET_SIDE // 2 - 8), "none", "grey", font)
        for x, pixels in enumerate(row):
            picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            how = Image.Resampling.NEAREST if picture.width < SHEET_SIDE else Image.Resampling.BOX
            picture = picture.convert("RGB").resize((SHEET_SIDE, SHEET_SIDE), how)
            sheet.paste(picture, (margin + x * cell, above))
    return sheet


def synthetic_png(sheet: PIL.Image.Image) -> bytes:
    """PNG of a sheet of generated images, which says that it is synthetic, as each of them does."""
    import numpy as np

    facts = {ORIGIN: SYNTHETIC, "version": importlib.metadata.version("synthlift")}
    return png_bytes(np.asarray(sheet), facts=facts)


def stacked(sheets: Sequence[PIL.Image.Image]) -> PIL.Image.Image:
    """Sheets below each other."""
    from PIL import Image

    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), "white")
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole
