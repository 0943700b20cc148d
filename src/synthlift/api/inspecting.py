"""Looking at data before a study: what was found, what can be shown, a study file for it."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.sources import Asked, Source, ask_with_plugins
from synthlift.embedded import EMBEDDED
from synthlift.errors import InputError
from synthlift.spec.loading import dump_study, load_study
from synthlift.spec.provenance import SHARES
from synthlift.spec.study import Component, Study

if TYPE_CHECKING:
    from synthlift.data.contract import Source as Opened
    from synthlift.data.given import Published
    from synthlift.data.inventory import Inventory, Row
    from synthlift.data.parting import Parting
    from synthlift.spec.data import Data
    from synthlift.types import UInt8

Progress = Callable[[int, int, str], None]
STUDY_FILE = "study.yaml"
_STEPS = {"seeking copies": 5, "seeking label errors": 50, "seeking shortcuts": 95}
"""Steps of the second look without a count of their own, and about how much is done before."""


def _silent(_done: int, _total: int, _note: str) -> None:
    return None


def inspect(
    source: Source,
    *,
    faults: bool = True,
    page: Path | str | None = None,
    said: Sequence[str] | None = None,
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Look at every image and say what was found; nothing is written but the page.

    Args:
        source: see :func:`synthlift.api.ask`.
        faults: look a second time, for faults; else ``findings`` is missing.
        page: the HTML page to write, with faults only; replaced in one step.
        said: words that name the data in advised commands; None = from the study.
        progress: called as ``progress(done, total, note)``.

    Returns:
        Counts per class, exclusions by reason, sizes, the design and the smallest difference
        that a study would find, see :func:`synthlift.data.inspection.inspect_inventory`; names of
        ``attributes``; and ``findings``, see :func:`synthlift.data.findings.find_faults`, with
        ``warnings`` (the worst first) and ``advice``.

    Raises:
        InputError: the data cannot be opened, or there is no folder for the page.
    """
    from synthlift.data.inventory import take_inventory
    from synthlift.data.sources import open_source
    from synthlift.study.places import asked_of, where_of

    asked = ask_with_plugins(source)
    data = asked.study.data
    path = None if page is None else _page_path(Path(page).expanduser())
    opened = open_source(where_of(data, base=asked.base), strict=False)
    beside = _beside(data, opened, base=asked.base)
    wanted = asked_of(data, base=asked.base)
    # What is alike is sought on the second look, so that all of it can be shown.
    wanted = replace(wanted, alike=wanted.alike and not faults)
    found = take_inventory(opened, wanted, progress=progress)
    found = replace(found, notes=(*found.notes, *beside))
    if not faults:
        return _facts(asked, opened, found)
    facts = _with_findings(asked, opened, found, wanted.parting, said=said, progress=progress)
    if path is not None:
        _write_page(path, facts, asked, opened, found)
    return facts


def _beside(data: Data, opened: Opened, *, base: Path) -> list[str]:
    """How many images each source beside the data set has, in words.

    Raises:
        InputError: one cannot be opened or has an unknown class, or so has ``data.names``.
    """
    from synthlift.data.labels import check_names
    from synthlift.study.beside import sources_beside

    classes = sorted({item.label for item in opened.items})
    check_names(data.names, classes)
    found = sources_beside(data, base=base, classes=classes)
    return [f"{name}: {len(source.items):,} images" for name, source in found.items()]


def _facts(asked: Asked, opened: Opened, found: Inventory) -> dict[str, Any]:
    from synthlift.data.inspection import inspect_inventory
    from synthlift.data.inventory import conversion_notes, describe, describe_exclusions

    summary = {
        **describe_exclusions(found.rows),
        **describe(found.rows),
        "white": found.white,
        "notes": [*opened.notes, *conversion_notes(found)],
        "ignored": dict(opened.ignored),
    }
    published = _published(asked, found.rows)
    return {
        "source": opened.where.source,
        "attributes": _attributes(found.rows, asked.study.data),
        "generated": found.conversions.get("generated", 0),
        **inspect_inventory(
            found.rows, summary=summary, data=asked.study.data, published=published
        ),
    }


def _attributes(rows: Sequence[Row], data: Data) -> list[str]:
    """What is told of images beside the class: what is listed first, then what came along."""
    told = {name for row in rows for name in row.attributes} - {SHARES, *data.derived}
    listed = [name for name in data.attributes if name in told]
    return [*listed, *sorted(told - {*listed})]


def _with_findings(
    asked: Asked,
    opened: Opened,
    found: Inventory,
    parting: Parting,
    *,
    said: Sequence[str] | None,
    progress: Progress,
) -> dict[str, Any]:
    from synthlift.data.alike import alike, join
    from synthlift.data.findings import find_faults
    from synthlift.data.findings.advice import advise
    from synthlift.data.findings.looking import look
    from synthlift.data.findings.words import warnings

    def step(note: str) -> None:
        progress(_STEPS[note], 100, note)

    data = asked.study.data
    looked = look(
        opened, found.rows, max_pixels=data.max_pixels, white=found.white, progress=progress
    )
    step("seeking copies")
    seen = alike(found.rows, looked.thumbnails(found.rows))
    rows, notes, apart = list(found.rows), list[str](), list[str]()
    if data.near_duplicates == "join":
        rows, notes = join(found.rows, seen.pairs, parting)
        apart = list(seen.apart)
    after = replace(found, rows=tuple(rows), notes=(*found.notes, *apart, *notes))
    facts = _facts(asked, opened, after)
    findings = find_faults(
        rows,
        given=found.rows,
        looked=looked,
        alike=seen.pairs,
        parting=parting,
        data=data,
        facts=facts,
        step=step,
    )
    findings["duplicates"]["apart"] = apart
    findings["masks"] = _masks(opened, found.rows) if data.masks else None
    findings["warnings"] = warnings(facts, findings)
    words = _said(asked) if said is None else said
    findings["advice"] = advise(facts, findings, data=data, said=words)
    return {**facts, "findings": findings}


def _masks(opened: Opened, rows: Sequence[Row]) -> dict[str, Any]:
    """How many usable images have a mask, and which masks a study would refuse."""
    from synthlift.data.inventory import usable
    from synthlift.data.masks import read_masks

    used = usable(rows)
    found = read_masks(opened, used)
    return {
        "images": found.images,
        "without": len(used) - found.images,
        "unreadable": list(found.unreadable),
        "another_size": list(found.differing),
    }


def _said(asked: Asked) -> list[str]:
    """The options that name the data of a study, as the command line takes them."""
    data = asked.study.data
    named = {"metadata": data.metadata, "label": data.label, "group": data.group}
    options = [part for key, value in named.items() if value for part in (f"--{key}", value)]
    return [data.source, *options, *(p for name in data.attributes for p in ("--attribute", name))]


def _page_path(path: Path) -> Path:
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(
            f"the page cannot be written to '{path}'",
            rule="it is a file in an existing folder",
            remedy="name a file with --out, or leave the page out with --no-page",
        )
    return path


def _write_page(
    path: Path, facts: Mapping[str, Any], asked: Asked, opened: Opened, found: Inventory
) -> None:
    from synthlift.data.decode import UnusableImageError, without_pillow_warnings
    from synthlift.data.findings.words import HONESTY, fault_counts, notes
    from synthlift.reporting.inspection import Words, render_inspection_page, shown_images
    from synthlift.store.files import write_bytes_atomic

    findings = facts["findings"]
    wanted = set(shown_images(findings))
    pictures = {}
    with without_pillow_warnings():
        for row in found.rows:
            if row.id in wanted:
                with suppress(UnusableImageError):  # It changed since it was read.
                    pictures[row.id] = _thumbnail(opened, row, asked, white=found.white)
    names = asked.study.data.names
    words = Words(fault_counts(findings), notes(findings), HONESTY, classes=names)
    html = render_inspection_page(asked.study.name, facts, words=words, pictures=pictures)
    write_bytes_atomic(path, html.encode("utf-8", "replace"))


def _thumbnail(opened: Opened, row: Row, asked: Asked, *, white: int) -> UInt8:
    """An image as it is shown, at most 96 pixels a side."""
    from synthlift.reporting.gallery import thumbnail

    image = opened.load(row.path, max_pixels=asked.study.data.max_pixels, white=white)
    return thumbnail(image.pixels)


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
    text_to_image: str = "",
    force: bool = False,
    progress: Progress = _silent,
) -> Path:
    """Write a study file for this data, every key with its default and its meaning.

    Args:
        data: as for :func:`inspect`.
        out: the file to write.
        text_to_image: folder or name of a pipeline that draws, instead of generators from scratch;
            its prompts name the class and the attributes.
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
    given = ask_with_plugins(data).study
    if text_to_image:
        _prompting(given, text_to_image)  # A wrong pipeline is told before all images are read.
    source = given.data.source
    facts = inspect(data, faults=False, progress=progress)
    if facts["problem"]:
        raise InputError(
            f"'{source}' cannot be studied: {facts['problem']}",
            rule="a study needs at least two classes with at least 3 usable images each",
            remedy=f"see what was left out and why: synthlift inspect {shlex.quote(source)}",
        )
    if text_to_image:
        given = _prompting(given, text_to_image, attributes=facts["attributes"])
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


def _prompting(given: Study, model: str, *, attributes: Sequence[str] = ()) -> Study:
    """The same study with a pipeline that draws what class and attributes say.

    Args:
        given: the study.
        model: folder or name of the pipeline.
        attributes: that the images have.

    Raises:
        InputError: it is no pipeline.
    """
    from synthlift.generators.prompts import can_stand

    place = Path(model).expanduser()
    # A column such as "age (years)" cannot be named by a prompt.
    names = [name for name in attributes if can_stand(name)]
    words = ", ".join(["a photo of {label}", *(f"{{{name}}}" for name in names)])
    component = Component.model_validate(
        {
            "name": "drawn",
            "kind": "text_to_image",
            "model": str(place.resolve()) if place.exists() else model,
            "prompt": words,
            **_halved(model),
        }
    )
    from synthlift.study.components import settings_of

    settings_of("generators", component)  # a wrong folder is told before anything is written
    return given.model_copy(update={"generators": (component,)})


def _halved(model: str) -> dict[str, str]:
    """The number format that takes half the memory on a GPU that computes in it.

    It is written down, so that the study draws the same wherever it is run.
    """
    import torch

    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return {"dtype": "bfloat16"} if able and model != EMBEDDED else {}


def _relative(source: Path, folder: Path) -> str:
    """``./images`` where the data lie below the file's folder, so that both can move together."""
    if source.is_relative_to(folder.resolve()):
        return f"./{source.relative_to(folder.resolve()).as_posix()}"
    return os.fspath(source)


def _header(path: Path, facts: Mapping[str, Any]) -> str:
    from synthlift.data.inspection import effect_in_words

    classes = ", ".join(f"{found['name']} {found['images']:,}" for found in facts["classes"])
    design = facts["design"]
    effect = facts["minimal_detectable_effect"]
    said = [
        f"Study file for {facts['source']}",
        f"Found: {facts['usable']:,} usable images of {facts['read']:,} – {classes}.",
        f"Training size: {facts['image_size']['reason']}.",
        f"Design {design['letter']}: {design['reason']}.",
        f"Smallest difference that a study would find: {effect_in_words(effect)}.",
        *(f"Noted: {note}." for note in facts["notes"]),
        "Every key below may be left out; what stands here is its default or what was found.",
        f"What it would do and take:  synthlift plan {shlex.quote(str(path))}",
        f"Run it:                     synthlift run {shlex.quote(str(path))}",
    ]
    # A command or a path is copied from here: nothing within a word is torn apart.
    wrapper = textwrap.TextWrapper(
        96,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(line for text in said for line in wrapper.wrap(text)) + "\n"
