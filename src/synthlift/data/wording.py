"""Words for what is found: lists by their first few names, and what is done to images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from synthlift.errors import nearest_name

SHOWN = 5

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
    "window": "DICOM images shown through the window (or VOI table) in their header",
    "no window": "DICOM images without a window, stretched from their smallest to largest value",
    "inverted": "DICOM images in which 0 is white (MONOCHROME1), inverted",
    "generated": "images whose file says that Synthlift generated them",
    "grey as colour": "colour files whose channels are equal, taken as grey",
}


def listed(names: Sequence[str], *, quoted: bool = True) -> str:
    """The first five names and how many more there are: "'a', 'b' and 3 more"."""
    shown = ", ".join(f"'{name}'" if quoted else name for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def counted(n: int, noun: str) -> str:
    """ "1 image", "1,204 images"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def nearest_column(wanted: str, columns: Iterable[str]) -> str:
    """As :func:`~synthlift.errors.nearest_name`, whatever the case of the letters."""
    names = {name.casefold(): name for name in columns}
    if wanted.casefold() in names:
        return f" – did you mean '{names[wanted.casefold()]}'?"
    near = nearest_name(wanted.casefold(), names)
    for folded, name in names.items():
        if near == f" – did you mean '{folded}'?":
            return near.replace(folded, name)
    return ""
