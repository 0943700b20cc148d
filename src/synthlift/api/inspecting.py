"""Looking at data before a study: what was found, what can be shown, a study file for it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.sources import Asked, Source, ask
from synthlift.errors import InputError
from synthlift.spec.loading import dump_study, load_study
from synthlift.spec.study import Study

if TYPE_CHECKING:
    from synthlift.data.given import Published
    from synthlift.data.inventory import Row

Progress = Callable[[int, int, str], None]
STUDY_FILE = "study.yaml"


def _silent(_done: int, _total: int, _note: str) -> None:
    return None


def inspect(source: Source, *, progress: Progress = _silent) -> dict[str, Any]:
    """Read every image once and say what was found; nothing is written.

    Args:
        source: see :func:`synthlift.api.ask`.
        progress: called as ``progress(done, total, note)``.

    Returns:
        Counts per class, exclusions by reason, sizes, the design and the smallest difference
        that a study would find; see :func:`synthlift.data.inspection.inspect_inventory`.
    """
    from synthlift.data.inspection import inspect_inventory
    from synthlift.data.inventory import (
        conversion_notes,
        describe,
        describe_exclusions,
        take_inventory,
    )
    from synthlift.data.sources import open_source
    from synthlift.study.places import asked_of, where_of

    asked = ask(source)
    data = asked.study.data
    opened = open_source(where_of(data, base=asked.base), strict=False)
    found = take_inventory(opened, asked_of(data), progress=progress)
    summary = {
        **describe_exclusions(found.rows),
        **describe(found.rows),
        "white": found.white,
        "notes": [*opened.notes, *conversion_notes(found)],
        "ignored": dict(opened.ignored),
    }
    return {
        "source": opened.where.source,
        **inspect_inventory(
            found.rows, summary=summary, data=data, published=_published(asked, found.rows)
        ),
    }


def _published(asked: Asked, rows: Sequence[Row]) -> Published | None:
    from synthlift.data.inventory import OK
    from synthlift.data.published import open_split

    file = asked.study.data.split.file
    if file is None:
        return None
    return open_split(
        asked.base / Path(file).expanduser(),
        ids=[row.id for row in rows if row.status == OK],
        unusable=[row.id for row in rows if row.status != OK],
    )


def init(
    data: Source,
    *,
    out: Path | str = STUDY_FILE,
    force: bool = False,
    progress: Progress = _silent,
) -> Path:
    """Write a study file for this data, every key with its default and its meaning.

    Args:
        data: as for :func:`inspect`.
        out: the file to write.
        force: replace an existing file.
        progress: see :func:`inspect`.

    Raises:
        InputError: the file exists, or the data cannot be studied.
    """
    path = Path(out).expanduser()
    if path.exists() and not force:
        raise InputError(
            f"'{path}' exists already",
            rule="a file is never replaced unasked",
            remedy="give another name with --out, or replace it with --force",
        )
    if not path.parent.is_dir():
        raise InputError(
            f"there is no folder '{path.parent}'",
            rule="the study file is written into an existing folder",
            remedy="make the folder first, or give another name with --out",
        )
    given = ask(data).study
    source = given.data.source
    facts = inspect(data, progress=progress)
    if facts["problem"]:
        raise InputError(
            f"'{source}' cannot be studied: {facts['problem']}",
            rule="a study needs at least two classes with at least 3 usable images each",
            remedy=f"see what was left out and why: synthlift inspect {source}",
        )
    path.write_text(_header(path, facts) + dump_study(_study(given, path, facts)), encoding="utf-8")
    return path


def _study(given: Study, path: Path, facts: Mapping[str, Any]) -> Study:
    source = given.data.source
    if Path(source).is_absolute():
        source = _relative(Path(source), path.absolute().parent)
    names = {str(found["name"]): str(found["name"]) for found in facts["classes"]}
    content = given.model_dump(mode="json", exclude_unset=True)
    return load_study(
        {
            **content,
            "data": {**content["data"], "source": source, "names": names},
        }
    )


def _relative(source: Path, folder: Path) -> str:
    """``./images`` where the data lie below the file's folder, so that both can move together."""
    if source.is_relative_to(folder.resolve()):
        return f"./{source.relative_to(folder.resolve()).as_posix()}"
    return os.fspath(source)


def _header(path: Path, facts: Mapping[str, Any]) -> str:
    classes = ", ".join(f"{found['name']} {found['images']:,}" for found in facts["classes"])
    design = facts["design"]
    effect = facts["minimal_detectable_effect"]
    said = [
        f"Study file for {facts['source']}",
        f"Found: {facts['usable']:,} usable images of {facts['read']:,} – {classes}.",
        f"Training size: {facts['image_size']['reason']}.",
        f"Design {design['letter']}: {design['reason']}.",
        (
            f"Smallest difference that a study would find: {100 * effect['value']:.1f} points, "
            f"assuming {effect['assumes']}."
        ),
        "Every key below may be left out; what stands here is its default or what was found.",
        f"What it would do and take:  synthlift plan {path}",
        f"Run it:                     synthlift run {path}",
    ]
    lines = [
        wrapped
        for text in said
        for wrapped in textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="#   ")
    ]
    return "\n".join(lines) + "\n"
