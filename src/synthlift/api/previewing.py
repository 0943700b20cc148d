"""A first look at what a study's generators make, and at what the study would take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.sources import Source, ask_with_plugins
from synthlift.errors import InputError
from synthlift.store.files import write_bytes_atomic
from synthlift.vision.sheets import contact_sheet, stacked, synthetic_png

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener

SECONDS = "2m"


@dataclass(frozen=True)
class Preview:
    """What was seen.

    Attributes:
        sheet: the contact sheet, PNG.
        generators: one a generator: name, kind, label (how far it was trained), steps, planned,
            steps_per_second, images_per_second, images (by class), redrawn and black (images that
            came out black; those that stayed so), remarks (what its fit warns of, too).
        classifier_steps_per_second: measured on one thread, or on the device.
        plan: what :func:`synthlift.api.plan` says of the study.
        seconds: that the preview took.
        reading_seconds: of them to read the pictures; next to none when they were read before.
    """

    sheet: Path
    generators: list[dict[str, Any]]
    classifier_steps_per_second: float
    plan: dict[str, Any] = field(repr=False)
    seconds: float = 0.0
    reading_seconds: float = 0.0


def preview(
    source: Source,
    *,
    out: Path | str | None = None,
    within: str = SECONDS,
    per_class: int = 4,
    store: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    budget: str | None = None,
    listener: Listener | None = None,
) -> Preview:
    """Fit every generator for a short while and show a few images of each class.

    Fits see the study's first training set only, never its test images. What is fitted stays in
    the store.

    Args:
        source: see :func:`synthlift.api.ask`.
        out: the PNG to write; ``preview-<name>.png`` here if left out; replaced in one step.
        within: about the whole time, such as 30s or 2m, without reading pictures for the first
            time: so a second preview finds the fits of the first one.
        per_class: images of each class and generator.
        store, device, workers, overrides, seed, budget: as for :func:`synthlift.api.plan`.
        listener: what to call while generators are fitted.

    Raises:
        InputError: no generator, unfit data, a wrong time, or no folder for the sheet.
    """
    from synthlift.store import Store
    from synthlift.study.budget import parse_budget
    from synthlift.study.devices import choose_device
    from synthlift.study.executors.local import Listener, LocalExecutor, default_workers
    from synthlift.study.ledger import Ledger
    from synthlift.study.previewing import preview_study
    from synthlift.study.session import Session
    from synthlift.study.sparing import Spared

    began = time.perf_counter()
    seconds = parse_budget(within)
    if not 1 <= per_class <= 64:
        raise InputError(
            f"{per_class} images per class",
            rule="a preview shows 1 to 64 of each class",
            remedy="give --per-class 4; `synthlift generate` makes more",
        )
    asked = ask_with_plugins(source, store=store, overrides=overrides, seed=seed, budget=budget)
    sheet = Path(out or f"preview-{asked.study.name}.png").expanduser().absolute()
    if not sheet.parent.is_dir() or sheet.is_dir():
        raise InputError(
            f"'{sheet}' cannot be written",
            rule="the contact sheet is a PNG file in an existing folder",
            remedy="make the folder first, or name another file with --out",
        )
    opened = Store(asked.store)
    hearing, count = listener or Listener(), default_workers(workers)
    with (
        Spared(opened) as spared,
        LocalExecutor(opened, workers=count, listener=hearing) as executor,
    ):
        session = Session(
            study=asked.study,
            store=opened,
            executor=executor,
            ledger=Ledger(),
            base=asked.base,
            device=choose_device(device),
            preset=dict(asked.preset or {}),
            preset_key=asked.preset_key,
            spare=spared.add,
        )
        plan, glimpses = preview_study(session, seconds=seconds, per_class=per_class, workers=count)
    sheets = [
        contact_sheet(one.pictures, title=f"{_called(one.name, one.kind)}, {one.label}")
        for one in glimpses
    ]
    write_bytes_atomic(sheet, synthetic_png(stacked(sheets)))
    return Preview(
        sheet=sheet,
        generators=[
            {
                "name": one.name,
                "kind": one.kind,
                "label": one.label,
                "steps": one.steps,
                "planned": one.planned,
                "steps_per_second": one.steps_per_second,
                "images_per_second": one.images_per_second,
                "images": {label: len(row) for label, row in one.pictures.items()},
                "redrawn": one.blackened.redrawn,
                "black": one.blackened.black,
                "remarks": [*one.warnings, *filter(None, [one.blackened.words])],
            }
            for one in glimpses
        ],
        classifier_steps_per_second=plan.pop("classifier_steps_per_second"),
        reading_seconds=plan.pop("reading_seconds"),
        plan=plan,
        seconds=time.perf_counter() - began,
    )


def _called(name: str, kind: str) -> str:
    return name if name == kind else f"{name} ({kind})"
