"""Judging anyone's images against a folder of real ones: which can be used, and why others not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.curated_folder import write_curated
from synthlift.api.sources import Asked, Source, ask_with_plugins
from synthlift.errors import InputError
from synthlift.spec.data import Pool
from synthlift.spec.study import FilterComponent

if TYPE_CHECKING:
    from synthlift.study.curating import Judgements
    from synthlift.study.executors.local import Listener

COPIES_AT_MOST, C_T_CLOSE = 0.1, -2.0
"""So many more copies than new real images are called copying, a lower C_T close (METHOD §5)."""


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
        verdicts: one row an image: id, label, kept, rejected_by, reason, the nearest real image and
            scores.
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
    from synthlift.study.sparing import Spared

    folder = None if out is None else _free(Path(out).expanduser().absolute())
    asked = ask_with_plugins(real, store=store, overrides=overrides)
    told = _told(pool, classes or {})
    chosen = _chosen(asked, filters, keep)
    opened = Store(asked.store)
    hearing = listener or Listener()
    with (
        Spared(opened) as spared,
        LocalExecutor(opened, workers=default_workers(workers), listener=hearing) as executor,
    ):
        session = Session(
            study=asked.study,
            store=opened,
            executor=executor,
            ledger=Ledger(),
            base=asked.base,
            device=choose_device(device),
            spare=spared.add,
        )
        found = curate_pool(session, told, filters=chosen)
    settings = [
        {"name": one.title, "kind": one.kind, **resolve_component("filters", one)["config"]}
        for one in chosen
    ]
    curated = _curated(asked, told, found, settings)
    return curated if folder is None else write_curated(curated, found, opened, folder, link=link)


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
) -> tuple[FilterComponent, ...]:
    from synthlift.study.components import strengths_of
    from synthlift.study.curating import FILTERS

    chosen = tuple(FilterComponent.model_validate(one) for one in filters)
    if not chosen:
        given = "curation" in asked.study.model_fields_set
        chosen = asked.study.curation if given else FILTERS
    if keep is not None:
        chosen = (*chosen, FilterComponent.model_validate({"kind": "diversity", "keep": keep}))
    for one in chosen:
        if one.strength == "auto":
            raise InputError(
                f"filter '{one.title}' with strength: auto",
                rule="strengths are chosen by the models of a study; here none is trained on the "
                "images that are judged",
                remedy="name one of: " + ", ".join(strengths_of(one)),
            )
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
        copying=_copying(found.facts["copying"]),
        control=found.facts["held_out"],
        filters=settings,
        verdicts=verdicts,
    )


def _copying(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures and what they say; None where there is no number, as JSON wants it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {**plain(facts), **copying_verdict(facts)}


def copying_verdict(facts: Mapping[str, Any]) -> dict[str, str]:
    """``{"verdict", "words"}`` of copying figures: fine, close, or copies (METHOD §5).

    Copies are found image by image. Close is what chance does not explain (C_T): half of all sets
    of new real images have a ratio below 1. C_T grows with the number of images, so that it says
    whether they are closer, not how much.
    """
    ratio, copies, c_t = facts["ratio"], facts["copies"], facts["c_t"]
    usual = f"{copies:.1%} look like copies, as {facts['held_out_copies']:.1%} of new real ones do"
    # NaN: no common class.
    near = "" if ratio != ratio else f"the copying ratio is {ratio:.2f}, C_T {c_t:.1f}; "
    if copies - facts["held_out_copies"] > COPIES_AT_MOST:
        return {"verdict": "copies", "words": f"images of the real data were copied: {near}{usual}"}
    if c_t < C_T_CLOSE:
        words = f"the images lie closer to the real ones than new real images do: {near}{usual}"
        return {"verdict": "close", "words": words}
    chance = ", which chance explains" if ratio < 1 else ""
    words = f"no sign that the images lie closer to the real ones than new real images do{chance}"
    words = f"{words}: {near}{usual}"
    return {"verdict": "fine", "words": words}
