"""A folder of generated images: written in order, so that a stopped writing can be gone on with."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.api.asking import Params
from synthlift.api.drawing import Halved, Start, Wanted, drawn, told_of
from synthlift.api.kept_generators import Kept
from synthlift.api.naming import folder_names, plain_name
from synthlift.api.writing import InOrder
from synthlift.data.sources import IMAGES, PROVENANCE
from synthlift.errors import InputError
from synthlift.spec.blackened import Blackened
from synthlift.spec.provenance import GENERATED_COLUMNS as COLUMNS
from synthlift.spec.provenance import column_for, png_bytes, provenance_of
from synthlift.spec.targets import Cell
from synthlift.store.files import write_bytes_atomic, write_json_atomic
from synthlift.vision.sheets import SHEET_COLUMNS

if TYPE_CHECKING:
    from synthlift.types import UInt8

BEGUN = "begun.json"
"""What was asked for; it lies in the folder until all images do."""
MASKS = "masks"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Part:
    """Images of one class, or of one of its cells.

    Attributes:
        title: in words, such as ``cat`` or ``mel, sex female``.
        wanted: what is drawn.
        folder: in which its files lie below the folder's images and masks; never a path.
        stem: of the names of its files.
    """

    title: str
    wanted: Wanted
    folder: str
    stem: str

    def file(self, index: int) -> str:
        """Where image ``index`` lies below the folder's images and masks."""
        return f"{self.folder}/{self.stem}_{index:05d}.png"


def parts_of(
    kept: Kept,
    classes: Sequence[str],
    *,
    count: int,
    seed: int,
    attributes: Mapping[str, Sequence[str]],
    params: Params,
    start: Start | None = None,
) -> list[Part]:
    """``count`` images of every class under every combination of the values.

    Args:
        kept: the generator.
        classes: names.
        count: images of each part.
        seed: everything random about the images derives from it.
        attributes: values by name; none = whatever the class has.
        params: as :func:`synthlift.api.asking.params_for` gives them.
        start: the picture that all start from; None = none.
    """
    combined = [
        dict(zip(attributes, values, strict=True)) for values in product(*attributes.values())
    ]
    said = [re.sub(r"[^\w.-]+", "-", "_".join(values.values())) for values in combined]
    if len(set(said)) < len(said):
        said = [str(number) for number in range(1, len(said) + 1)]
    several = len(combined) > 1
    folders = folder_names(kept.classes)
    return [
        Part(
            title=Cell.of(kept.classes.index(name), values).title(kept.classes)
            if several
            else name,
            wanted=Wanted(kept, name, count, seed, values, params, start),
            folder=folders[name],
            # Room for the number, the suffix, and what is added while it is written.
            stem=plain_name(f"{kept.name}_{words}" if several else kept.name, most=200),
        )
        for name in classes
        for values, words in zip(combined, said, strict=True)
    ]


# ── beginning, and going on ───────────────────────────────────────────────────────────────────


def require_free(folder: Path) -> None:
    """Refuse a folder that holds anything but a beginning.

    Raises:
        InputError: it does.
    """
    if folder.exists() and not folder.is_dir():
        raise _taken(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / BEGUN).is_file():
        raise _taken(folder)


def begin(folder: Path, asked: Mapping[str, Any]) -> None:
    """Note what is asked for, or see that a beginning is one of just this.

    Raises:
        InputError: it is one of something else.
    """
    note = folder / BEGUN
    plain = json.loads(json.dumps(asked))
    if not note.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(note, plain)
    elif json.loads(note.read_text("utf-8")) != plain:
        raise InputError(
            f"'{folder}' holds the beginning of other images",
            rule="a stopped command goes on when it is given again as it was",
            remedy="give the same generator, classes, values, number, seed, prompts, guidance, "
            "steps, picture, strength and device, or another folder with --out",
        )


def finish(folder: Path) -> None:
    """Note that all images are there."""
    (folder / BEGUN).unlink()


def _taken(folder: Path) -> InputError:
    return InputError(
        f"'{folder}' is not empty",
        rule="images are written into a new or empty folder",
        remedy="give another folder with --out",
    )


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def write_images(
    kept: Kept,
    parts: Sequence[Part],
    folder: Path,
    progress: Progress,
    *,
    halved: list[Halved],
    blackened: Blackened,
    on_halved: Callable[[], None],
) -> tuple[dict[str, int], dict[str, list[UInt8]]]:
    """Sample and write part by part; what an earlier attempt wrote stays.

    Args:
        kept: the generator.
        parts: what is wanted of it.
        folder: to write into.
        progress: called as ``progress(done, total, note)``.
        halved: grows where memory runs out.
        blackened: counts all images, and those that came out black.
        on_halved: called when it has grown.

    Returns:
        Images of each part – fewer than wanted where a fixed stock ends – and the first few of
        them.
    """
    shown: dict[str, list[UInt8]] = {part.title: [] for part in parts}
    counts = {str(title): 0 for title in shown}
    total = sum(part.wanted.count for part in parts)
    names = sorted({name for part in parts for name in part.wanted.attributes})
    known = len(halved)
    with (
        (folder / PROVENANCE).open("w", newline="", encoding="utf-8") as stream,
        InOrder() as writing,
    ):
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *(column_for(name, COLUMNS) for name in names)])
        for part in parts:
            for file, pixels, told in _images(
                kept, part, folder, writing, halved=halved, blackened=blackened
            ):
                if len(halved) > known:
                    known = len(halved)
                    on_halved()
                values = part.wanted.attributes
                facts = [told.get(name, "") for name in COLUMNS[2:]]
                label = "" if kept.nameless else part.wanted.name
                writer.writerow([f"{IMAGES}/{file}", label, *facts, *map(values.get, names)])
                if len(shown[part.title]) < SHEET_COLUMNS:
                    shown[part.title].append(np.array(pixels))
                counts[part.title] += 1
                progress(sum(counts.values()), total, part.title)
    return counts, shown


def _images(
    kept: Kept,
    part: Part,
    folder: Path,
    writing: InOrder,
    *,
    halved: list[Halved],
    blackened: Blackened,
) -> Iterator[tuple[str, UInt8, dict[str, str]]]:
    """Each image as it lies in the folder, or is drawn and about to be: file, pixels, facts."""
    (folder / IMAGES / part.folder).mkdir(parents=True, exist_ok=True)
    there = 0
    while there < part.wanted.count and (folder / IMAGES / part.file(there)).is_file():
        pixels, told = _read(folder / IMAGES / part.file(there))
        blackened.add_told(told.get("made_from", ""))
        yield part.file(there), pixels, told
        there += 1
    left = drawn(kept, part.wanted, first=there, halved=halved, blackened=blackened)
    for request, image in left:
        pixels, mask, *_ = image
        file, told = part.file(request.index), told_of(kept, request, image)
        writing.do(partial(_write, folder, file, pixels, mask, told))
        yield file, pixels, told


def _write(
    folder: Path, file: str, pixels: UInt8, mask: UInt8 | None, told: Mapping[str, str]
) -> None:
    if mask is not None:
        place = folder / MASKS / file
        write_bytes_atomic(place, png_bytes(mask[:, :, None], facts=told), durable=False)
    # Last, and at once: an image that is there is whole, and so is its mask.
    write_bytes_atomic(folder / IMAGES / file, png_bytes(pixels, facts=told), durable=False)


def _read(path: Path) -> tuple[UInt8, dict[str, str]]:
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None], provenance_of(path) or {}
