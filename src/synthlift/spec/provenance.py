"""What a generated PNG says of itself, in text chunks that any PNG reader shows.

Each chunk is called ``synthlift:<key>`` and holds text (PNG specification, 11.3.3); ``origin`` is
always there. The same pixels and facts give the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthlift.types import Float32, UInt8

PREFIX = "synthlift:"
ORIGIN, SYNTHETIC = "origin", "synthetic"
CLASS = "class"
SHARES = "class_shares"
"""Said of an image that lies between classes: for how much it counts of each, a JSON object."""
LICENCE = "MODEL-LICENCE.txt"
"""Beside what a generator has learnt: the terms of the model behind it, word by word."""
GENERATED_COLUMNS = (
    *("file", "label", "generator", "kind", "fit_seed", "index", "seed", "made_from", "prompt"),
    SHARES,
)
"""Of the table of a folder of generated images, before those of attributes."""
EXPORTED_COLUMNS = (
    *("file_name", "label", "split", "origin", "generator", "seed", "fit", "index", "prompt"),
    *("group", "id", "sha256", "pixels", SHARES),
)
"""Of the table of an export, before those of attributes."""
_OURS = frozenset(("image", *GENERATED_COLUMNS, *EXPORTED_COLUMNS))
_RENAMED = "attribute_"


def column_for(attribute: str, taken: Collection[str]) -> str:
    """What the column of an attribute is called in a table where one of ours may have its name."""
    # One that is called like a renamed one is renamed, too.
    return _RENAMED + attribute if _bare(attribute) in taken else attribute


def column_of(attribute: str, columns: Collection[str]) -> str:
    """In which column an attribute stands, where the table may be one of ours."""
    renamed = _RENAMED + attribute
    return renamed if _bare(attribute) in _OURS and renamed in columns else attribute


def _bare(name: str) -> str:
    while name.startswith(_RENAMED):
        name = name.removeprefix(_RENAMED)
    return name


def facts_of(
    *,
    generator: str,
    kind: str,
    label: str,
    seed: int,
    index: int,
    fit_seed: int,
    fit: int | None = None,
    attributes: Mapping[str, str] | None = None,
    made_from: str = "",
    prompt: str = "",
    shares: Mapping[str, float] | None = None,
) -> dict[str, str]:
    """The facts of one generated image, all as text.

    Args:
        generator, kind: its name in the study, and what kind it is.
        label: class name, called ``class`` in the file.
        seed: of this image.
        index: its place in the sampling stream of its class, from 0.
        fit_seed: of the fit; with seed and class it gives the image again.
        fit: number of the fit in its study, from 1; None outside a study.
        attributes: values that it was asked for by, written as a JSON object.
        made_from: the file or image that it was made from, where there is one.
        prompt: words that it was made from, where there are any.
        shares: for how much it counts of each class, where that is not ``label`` alone.
    """
    facts = {
        ORIGIN: SYNTHETIC,
        "generator": generator,
        "kind": kind,
        CLASS: label,
        "seed": str(seed),
        "index": str(index),
        "fit": "" if fit is None else str(fit),
        "fit_seed": str(fit_seed),
        "attributes": json.dumps(dict(attributes), sort_keys=True) if attributes else "",
        "made_from": made_from,
        "prompt": prompt,
        SHARES: json.dumps(dict(shares)) if shares and {*shares} != {label} else "",
        "version": importlib.metadata.version("synthlift"),
    }
    return {key: value for key, value in facts.items() if value}


def shares_of(probabilities: Float32, classes: Sequence[str]) -> dict[str, float]:
    """Class probabilities [K] by name, without those that are 0; as short as float32 allows."""
    found = zip(classes, probabilities, strict=True)
    return {name: float(str(share)) for name, share in found if share > 0}


def shares_in(text: str) -> dict[str, float]:
    """What :data:`SHARES` says of an image; nothing where it holds no shares that sum up to 1."""
    try:
        said = json.loads(text)
        shares = {str(name): float(share) for name, share in said.items()}
    except (AttributeError, TypeError, ValueError, RecursionError):
        return {}
    whole = math.isclose(math.fsum(shares.values()), 1, abs_tol=1e-3)
    return shares if whole and all(0 <= share <= 1 for share in shares.values()) else {}


def told_shares(facts: Mapping[Any, Any]) -> str:
    """What the chunks of a PNG say of the classes between which it lies; "" for nothing.

    The class that the image was made for stays with it: who gives it another one contradicts it.
    """
    shares = facts.get(PREFIX + SHARES)
    return json.dumps([str(facts.get(PREFIX + CLASS, "")), str(shares)]) if shares else ""


def shares_told(text: str) -> tuple[str | None, dict[str, float]]:
    """The class and the shares in what :func:`told_shares` gave; ("", {}) in any other text.

    The class is None in what a table says of an image: there it stands beside.
    """
    try:
        label, shares = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        label = shares = None
    if isinstance(label, str) and isinstance(shares, str) and text.startswith("["):
        return label, shares_in(shares)
    return (None, found) if (found := shares_in(text)) else ("", {})


def png_bytes(pixels: UInt8, *, facts: Mapping[str, str] | None = None) -> bytes:
    """Encode uint8 [H, W, C], C = 1 or 3, as PNG with a text chunk for each fact."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in (facts or {}).items():
        chunks.add_text(PREFIX + key, value)
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.save(stream, format="PNG", pnginfo=chunks)
    return stream.getvalue()


def provenance_of(path: Path) -> dict[str, str] | None:
    """The facts in a PNG that Synthlift generated; None for any other image, and for other files.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as stream:
        return provenance_in(stream.read())


def provenance_in(data: bytes) -> dict[str, str] | None:
    """As :func:`provenance_of`, from the bytes of a file."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            said = {str(key): str(value) for key, value in image.info.items()}
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError):
        return None
    facts = {key.removeprefix(PREFIX): said[key] for key in said if key.startswith(PREFIX)}
    return facts if facts.get(ORIGIN) == SYNTHETIC else None
