"""Judging anyone's images against a folder of real ones: which can be used, and why others not."""

from __future__ import annotations

import csv
import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.sheets import SHEET_COLUMNS, contact_sheet
from synthlift.api.sources import Asked, Source, ask
from synthlift.errors import InputError
from synthlift.spec.data import Pool
from synthlift.spec.study import Component
from synthlift.store.files import write_json_atomic

if TYPE_CHECKING:
    from synthlift.data.contract import Item
    from synthlift.store import Store
    from synthlift.study.curating import Judgements
    from synthlift.study.executors.local import Listener
    from synthlift.types import UInt8

IMAGES, TABLE, VERDICTS = "images", "metadata.csv", "verdicts.csv"
PAGE, SHEET, SUMMARY = "curation.html", "contact-sheet.png", "summary.json"
UNUSABLE = "unusable"
COPIES_AT_MOST, C_T_FLAGS = 0.1, -3.0
"""More copies than this, or a lower C_T, are called copying (METHOD §5)."""
SHOWN = 12
"""Examples of each reason on the page."""


@dataclass(frozen=True)
class Curated:
    """What was found out about a pool, JSON-able but for the paths.

    Attributes:
        real, pool: where the images came from.
        images: how many were judged.
        kept: how many can be used.
        counts: class → reason (``kept``, a filter's name, ``same_picture``) → images.
        unusable: files that could not be read, by reason.
        copying: METHOD §5 over all images, with ``verdict`` (fine, close, copies) and ``words``.
        control: held-out real images: how many, share that each filter would reject, and how many
            of them the classifier gets right.
        filters: what was applied, in order, with all settings.
        verdicts: one row an image: id, label, kept, rejected_by, reason and scores.
        path: the folder that was written, or None.
    """

    real: str
    pool: str
    images: int
    kept: int
    counts: dict[str, dict[str, int]]
    unusable: dict[str, int]
    copying: dict[str, Any]
    control: dict[str, Any]
    filters: list[dict[str, Any]]
    verdicts: list[dict[str, Any]] = field(repr=False)
    path: Path | None = None


def curate(
    pool: str | Path | Mapping[str, Any],
    *,
    real: Source,
    out: Path | str | None = None,
    classes: Mapping[str, str] | None = None,
    filters: Sequence[str | Mapping[str, Any]] = (),
    keep: float | None = None,
    link: bool = False,
    store: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> Curated:
    """Judge every image of a pool against real images of the same classes; nothing is generated.

    A classifier is trained on nine tenths of the real images; the rest is held out, and thresholds
    are what those reach. Test images that the real data bring are never looked at.

    Args:
        pool: a folder with one sub-folder a class, a table, an export; or what stands under
            ``source:`` and beside it in a study's generator of kind ``pool``.
        real: see :func:`synthlift.api.ask`.
        out: a new or empty folder for the kept images, all verdicts and a page; None = write
            nothing.
        classes: their class name → ours, "" to leave a class out.
        filters: kinds, or mappings as in ``curation:`` of a study file; left out = those of the
            study file that ``real`` is, or all that reject by an image's own faults.
        keep: select so large a share of what is kept of each class, for diversity.
        link: link the kept images instead of copying them.
        store, device, workers, overrides: as for :func:`synthlift.api.run`.
        listener: what to call while images are read and judged.

    Raises:
        InputError: no such data, an unknown class or filter, an empty pool, a pool that is the
            real data itself, or ``out`` is not empty.
    """
    from synthlift.store import Store
    from synthlift.study.components import resolve_component
    from synthlift.study.curating import curate_pool
    from synthlift.study.devices import choose_device
    from synthlift.study.executors.local import Listener, LocalExecutor, default_workers
    from synthlift.study.ledger import Ledger
    from synthlift.study.session import Session

    folder = None if out is None else _free(Path(out).expanduser().absolute())
    asked = ask(real, store=store, overrides=overrides)
    told = _told(pool, classes or {})
    chosen = _chosen(asked, filters, keep)
    opened = Store(asked.store)
    hearing = listener or Listener()
    with LocalExecutor(opened, workers=default_workers(workers), listener=hearing) as executor:
        session = Session(
            study=asked.study,
            store=opened,
            executor=executor,
            ledger=Ledger(),
            base=asked.base,
            device=choose_device(device),
        )
        found = curate_pool(session, told, filters=chosen)
    settings = [
        {"name": one.title, "kind": one.kind, **resolve_component("filters", one)["config"]}
        for one in chosen
    ]
    curated = _curated(asked, told, found, settings)
    return curated if folder is None else _write(curated, found, opened, folder, link=link)


def _free(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"'{folder}' is not empty",
            rule="kept images are written into a new or empty folder",
            remedy="give another folder with --out",
        )
    return folder


def _told(pool: str | Path | Mapping[str, Any], classes: Mapping[str, str]) -> Pool:
    told: dict[str, Any] = {"source": str(pool)} if isinstance(pool, str | Path) else dict(pool)
    told["classes"] = {**told.get("classes", {}), **classes}
    # Relative to where the user stands, not to the real data's study file.
    path = Path(str(told["source"])).expanduser()
    if path.exists():
        told["source"] = str(path.resolve())
    return Pool.model_validate(told)


def _chosen(
    asked: Asked, filters: Sequence[str | Mapping[str, Any]], keep: float | None
) -> tuple[Component, ...]:
    from synthlift.study.curating import FILTERS

    chosen = tuple(Component.model_validate(one) for one in filters)
    if not chosen:
        given = "curation" in asked.study.model_fields_set
        chosen = asked.study.curation if given else FILTERS
    if keep is not None:
        chosen = (*chosen, Component.model_validate({"kind": "diversity", "keep": keep}))
    titles = [one.title for one in chosen]
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(
                f"filter '{title}' is given twice",
                rule="every filter is applied once",
                remedy="remove one of them",
            )
    return chosen


# ── findings ──────────────────────────────────────────────────────────────────────────────────


def _curated(
    asked: Asked, pool: Pool, found: Judgements, settings: list[dict[str, Any]]
) -> Curated:
    from synthlift.data.inventory import OK

    columns = found.columns
    verdicts = [
        {**dict(zip(columns, row, strict=True)), "kept": not row[2]}
        for row in zip(*columns.values(), strict=True)
    ]
    counts: dict[str, dict[str, int]] = {str(name): {"kept": 0} for name in found.opened.classes}
    for one in verdicts:
        reason = one["rejected_by"] or "kept"
        own = counts[one["label"]]
        own[reason] = own.get(reason, 0) + 1
    bad = [row for row in found.rows if row.status != OK]
    return Curated(
        real=asked.study.data.source,
        pool=pool.source,
        images=len(verdicts),
        kept=sum(one["kept"] for one in verdicts),
        counts=counts,
        unusable=dict(Counter(row.reason.partition(":")[0] for row in bad).most_common()),
        copying={**found.facts["copying"], **copying_verdict(found.facts["copying"])},
        control=found.facts["held_out"],
        filters=settings,
        verdicts=verdicts,
    )


def copying_verdict(facts: Mapping[str, Any]) -> dict[str, str]:
    """``{"verdict", "words"}`` of copying figures: fine, close, or copies (METHOD §5)."""
    ratio, copies, c_t = facts["ratio"], facts["copies"], facts["c_t"]
    usual = f"{copies:.1%} look like copies, as {facts['held_out_copies']:.1%} of new real ones do"
    near = "" if ratio != ratio else f"the copying ratio is {ratio:.2f}; "  # NaN: no common class
    if copies > COPIES_AT_MOST or c_t < C_T_FLAGS:
        return {"verdict": "copies", "words": f"images of the real data were copied: {near}{usual}"}
    if ratio < 1:
        words = f"the images lie closer to the real ones than new real images do: {near}{usual}"
        return {"verdict": "close", "words": words}
    words = f"the images lie no closer to the real ones than new real images do: {near}{usual}"
    return {"verdict": "fine", "words": words}


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def _write(
    curated: Curated, found: Judgements, store: Store, folder: Path, *, link: bool
) -> Curated:
    """Everything into a folder beside, which takes its name in one step when it is whole."""
    from dataclasses import asdict, replace

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    done = replace(curated, path=folder)
    try:
        partial.mkdir()
        (partial / IMAGES).mkdir()
        files = _write_kept(curated, found, partial, link=link)
        _write_table(partial / TABLE, _kept_rows(curated, files))
        _write_table(partial / VERDICTS, _all_rows(curated, found))
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
    from synthlift.api.exporting.entries import folder_names

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
            decoded = found.source.load(item.path, max_pixels=10**9)
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

    facts = {name: getattr(curated, name) for name in Curated.__dataclass_fields__}
    facts = {**facts, "pairs": found.facts["pairs"], "place": f"{curated.path}/{IMAGES}"}
    shown = shown_examples(facts, most=SHOWN)
    pictures = {("pool", name): pixels("pool", name) for name in shown}
    for pair in facts["pairs"]:
        pictures["pool", pair["id"]] = pixels("pool", pair["id"])
        pictures["real", pair["real"]] = pixels("real", pair["real"])
    return render_curation_page(facts, pictures=pictures, most=SHOWN)
