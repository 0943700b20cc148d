"""Where a generator comes from: a folder that keeps it, images to fit it on, or a model at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from synthlift.api.images import read_component
from synthlift.api.kept_generators import (
    BLACKENED,
    HALVED,
    Kept,
    kept_folder,
    load_plugins_of,
    open_kept,
)
from synthlift.api.sources import Asked, Source, ask_with_plugins
from synthlift.errors import InputError, nearest_name

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener

MODEL = "model:"
"""How a source begins that is a text-to-image model at hand."""


@dataclass(frozen=True)
class Opened:
    """A generator that is ready to draw.

    Attributes:
        kept: the generator.
        classes: names of those that it is asked for.
        facts: what its ``component.json`` says.
        save: writes it into a folder.
        sheets: where sample sheets of its training lie; None = it has none.
        fitted_on: what it learnt from, in words, if it was fitted for this.
    """

    kept: Kept
    classes: list[str]
    facts: dict[str, Any]
    save: Callable[[Path], object]
    sheets: Path | None = None
    fitted_on: str = ""


@dataclass(frozen=True)
class Wants:
    """What is wanted of a generator when it is opened.

    Attributes:
        classes: only these; all that it knows if empty.
        attributes: values by name.
        prompted: whether words say what images show.
        store: where results are shared, if it was named.
        device: torch device string, or ``auto``.
        workers: processes that fit.
        listener: what to call while a generator is fitted.
    """

    classes: Sequence[str]
    attributes: Mapping[str, Sequence[str]]
    prompted: bool
    store: Path | str | None
    device: str
    workers: int | None
    listener: Listener | None

    @property
    def chosen_device(self) -> str:
        """Device that there is."""
        from synthlift.study.devices import choose_device

        return choose_device(self.device)


class Origin(Protocol):
    """Where a generator comes from."""

    @property
    def kind(self) -> str:
        """What kind of generator it is."""

    @property
    def source(self) -> Source:
        """What tells how pictures are read."""

    def open(self, wants: Wants) -> Opened:
        """Open or fit it."""


def origin_of(
    source: Source, name: str | None, *, store: Path | str | None, overrides: Sequence[str]
) -> Origin:
    """Where the generator of a name comes from; the first of the source if None.

    Raises:
        InputError: there is no such source, or no such generator in it.
    """
    if isinstance(source, str) and source.startswith(MODEL):
        return _model(source.removeprefix(MODEL), name, overrides)
    place = kept_folder(source, name)
    if place is not None:
        load_plugins_of(source)
        return _Folder(source, place)
    from synthlift.api.fitting import component_of

    asked = ask_with_plugins(source, store=store, overrides=overrides)
    return _Images(asked, name, kind=component_of(asked, name).kind)


@dataclass(frozen=True)
class _Folder:
    """A folder that keeps the generator."""

    source: Source
    place: Path

    @property
    def kind(self) -> str:
        return str(read_component(self.place)["kind"])

    def open(self, wants: Wants) -> Opened:
        return _kept(self.place, read_component(self.place), wants, run=self.source)


@dataclass(frozen=True)
class _Images:
    """Images to fit it on."""

    source: Asked
    name: str | None
    kind: str

    def open(self, wants: Wants) -> Opened:
        from synthlift.api.fitting import fit_on

        name, place, facts, words = fit_on(
            self.source,
            name=self.name,
            attributes=sorted(wants.attributes),
            device=wants.device,
            workers=wants.workers,
            listener=wants.listener,
        )
        opened = _kept(place, facts, wants, run=self.source, name=name, fitted_on=words)
        return replace(opened, save=partial(self._save, opened))

    def _save(self, opened: Opened, folder: Path) -> None:
        from synthlift.api.fitting import component_of
        from synthlift.study.beside import copy_terms

        opened.save(folder)
        # A fit that studies share says nothing of where its pool lies.
        copy_terms(component_of(self.source, self.name), base=self.source.base, target=folder)


@dataclass(frozen=True)
class _Model:
    """A text-to-image model at hand, which knows no classes: words say what it draws."""

    source: Source
    name: str
    kind: str

    def open(self, wants: Wants) -> Opened:
        from synthlift.api.pretrained import facts_of, open_pretrained

        if wants.attributes:
            raise InputError(
                f"values of {', '.join(sorted(wants.attributes))} for a model without a study",
                rule="such a model knows no attributes: words say what it draws",
                remedy="say the values in --prompt",
            )
        kept = open_pretrained(self.name, classes=wants.classes, device=wants.chosen_device)
        require_words(kept, wants.prompted)
        return Opened(kept, list(kept.classes), facts_of(kept), kept.fitted.save)


def _model(name: str, generator: str | None, overrides: Sequence[str]) -> _Model:
    from synthlift.api.pretrained import KIND, find_pretrained

    find_pretrained(name)
    if generator is not None or overrides:
        given = f"--generator {generator}" if generator is not None else f"--set {overrides[0]}"
        raise InputError(
            f"{given} for a model without a study",
            rule="it is one generator, as it comes",
            remedy="leave it out; for other settings write a study: synthlift init DATA "
            "--text-to-image PATH",
        )
    return _Model(MODEL + name, name, KIND)


def _kept(
    place: Path,
    told: Mapping[str, Any],
    wants: Wants,
    *,
    run: Source,
    name: str | None = None,
    fitted_on: str = "",
) -> Opened:
    """Open what lies in a folder, when it knows what is asked for."""
    from synthlift.study.stages.generation import SHEETS

    called = name or place.name
    # What an earlier folder's images had to do for lack of memory says nothing of these.
    facts = {key: value for key, value in told.items() if key not in (HALVED, BLACKENED)}
    chosen = choose_classes(wants.classes, facts["classes"])
    require_learnt(wants.attributes, called, facts)
    kept = open_kept(
        place, name=called, facts=facts, device=wants.chosen_device, run=run, store=wants.store
    )
    require_words(kept, wants.prompted)
    save = partial(shutil.copytree, place, dirs_exist_ok=True)
    return Opened(kept, chosen, facts, save, sheets=place.parent / SHEETS, fitted_on=fitted_on)


# ── checks ────────────────────────────────────────────────────────────────────────────────────


def require_words(kept: Kept, prompted: bool) -> None:
    """Refuse a model that is told neither a class nor words.

    Raises:
        InputError: it is told neither.
    """
    if kept.nameless and not prompted:
        raise InputError(
            "a model that knows no classes, without words",
            rule="words say what it draws, or names of classes do",
            remedy='give --prompt "a thick red seven", or --class NAME',
        )


def require_learnt(attributes: Collection[str], name: str, facts: Mapping[str, Any]) -> None:
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
