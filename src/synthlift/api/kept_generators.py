"""Generators that a folder keeps: which there are, and opening one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.images import GENERATORS, read_component
from synthlift.api.sources import Source, ask, ask_with_plugins, is_run_folder
from synthlift.errors import InputError, nearest_name
from synthlift.study.folder import run_facts

if TYPE_CHECKING:
    from synthlift.store import Store
    from synthlift.types import FittedGenerator

COMPONENT = "component.json"
NAMELESS = "nameless"
"""In it: words alone say what the generator draws; its one class is none."""
HALVED = "sampling_memory"
"""In it: from which image on fewer were computed together, for lack of memory."""
BLACKENED = "blackened"
"""In it: how many images of the folder came out black and were drawn anew."""


@dataclass(frozen=True)
class Kept:
    """A generator as a folder keeps it.

    Attributes:
        name, kind: in the study.
        classes: class names in index order.
        seed: of its fit.
        fitted: ready to sample.
        device: where it is.
        nameless: whether its one class is none: words alone say what it draws.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    seed: int
    fitted: FittedGenerator
    device: str = "cpu"
    nameless: bool = False


def open_generator(run: Path, *, name: str | None = None, device: str = "cpu") -> Kept:
    """Open a generator that a run folder keeps.

    Raises:
        InputError: it keeps none, or none of that name.
    """
    place = kept_folder(run, name)
    if place is None:
        raise _no_generator(run)
    load_plugins_of(run)
    return open_kept(place, name=place.name, facts=read_component(place), device=device, run=run)


def load_plugins_of(source: Source) -> None:
    """Register the plug-ins of a run's study; its generator may be one of them."""
    if isinstance(source, str | Path) and is_run_folder(Path(source).expanduser()):
        ask_with_plugins(source)


def kept_folder(source: Source, name: str | None) -> Path | None:
    """The folder of a kept generator; None when ``source`` is data to fit on."""
    if not isinstance(source, str | Path):
        return None
    path = Path(source).expanduser()
    place = path / GENERATORS
    kept = sorted(p.parent.name for p in place.glob(f"*/{COMPONENT}"))
    if not kept:
        if is_run_folder(path):
            raise _no_generator(path)
        return None
    if name is not None and name not in kept:
        raise InputError(
            f"there is no generator '{name}' in '{path}'{nearest_name(name, kept)}",
            rule=f"it keeps: {', '.join(kept)}",
            remedy="name one of them with --generator",
        )
    if name is None and is_run_folder(path):
        titles = [component.title for component in ask(path).study.generators]
        kept.sort(key=lambda title: titles.index(title) if title in titles else len(titles))
    return place / (name or kept[0])


def _no_generator(path: Path) -> InputError:
    return InputError(
        f"'{path}' keeps no generator",
        rule="a run keeps its generators when it is done and some arm uses them",
        remedy=f"finish it with `synthlift run {shlex.quote(str(path))}`, or give a folder of "
        "images to fit on",
    )


def open_kept(
    folder: Path,
    *,
    name: str,
    facts: Mapping[str, Any],
    device: str,
    run: Source | None = None,
    store: Path | str | None = None,
) -> Kept:
    """Open a generator, in its store where it samples from images that are not kept with it.

    Args:
        folder: where it is.
        name: what it is called.
        facts: its ``component.json``.
        device: torch device string.
        run: the run that it belongs to, if any.
        store: the store that was asked for, if any.

    Raises:
        InputError: it needs the images that it was fitted on, and no store has them.
    """
    from synthlift.registry import descriptor
    from synthlift.study.components import build
    from synthlift.study.stages.generation import open_fit

    fitted = None
    if "inputs" in descriptor("generators", facts["kind"]).needs:
        found = (one for one in _stores(run, store) if one.has(facts["fit"]))
        holder = next(found, None)
        fitted = open_fit(holder, facts["fit"], device=device) if holder else None
    return Kept(
        name=name,
        kind=facts["kind"],
        classes=tuple(facts["classes"]),
        seed=int(facts["seed"]),
        fitted=fitted or build("generators", facts).load(folder, device=device),
        device=device,
        nameless=bool(facts.get(NAMELESS)),
    )


def _stores(run: Source | None, store: Path | str | None) -> Iterator[Store]:
    """Stores that may have a fit, the likeliest first."""
    from synthlift.store import Store, default_root

    places = [store]
    if isinstance(run, str | Path) and is_run_folder(Path(run)):
        places.append(run_facts(Path(run)).get("store"))
    for place in (*places, default_root()):
        if place and Path(place).is_dir():
            yield Store(Path(place))
