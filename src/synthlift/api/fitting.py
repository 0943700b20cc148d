"""Fitting a generator outside a study, through the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.sources import Asked
from synthlift.data.wording import listed
from synthlift.errors import InputError
from synthlift.spec.study import Component

if TYPE_CHECKING:
    from synthlift.study.executors.local import Listener
    from synthlift.study.preparation import Prepared


def fit_on(
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
    from synthlift.study.sparing import Spared
    from synthlift.study.stages.generation import SAVED

    study, store, component = asked.study, Store(asked.store), component_of(asked, name)
    hearing = listener or Listener()
    with (
        Spared(store) as spared,
        LocalExecutor(store, workers=default_workers(workers), listener=hearing) as executor,
    ):
        session = Session(
            study=study,
            store=store,
            executor=executor,
            ledger=Ledger(),
            base=asked.base,
            device=choose_device(device),
            spare=spared.add,
        )
        opened = open_data(session, few=True, beside=False)
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
    return component.title, fitted.folder / SAVED, facts, _words(prepared, component)


def component_of(asked: Asked, name: str | None) -> Component:
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


def _words(prepared: Prepared, component: Component) -> str:
    images = prepared.split.summary["images"][0]
    train, validation, test = (
        sum(images[part].values()) for part in ("train", "validation", "test")
    )
    from synthlift.study.components import settings_of

    settings = settings_of("generators", component)
    if settings.origins() != "learnt" and getattr(settings, "adapt", None) is None:
        told = "told the classes of" if settings.origins() == "elsewhere" else "given to change"
        return f"{told} {train:,} images ({test:,} left out), and has learnt nothing from them"
    text = f"fitted on {train:,} images, watched on {validation:,}, {test:,} left out"
    if prepared.design.reason:
        text += f": {prepared.design.reason}"
    whole = [name for name, n in images["train"].items() if n and not images["validation"][name]]
    if whole:
        text += f"; none of {listed(whole)} is held out to tell whether images of it are copies"
    return text
