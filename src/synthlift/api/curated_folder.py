"""What ``synthlift curate`` writes: the kept images, every verdict, and a page of examples."""

from __future__ import annotations

import csv
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.spec.licences import copy_licences
from synthlift.store.files import write_json_atomic
from synthlift.vision.sheets import SHEET_COLUMNS, contact_sheet

if TYPE_CHECKING:
    from synthlift.api.curating import Curated
    from synthlift.data.contract import Item
    from synthlift.store import Store
    from synthlift.study.curating import Judgements
    from synthlift.types import UInt8

IMAGES, TABLE, VERDICTS = "images", "metadata.csv", "verdicts.csv"
PAGE, SHEET, SUMMARY = "curation.html", "contact-sheet.png", "summary.json"
UNUSABLE = "unusable"
SHOWN = 12
"""Examples of each reason on the page."""


def write_curated(
    curated: Curated, found: Judgements, store: Store, folder: Path, *, link: bool
) -> Curated:
    """Write everything into a folder beside, which takes its name in one step when it is whole.

    Args:
        curated, found: the verdicts, and what they were found on.
        store: of the pixels that the page shows.
        folder: a new or empty one.
        link: link the kept files instead of copying them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    done = replace(curated, path=folder)
    try:
        partial.mkdir()
        (partial / IMAGES).mkdir()
        files = _write_kept(curated, found, partial, link=link)
        _write_table(partial / TABLE, _kept_rows(curated, files))
        _write_table(partial / VERDICTS, _all_rows(curated, found))
        copy_licences(found.source.where.files, partial)
        pixels = _Pictures(found, store)
        _sheet(curated, pixels).save(partial / SHEET)
        (partial / PAGE).write_text(_page(done, found, pixels), encoding="utf-8")
        summary = {k: v for k, v in asdict(done).items() if k not in ("verdicts", "path")}
        write_json_atomic(partial / SUMMARY, summary)
        if folder.exists():
            folder.rmdir()  # empty, as was seen before
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return done


def _write_kept(curated: Curated, found: Judgements, folder: Path, *, link: bool) -> dict[str, str]:
    """Copy, link or encode the kept images; their file by id."""
    from synthlift.api.naming import folder_names

    items = {item.id: item for item in found.source.items}
    places = folder_names(list(curated.counts))
    files: dict[str, str] = {}
    used: set[str] = set()
    for one in curated.verdicts:
        if not one["kept"]:
            continue
        item, place = items[one["id"]], f"{IMAGES}/{places[one['label']]}"
        (folder / place).mkdir(exist_ok=True)
        files[item.id] = f"{place}/{_name(item, place, used)}"
        _put(item, found, folder / files[item.id], link=link)
    return files


def _name(item: Item, place: str, used: set[str]) -> str:
    """The file's own name, with as many of its folders before it as tell it from others."""
    parts = Path(item.id).parts
    stem, suffix = Path(parts[-1]).stem, Path(parts[-1]).suffix.lower() or ".png"
    names = ["_".join([*parts[-n:-1], stem]) for n in range(1, len(parts) + 1)]
    names += [f"{names[-1]}_{n}" for n in range(2, 10_000)]
    name = next(n for n in names if f"{place}/{n}{suffix}".casefold() not in used)
    used.add(f"{place}/{name}{suffix}".casefold())
    return name + suffix


def _put(item: Item, found: Judgements, target: Path, *, link: bool) -> None:
    from synthlift.data.decode import without_pillow_warnings
    from synthlift.spec.provenance import png_bytes

    file = found.source.file(item.path)
    if file is not None and link:
        target.symlink_to(file.resolve())
    elif file is not None:
        shutil.copyfile(file, target)
    else:
        with without_pillow_warnings():
            white = int(found.images.read.summary["white"])
            decoded = found.source.load(item.path, max_pixels=10**9, white=white)
        target.write_bytes(png_bytes(decoded.pixels, facts={}))


def _kept_rows(curated: Curated, files: Mapping[str, str]) -> list[dict[str, Any]]:
    scores = [name for name in curated.verdicts[0] if name.startswith("score_")]
    return [
        {
            "file_name": files[one["id"]],
            "label": one["label"],
            "origin": "synthetic",
            "made_from": one["id"],
            "pool": curated.pool,
            "nearest_real": one["nearest_real"],
            **{name: one[name] for name in scores},
        }
        for one in curated.verdicts
        if one["kept"]
    ]


def _all_rows(curated: Curated, found: Judgements) -> list[dict[str, Any]]:
    from synthlift.data.inventory import OK

    judged = [{"id": one["id"], **one} for one in curated.verdicts]
    blank = dict.fromkeys(judged[0], "")
    bad = [
        {
            **blank,
            "id": row.id,
            "label": row.label,
            "kept": False,
            "rejected_by": UNUSABLE,
            "reason": row.reason,
        }
        for row in found.rows
        if row.status != OK
    ]
    return sorted([*judged, *bad], key=lambda one: str(one["id"]))


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        if rows:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


class _Pictures:
    """Images of the pool and the real data at the study's size, by id."""

    def __init__(self, found: Judgements, store: Store) -> None:
        from synthlift.store.images import PIXELS, usable_rows
        from synthlift.store.pixel_files import open_rows

        self._found: dict[str, tuple[dict[str, int], Any]] = {}
        keys = {
            "pool": (found.images.inventory, found.images.pixels),
            "real": (found.prepared.data["inventory"], found.prepared.data["pixels"]),
        }
        for name, (inventory, pixels) in keys.items():
            ids = usable_rows(store, inventory)["id"].tolist()
            rows = open_rows(store.open(pixels).path(PIXELS))
            self._found[name] = {one: row for row, one in enumerate(ids)}, rows

    def __call__(self, where: str, name: str) -> UInt8:
        """uint8 [H, W, C]."""
        import numpy as np

        places, rows = self._found[where]
        found: UInt8 = rows[np.array([places[name]])][0]
        return found


def _sheet(curated: Curated, pixels: _Pictures) -> Any:
    rows: dict[str, list[UInt8]] = {name: [] for name in curated.counts}
    for one in curated.verdicts:
        if one["kept"] and len(rows[one["label"]]) < SHEET_COLUMNS:
            rows[one["label"]].append(pixels("pool", one["id"]))
    return contact_sheet(rows)


def _page(curated: Curated, found: Judgements, pixels: _Pictures) -> str:
    from synthlift.reporting.curation import render_curation_page, shown_examples

    facts = {name: getattr(curated, name) for name in curated.__dataclass_fields__}
    facts = {**facts, "pairs": found.facts["pairs"], "place": f"{curated.path}/{IMAGES}"}
    shown = shown_examples(facts, most=SHOWN)
    pictures = {(where, name): pixels(where, name) for where, name in shown}
    for pair in facts["pairs"]:
        pictures["pool", pair["id"]] = pixels("pool", pair["id"])
        pictures["real", pair["real"]] = pixels("real", pair["real"])
    return render_curation_page(facts, pictures=pictures, most=SHOWN)
