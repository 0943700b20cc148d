"""Images from a run's generator, or from one that is fitted on a folder first."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.api.drawing import Halved, Wanted, batches, drawn, told_of
from synthlift.api.images import GENERATORS, read_component
from synthlift.api.kept_generators import COMPONENT, Kept, kept_folder, load_plugins_of, open_kept
from synthlift.api.sources import Asked, Source, ask
from synthlift.errors import InputError, nearest_name
from synthlift.spec.provenance import png_bytes
from synthlift.spec.study import Component
from synthlift.store.files import write_json_atomic
from synthlift.vision.sheets import SHEET_COLUMNS, contact_sheet

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener
    from synthlift.study.preparation import Prepared
    from synthlift.types import UInt8

SHEET, PROVENANCE, MASKS = "contact-sheet.png", "provenance.csv", "masks"
COLUMNS = ("file", "label", "generator", "kind", "fit_seed", "index", "seed", "made_from", "prompt")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Generated:
    """What was written: the folder, images per class, and the contact sheet.

    ``fitted_on`` says in words what a generator that was fitted first learnt from, else "".
    """

    path: Path
    counts: dict[str, int]
    sheet: Path
    fitted_on: str = ""


def generate(
    source: Source,
    *,
    per_class: int,
    out: Path | str,
    seed: int = 0,
    generator: str | None = None,
    classes: Sequence[str] = (),
    attributes: Mapping[str, str] | None = None,
    store: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
    progress: Progress = lambda _done, _total, _note: None,
) -> Generated:
    """Write images per class as PNG, with ``provenance.csv`` and a contact sheet.

    Masks are written beside them, under ``masks/``, by a generator that knows what it drew.

    The same generator, seed and class give the same images; more of them begin with the same.
    A generator that is fitted first never learns from test images that the data bring, or that
    ``data.split`` of a study names; without such, it learns from all images but a few that are held
    out to watch it.

    Args:
        source: a finished run, a folder that this function wrote, or images to fit on first.
        per_class: images of each class.
        out: a new or empty folder.
        seed: everything random about the images derives from it.
        generator: which of the run's generators; the first if left out.
        classes: only these; all if left out.
        attributes: values that all images are asked for by; a generator that is fitted first
            learns these attributes.
        store, device, workers, overrides: as for :func:`synthlift.api.run`.
        listener: what to call while a generator is fitted.
        progress: called as ``progress(done, total, note)`` while images are written.

    Raises:
        InputError: no generator there, an unknown class, attribute or value, or ``out`` is not
            empty.
    """
    from synthlift.study.folder import TRAINING
    from synthlift.study.stages.generation import SHEETS
    from synthlift.study.stages.sheets import copy_sheets

    asked_by = dict(attributes or {})
    folder = Path(out).expanduser().absolute()
    if per_class < 1:
        raise InputError(
            f"{per_class} images per class", rule="at least 1 is made", remedy="give --per-class 20"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"'{folder}' is not empty",
            rule="images are written into a new or empty folder",
            remedy="give another folder with --out",
        )
    place, fitted_on = kept_folder(source, generator), ""
    if place is not None:
        load_plugins_of(source)
        name, facts = place.name, read_component(place)
    else:
        asked = ask(source, store=store, overrides=overrides)
        name, place, facts, fitted_on = _fit(
            asked,
            name=generator,
            attributes=sorted(asked_by),
            device=device,
            workers=workers,
            listener=listener,
        )
    chosen = choose_classes(classes, facts["classes"])
    require_learnt(asked_by, name, facts)
    kept = open_kept(place, name=name, facts=facts, device=_device(device), run=source, store=store)
    wanted = {label: Wanted(kept, label, per_class, seed, asked_by) for label in chosen}
    for one in wanted.values():
        # Refuses what it cannot make before anything is written.
        list(batches(kept.fitted, one.requests(0, 1), device=kept.device, halved=[]))
    target = folder / GENERATORS / name
    shutil.copytree(place, target)
    write_json_atomic(target / COMPONENT, facts)
    copy_sheets(place.parent / SHEETS, folder / TRAINING / name)
    halved: list[Halved] = []
    counts, pictures = _write_all(kept, wanted, folder, progress, halved=halved)
    if halved:
        write_json_atomic(target / COMPONENT, {**facts, "sampling_memory": halved})
    sheet = folder / SHEET
    contact_sheet(pictures).save(sheet)
    return Generated(folder, counts, sheet, fitted_on)


def _device(wanted: str) -> str:
    from synthlift.study.devices import choose_device

    return choose_device(wanted)


def require_learnt(attributes: Mapping[str, str], name: str, facts: Mapping[str, Any]) -> None:
    """Refuse attributes that a generator was not fitted on.

    Raises:
        InputError: it names the ones that there are.
    """
    learnt = facts["config"].get("attributes", ())
    for attribute in attributes:
        if attribute not in learnt:
            raise InputError(
                f"attribute '{attribute}'{nearest_name(attribute, learnt)}",
                rule=f"generator '{name}' was fitted on the attributes: "
                + (", ".join(learnt) or "none"),
                remedy="leave it out, or fit a generator with it: synthlift generate FOLDER "
                "--attribute NAME=VALUE",
            )


def choose_classes(wanted: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The wanted ones, each once; all where none is named.

    Raises:
        InputError: one is unknown.
    """
    for name in wanted:
        if name not in classes:
            raise InputError(
                f"there is no class '{name}'{nearest_name(name, classes)}",
                rule=f"the generator knows: {', '.join(classes)}",
                remedy="name one of them",
            )
    return list(dict.fromkeys(wanted)) or list(classes)


# ── writing ───────────────────────────────────────────────────────────────────────────────────


def _write_all(
    kept: Kept,
    wanted: Mapping[str, Wanted],
    folder: Path,
    progress: Progress,
    *,
    halved: list[Halved],
) -> tuple[dict[str, int], dict[str, list[UInt8]]]:
    """Sample and write class by class.

    Returns:
        Images written of each class – fewer than wanted where a fixed stock ends – and the first
        few of them.
    """
    shown: dict[str, list[UInt8]] = {name: [] for name in wanted}
    counts = dict.fromkeys(wanted, 0)
    total = sum(one.count for one in wanted.values())
    asked_by = sorted({name for one in wanted.values() for name in one.attributes})
    with (folder / PROVENANCE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *asked_by])
        for name, one in wanted.items():
            (folder / "images" / name).mkdir(parents=True, exist_ok=True)
            for request, image in drawn(kept, one, halved=halved):
                pixels, mask, made_from, prompt = image
                file = f"images/{name}/{kept.name}_{request.index:05d}.png"
                told = told_of(kept, name, request, image)
                (folder / file).write_bytes(png_bytes(pixels, facts=told))
                if mask is not None:
                    _write_mask(folder / MASKS / Path(file).relative_to("images"), mask, told)
                facts = [kept.name, kept.kind, kept.seed, request.index, request.seed, made_from]
                facts.append(prompt)
                writer.writerow([file, name, *facts, *map(request.attributes.get, asked_by)])
                if len(shown[name]) < SHEET_COLUMNS:
                    shown[name].append(np.array(pixels))
                counts[name] += 1
                progress(sum(counts.values()), total, name)
    return counts, shown


def _write_mask(path: Path, mask: UInt8, told: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(mask[:, :, None], facts=told))


# ── fitting ───────────────────────────────────────────────────────────────────────────────────


def _fit(
    asked: Asked,
    *,
    name: str | None,
    attributes: Sequence[str],
    device: str,
    workers: int | None,
    listener: Listener | None,
) -> tuple[str, Path, dict[str, Any], str]:
    """Fit a generator on a folder through the store; a second call finds it there.

    Returns:
        Its name, its folder in the store, what ``component.json`` says of it, and what it learnt
        from, in words.
    """
    from synthlift.data.sizes import choose_channels, choose_size
    from synthlift.store import Store
    from synthlift.study.beside import open_beside
    from synthlift.study.census import conditioned
    from synthlift.study.devices import choose_device
    from synthlift.study.executors.local import Listener, LocalExecutor, default_workers
    from synthlift.study.generation import fit_request
    from synthlift.study.layout import make_layout
    from synthlift.study.ledger import Ledger
    from synthlift.study.preparation import (
        design_for_fitting,
        open_data,
        original_sizes,
        prepare,
    )
    from synthlift.study.session import Session
    from synthlift.study.stages.generation import SAVED

    study, store = asked.study, Store(asked.store)
    components = {component.title: component for component in study.generators}
    if not components or (name is not None and name not in components):
        raise InputError(
            f"the study has no generator '{name or ''}'",
            rule=f"its generators are: {', '.join(components) or 'none'}",
            remedy="name one of them with --generator",
        )
    hearing = listener or Listener()
    with LocalExecutor(store, workers=default_workers(workers), listener=hearing) as executor:
        session = Session(
            study=study,
            store=store,
            executor=executor,
            ledger=Ledger(),
            base=asked.base,
            device=choose_device(device),
        )
        opened = open_data(session)
        widths, heights, grey = original_sizes(opened)
        given = study.data.image_size
        layout = make_layout("fixed", replicates=1, fits=1)
        prepared = prepare(
            session,
            opened,
            design=design_for_fitting(session, opened),
            image_size=given if isinstance(given, int) else choose_size(widths, heights)[0],
            channels=choose_channels(grey, wanted=study.data.channels)[0],
            layout=layout,
        )
        component = components[name or next(iter(components))]
        component = conditioned(component, (), names=study.data.names)
        open_beside(session, prepared)
        if attributes:
            learns = {**component.model_dump(), "attributes": list(attributes)}
            component = Component.model_validate(learns)
        request = fit_request(session, component, layout.units[0], prepared.data)
        (fitted,) = session.ask([request])
    facts = {
        **fitted.record["config"]["generator"],
        "classes": list(opened.classes),
        "image_shape": list(prepared.image_shape),
        "fit": fitted.key,
        "seed": fitted.record["seed"],
    }
    return component.title, fitted.folder / SAVED, facts, _words(prepared)


def _words(prepared: Prepared) -> str:
    images = prepared.split.summary["images"][0]
    train, validation, test = (
        sum(images[part].values()) for part in ("train", "validation", "test")
    )
    text = f"fitted on {train:,} images, watched on {validation:,}, {test:,} left out"
    return f"{text}: {prepared.design.reason}" if prepared.design.reason else text
