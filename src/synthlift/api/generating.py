"""Images from a run's generator, or from one that is fitted on a folder first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.api.asking import params_for, remarks_on
from synthlift.api.drawing import Halved, batches
from synthlift.api.generated_folder import (
    Part,
    Progress,
    begin,
    finish,
    parts_of,
    require_free,
    write_images,
)
from synthlift.api.images import GENERATORS
from synthlift.api.kept_generators import BLACKENED, COMPONENT, HALVED, Kept
from synthlift.api.origins import Wants, origin_of
from synthlift.api.sources import Source
from synthlift.api.varying import (
    USUAL_STRENGTH,
    Fit,
    read_picture,
    require_able,
    require_strength,
    start_of,
)
from synthlift.data.wording import listed
from synthlift.errors import InputError
from synthlift.spec.blackened import Blackened
from synthlift.store.files import write_json_atomic
from synthlift.vision.sheets import contact_sheet, synthetic_png

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener
    from synthlift.types import UInt8

SHEET = "contact-sheet.png"


@dataclass(frozen=True)
class Generated:
    """What was written: the folder, images per class or cell, and the contact sheet.

    ``fitted_on`` says in words what a generator that was fitted first learnt from, else "";
    ``remarks`` say what of the wish has no effect, such as words that no text encoder reads, and
    how many images came out black: ``redrawn`` of them were drawn anew, ``black`` stayed black.
    """

    path: Path
    counts: dict[str, int]
    sheet: Path
    fitted_on: str = ""
    remarks: tuple[str, ...] = ()
    redrawn: int = 0
    black: int = 0


def generate(
    source: Source,
    *,
    per_class: int,
    out: Path | str,
    seed: int = 0,
    generator: str | None = None,
    classes: Sequence[str] = (),
    attributes: Mapping[str, str | Sequence[str]] | None = None,
    from_picture: Path | str | None = None,
    strength: float = USUAL_STRENGTH,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    guidance: float | None = None,
    steps: int | None = None,
    store: Path | str | None = None,
    device: str = "auto",
    workers: int | None = None,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
    progress: Progress = lambda _done, _total, _note: None,
) -> Generated:
    """Write images per class as PNG, with ``provenance.csv`` and a contact sheet.

    Masks are written beside them, under ``masks/``, by a generator that knows what it drew.

    The same generator, seed and class give the same images; more of them begin with the same. What
    was stopped goes on where it was when it is asked for again.
    A generator that is fitted first never learns from test images that the data bring, or that
    ``data.split`` of a study names; without such, it learns from all images but a few that are held
    out to watch it. A class with one or two images is learnt from whole, and ``fitted_on`` says so.

    Args:
        source: a finished run, a folder that this function wrote, images to fit on first, or
            ``model:NAME``, a text-to-image model at hand; what such a model draws, a prompt says,
            or the names in ``classes``, which may be any then.
        per_class: images of each class, or of each of its cells where attributes have several
            values.
        out: a new or empty folder, or one in which the same was begun.
        seed: everything random about the images derives from it.
        generator: which of the run's generators; the first if left out.
        classes: only these; all if left out.
        attributes: values that images are asked for by, one or several of each attribute; a
            generator that is fitted first learns these attributes.
        from_picture: an image file that all images start from, for generators that can.
        strength: with ``from_picture``, the share of the picture that is lost before an image is
            drawn, above 0 to 1: little changes little, 1 leaves nothing of it.
        prompt, negative_prompt, guidance, steps: what images show and do not show in words of
            one's own, how strictly they follow them or their class, and the steps from noise to
            image; each for generators that can, by default as the generator has it.
        store, device, workers, overrides: as for :func:`synthlift.api.run`.
        listener: what to call while a generator is fitted.
        progress: called as ``progress(done, total, note)`` while images are written.

    Raises:
        InputError: no generator there, an unknown class, attribute or value, or ``out`` is not
            empty; the picture is none, or the generator cannot start from one; it takes no prompt,
            or no other guidance and steps.
    """
    from synthlift.study.folder import TRAINING
    from synthlift.study.stages.sheets import copy_sheets

    asked_by = {
        name: (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
        for name, given in (attributes or {}).items()
    }
    folder = Path(out).expanduser().absolute()
    if per_class < 1:
        raise InputError(
            f"{per_class} images per class", rule="at least 1 is made", remedy="give --per-class 20"
        )
    require_strength(strength)
    require_free(folder)
    origin = origin_of(source, generator, store=store, overrides=overrides)
    params = params_for(
        origin.kind,
        prompt=prompt,
        negative_prompt=negative_prompt,
        guidance=guidance,
        steps=steps,
        attributes=asked_by,
    )
    picture = _picture(from_picture, origin.kind, source=origin.source)
    opened = origin.open(
        Wants(
            classes=tuple(dict.fromkeys(classes)),
            attributes=asked_by,
            prompted=prompt is not None,
            store=store,
            device=device,
            workers=workers,
            listener=listener,
        )
    )
    kept, facts = opened.kept, opened.facts
    start = None
    if picture is not None:
        start = start_of(kept, picture[0], strength=strength, fit=picture[1])
    parts = parts_of(
        kept,
        opened.classes,
        count=per_class,
        seed=seed,
        attributes=asked_by,
        params=params,
        start=start,
    )
    _require_images(kept, parts)
    begin(
        folder,
        {
            "generator": {"name": kept.name, **facts},
            "classes": opened.classes,
            "attributes": asked_by,
            "per_class": per_class,
            "seed": seed,
            "device": kept.device,
            **({} if start is None else {"start": start.as_json()}),
            **({"params": params} if params else {}),
        },
    )
    target = folder / GENERATORS / kept.name
    halved, blackened = _halved_before(target), Blackened()

    def note() -> None:
        told = {HALVED: halved, BLACKENED: asdict(blackened) if blackened.redrawn else None}
        write_json_atomic(target / COMPONENT, {**facts, **{k: v for k, v in told.items() if v}})

    opened.save(target)
    note()
    if opened.sheets is not None:
        copy_sheets(opened.sheets, folder / TRAINING / kept.name)
    counts, pictures = write_images(
        kept, parts, folder, progress, halved=halved, blackened=blackened, on_halved=note
    )
    note()
    sheet = folder / SHEET
    sheet.write_bytes(synthetic_png(contact_sheet(pictures)))
    finish(folder)
    return Generated(
        folder,
        counts,
        sheet,
        opened.fitted_on,
        remarks=tuple(filter(None, [*remarks_on(kept, params), blackened.words])),
        redrawn=blackened.redrawn,
        black=blackened.black,
    )


def _require_images(kept: Kept, parts: Sequence[Part]) -> None:
    """Refuse what the generator cannot make before anything is written.

    Raises:
        InputError: it knows no such class or value, or has nothing to make a single image from.
    """
    made = 0
    for part in parts:
        first, start = part.wanted.requests(0, 1), part.wanted.start
        drawn = batches(kept.fitted, first, device=kept.device, halved=[], start=start)
        made += sum(len(batch) for batch in drawn)
    if not made:
        raise InputError(
            f"generator '{kept.name}' can make no image of {listed([p.title for p in parts])}",
            rule="what is made of pictures, objects or masks needs one of the class, with the "
            "values asked for",
            remedy="ask for another class or value, or give the generator pictures of this one",
        )


def _picture(file: Path | str | None, kind: str, *, source: Source) -> tuple[UInt8, Fit] | None:
    """The picture to start from, and how it becomes square; before anything takes time."""
    if file is None:
        return None
    require_able(kind)
    return read_picture(Path(file).expanduser(), source=source)


def _halved_before(target: Path) -> list[Halved]:
    """Where an earlier attempt ran out of memory."""
    known = target / COMPONENT
    told = json.loads(known.read_text("utf-8")) if known.is_file() else {}
    return list(told.get(HALVED, []))
