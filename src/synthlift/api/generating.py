"""Images from a run's generator, or from one that is fitted on a folder first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from synthlift.api.images import GENERATORS, read_component
from synthlift.api.kept_generators import COMPONENT, Kept, kept_folder, load_plugins_of, open_kept
from synthlift.api.sources import Asked, Source, ask
from synthlift.api.varying import (
    USUAL_STRENGTH,
    Fit,
    read_picture,
    require_able,
    require_strength,
    start_of,
)
from synthlift.data.wording import listed
from synthlift.errors import InputError, nearest_name
from synthlift.spec.study import Component
from synthlift.store.files import write_json_atomic
from synthlift.vision.sheets import contact_sheet

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener
    from synthlift.study.preparation import Prepared
    from synthlift.types import UInt8

SHEET = "contact-sheet.png"
HALVED = "sampling_memory"


@dataclass(frozen=True)
class Generated:
    """What was written: the folder, images per class or cell, and the contact sheet.

    ``fitted_on`` says in words what a generator that was fitted first learnt from, else "";
    ``remarks`` say what of the wish has no effect, such as words that no text encoder reads.
    """

    path: Path
    counts: dict[str, int]
    sheet: Path
    fitted_on: str = ""
    remarks: tuple[str, ...] = ()


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
        source: a finished run, a folder that this function wrote, or images to fit on first.
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
    from synthlift.study.stages.generation import SHEETS
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
    place, fitted_on = kept_folder(source, generator), ""
    wishes = partial(
        params_for,
        prompt=prompt,
        negative_prompt=negative_prompt,
        guidance=guidance,
        steps=steps,
        attributes=asked_by,
    )
    if place is not None:
        load_plugins_of(source)
        name, facts = place.name, read_component(place)
        params = wishes(facts["kind"])
        picture = _picture(from_picture, facts["kind"], source=source)
    else:
        asked = ask(source, store=store, overrides=overrides)
        params = wishes(_component(asked, generator).kind)
        picture = _picture(from_picture, _component(asked, generator).kind, source=asked)
        name, place, facts, fitted_on = _fit(
            asked,
            name=generator,
            attributes=sorted(asked_by),
            device=device,
            workers=workers,
            listener=listener,
        )
    # What an earlier folder's images had to do for lack of memory says nothing of these.
    facts = {key: value for key, value in facts.items() if key != HALVED}
    chosen = choose_classes(classes, facts["classes"])
    require_learnt(asked_by, name, facts)
    kept = open_kept(place, name=name, facts=facts, device=_device(device), run=source, store=store)
    start = None
    if picture is not None:
        start = start_of(kept, picture[0], strength=strength, fit=picture[1])
    parts = parts_of(
        kept, chosen, count=per_class, seed=seed, attributes=asked_by, params=params, start=start
    )
    _require_images(kept, parts)
    begin(
        folder,
        {
            "generator": {"name": name, **facts},
            "classes": chosen,
            "attributes": asked_by,
            "per_class": per_class,
            "seed": seed,
            "device": kept.device,
            **({} if start is None else {"start": start.as_json()}),
            **({"params": params} if params else {}),
        },
    )
    target = folder / GENERATORS / name
    halved = _halved_before(target)

    def note() -> None:
        write_json_atomic(target / COMPONENT, {**facts, **({HALVED: halved} if halved else {})})

    shutil.copytree(place, target, dirs_exist_ok=True)
    note()
    copy_sheets(place.parent / SHEETS, folder / TRAINING / name)
    counts, pictures = write_images(kept, parts, folder, progress, halved=halved, on_halved=note)
    sheet = folder / SHEET
    contact_sheet(pictures).save(sheet)
    finish(folder)
    return Generated(folder, counts, sheet, fitted_on, tuple(remarks_on(kept, params)))


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


def _device(wanted: str) -> str:
    from synthlift.study.devices import choose_device

    return choose_device(wanted)


def require_learnt(attributes: Mapping[str, object], name: str, facts: Mapping[str, Any]) -> None:
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

    study, store, component = asked.study, Store(asked.store), _component(asked, name)
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
        opened = open_data(session, few=True)
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
        component = conditioned(component, (), names=study.data.names)
        if attributes:
            learns = {**component.model_dump(), "attributes": list(attributes)}
            component = Component.model_validate(learns)
        # A pool is read with the columns that its images are asked for by.
        named = {one.title: one for one in study.generators} | {component.title: component}
        session.study = study.model_copy(update={"generators": tuple(named.values())})
        open_beside(session, prepared)
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


def _component(asked: Asked, name: str | None) -> Component:
    """The study's generator of a name, the first if None.

    Raises:
        InputError: it has none.
    """
    components = {component.title: component for component in asked.study.generators}
    if not components or (name is not None and name not in components):
        raise InputError(
            f"the study has no generator '{name or ''}'",
            rule=f"its generators are: {', '.join(components) or 'none'}",
            remedy="name one of them with --generator",
        )
    return components[name or next(iter(components))]


def _words(prepared: Prepared) -> str:
    images = prepared.split.summary["images"][0]
    train, validation, test = (
        sum(images[part].values()) for part in ("train", "validation", "test")
    )
    text = f"fitted on {train:,} images, watched on {validation:,}, {test:,} left out"
    if prepared.design.reason:
        text += f": {prepared.design.reason}"
    whole = [name for name, n in images["train"].items() if n and not images["validation"][name]]
    if whole:
        text += f"; none of {listed(whole)} is held out to tell whether images of it are copies"
    return text
