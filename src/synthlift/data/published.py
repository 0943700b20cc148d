"""A split as a small file: written to be published, read to be followed exactly.

The format is a table with a header, as CSV or any other table that Synthlift reads:

- ``id``: the image as in the inventory, for a folder its path below the folder;
- ``part``: train, validation (or val), test, pool (not used) or unlabelled (used without its
  label);
- ``draw``, a whole number, where there is more than one training set: draws with one test set are
  training sets redrawn, draws with disjoint test sets are the folds of a cross-validation.

Further columns are ignored, so that the ``splits.csv`` of a run folder is such a file. Every
usable image has one part in every draw. Without test or validation images in a single draw, these
are drawn from the training images as in any study.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from synthlift.data.given import Published
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.data.splits import PARTS, SplitTable
from synthlift.data.tables import read_table
from synthlift.data.wording import counted, listed
from synthlift.errors import InputError, nearest_name
from synthlift.types import Strings

_FORMAT = (
    "a published split is a table (.csv, .tsv or .parquet) with the columns id, part and, for "
)
_FORMAT += "several training sets, draw"
_WORDS = {**SPLIT_NAMES, **{part: part for part in PARTS}}


def open_split(
    path: Path, *, ids: Sequence[str] | Strings, unusable: Iterable[str] | None
) -> Published:
    """Read a published split and hold it against the images.

    Args:
        path: of the file.
        ids: of the usable images.
        unusable: ids of images that were left out, which the file may name; None = whatever else
            the file names has been checked before.

    Returns:
        Part by usable image, for each draw in ascending order.

    Raises:
        InputError: no such file, another format, an image twice, one that is not there, or a
            usable one that the file does not name in every draw.
    """
    draws = dict(read_parts(path))
    usable = [str(name) for name in ids]
    named = set().union(*draws.values())
    unknown = set() if unusable is None else named - set(usable) - set(unusable)
    missing = {name for parts in draws.values() for name in usable if name not in parts}
    for what, names in (
        ("names {} that the data do not have", unknown),
        ("does not name {} of the data", missing),
    ):
        if names:
            many = what.format(counted(len(names), "image"))
            raise InputError(
                f"'{path.name}' {many}: {listed(sorted(names))}",
                rule="a published split is followed exactly: it names every usable image of these "
                "data in every draw, and no other",
                remedy="check that data.source is the data set that was split (ids are compared "
                "letter by letter), or complete the file; part pool leaves an image unused",
            )
    return [{name: draws[draw][name] for name in usable} for draw in sorted(draws)]


def read_parts(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Part by image for each draw, ascending, as the file says it.

    Raises:
        InputError: no such file, another format, or an image twice.
    """
    draws: dict[int, dict[str, str]] = {}
    for name, part, draw in _rows(path):
        found = draws.setdefault(draw, {})
        if name in found:
            raise InputError(
                f"'{path.name}' names the image '{name}' twice"
                + (f" in draw {draw}" if draw else ""),
                rule="every image has one part in every draw",
                remedy="remove one of the rows",
            )
        found[name] = part
    return sorted(draws.items())


def write_split(path: Path, table: SplitTable, *, draws: int | None = None) -> None:
    """Write a split in the format that :func:`open_split` reads.

    Args:
        path: ends in ``.parquet``, or the table is written as CSV.
        table: from :func:`~synthlift.data.splits.make_split`.
        draws: only the first so many; None = all.
    """
    rows = table.draw < (table.draw.max() + 1 if draws is None else draws)
    columns = {
        "id": table.id[rows].tolist(),
        "part": table.part[rows].tolist(),
        "draw": table.draw[rows].tolist(),
    }
    if path.suffix.lower() == ".parquet":
        from synthlift.data.inventory import write_table

        write_table(path, columns)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _rows(path: Path) -> Iterator[tuple[str, str, int]]:
    table = read_table(path, given=path.name)
    for name in ("id", "part"):
        if name not in table.columns:
            raise InputError(
                f"'{path.name}' has no column '{name}'{nearest_name(name, table.columns)}",
                rule=_FORMAT,
                remedy=f"rename one of its columns: {', '.join(table.columns) or 'it has none'}",
            )
    ids = table.columns["id"]
    parts = [part.lower() for part in table.columns["part"]]
    draws = table.columns.get("draw", ["0"] * len(ids))
    unknown = Counter(part for part in parts if part not in _WORDS)
    if unknown:
        shown = [f"'{part}' ({counted(n, 'row')})" for part, n in sorted(unknown.items())]
        raise InputError(
            f"'{path.name}' has unknown parts: {listed(shown, quoted=False)}",
            rule=f"a part is one of: {', '.join(PARTS)}",
            remedy="use these words",
        )
    if odd := sorted({draw for draw in draws if not draw.isdecimal()}):
        raise InputError(
            f"'{path.name}' has draws that are no whole numbers: {listed(odd)}",
            rule=_FORMAT,
            remedy="number the draws from 0 on",
        )
    for name, part, draw in zip(ids, parts, draws, strict=True):
        yield name, _WORDS[part], int(draw)
