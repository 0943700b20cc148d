"""A first look before a long study: short fits, a few images of each class, measured speeds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synthlift.errors import InputError
from synthlift.opening import opened as opened_first
from synthlift.seeds import seed_for
from synthlift.spec.blackened import STILL_BLACK, Blackened
from synthlift.spec.study import Component
from synthlift.store.packed import stored_bytes
from synthlift.study.beside import open_beside
from synthlift.study.components import settings_of
from synthlift.study.forecast import forecast_study
from synthlift.study.generation import fit_request
from synthlift.study.packed_sizes import note_sizes
from synthlift.study.planning import make_plan
from synthlift.study.preparation import Opened, Prepared, decide_design, open_data, prepare
from synthlift.study.session import Session
from synthlift.study.speeds import measure
from synthlift.study.steps import generator_effort
from synthlift.types import ImageBatch, SampleRequest

if TYPE_CHECKING:
    from synthlift.study.expecting import GeneratorSpeed
    from synthlift.study.planning import Plan
    from synthlift.types import FittedGenerator, UInt8

FITTING, SAMPLING = 0.55, 0.2
"""Shares of the time for fitting and for sampling; the rest goes into measuring."""
FEWEST_STEPS = 10


@dataclass(frozen=True)
class Glimpse:
    """What was seen of one generator.

    Attributes:
        name, kind: in the study.
        steps, planned: trained, and what the study would train; None = there is nothing to train.
        steps_per_second, images_per_second: measured on one thread, or on the device.
        pictures: uint8 [H, W, C] each, by class.
        stored: bytes that each would take in the store, without those that stayed black.
        blackened: how many came out black.
        warnings: what its fit warns of.
    """

    name: str
    kind: str
    steps: int | None
    planned: int | None
    steps_per_second: float | None
    images_per_second: float | None
    pictures: Mapping[str, list[UInt8]] = field(repr=False)
    stored: Sequence[int] = field(repr=False)
    blackened: Blackened = field(default_factory=Blackened)
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How far it was trained, in words."""
        if self.steps is None or self.planned is None:
            return "nothing is trained"
        if self.steps == self.planned:
            return f"after all {self.planned:,} planned steps"
        return f"after {self.steps:,} of {self.planned:,} planned steps"


@dataclass(frozen=True)
class Seen:
    """Pictures that were drawn, by class, bytes of those that are not black, and how many are."""

    pictures: dict[str, list[UInt8]]
    stored: list[int] = field(default_factory=list)
    blackened: Blackened = field(default_factory=Blackened)


def preview_study(
    session: Session, *, seconds: float, per_class: int, workers: int
) -> tuple[dict[str, Any], list[Glimpse]]:
    """Fit every generator briefly on the study's first training set, and sample a few images.

    How long a fit may be follows from the measured speed alone, so that a second preview finds the
    first one's fits.

    Args:
        session: of the study.
        seconds: about the whole time, without reading the pictures.
        per_class: images of each class.
        workers: as many as the study would have.

    Returns:
        What ``forecast_study`` says with ``classifier_steps_per_second`` and ``reading_seconds``,
        and a glimpse of each generator.

    Raises:
        InputError: the study has no generator, or its data cannot be used.
    """
    if not session.study.generators:
        raise InputError(
            "the study has no generator",
            rule="a preview shows images of the study's generators",
            remedy="name one under 'generators:'",
        )
    began = time.perf_counter()
    open_data(session)
    reading = time.perf_counter() - began
    study = session.study
    forecast_study(session, workers=workers)  # takes the decisions, and refuses before any work
    opened = open_data(session)
    plan = make_plan(session, opened, workers=workers)
    session.study = session.study.model_copy(update={"generators": plan.generators})
    prepared = prepare(
        session,
        opened,
        design=decide_design(session, opened),
        image_size=plan.image_size,
        channels=plan.channels,
        layout=plan.layout,
    )
    session.common = prepared.common()
    open_beside(session, prepared)
    own = seconds / len(plan.generators)
    glimpses = [
        _glimpse(session, opened, prepared, plan, component, seconds=own, per_class=per_class)
        for component in plan.generators
    ]
    design = decide_design(session, opened)
    speeds = measure(session, opened, design, plan.image_size, plan.channels, generators=())
    for one in glimpses:
        note_sizes(session, opened, plan, one.name, one.stored)
    session.study = study
    forecast = forecast_study(session, workers=workers)
    told = {"classifier_steps_per_second": 1 / speeds.classifier_step, "reading_seconds": reading}
    return {**forecast, **told}, glimpses


def _glimpse(
    session: Session,
    opened: Opened,
    prepared: Prepared,
    plan: Plan,
    component: Component,
    *,
    seconds: float,
    per_class: int,
) -> Glimpse:
    from synthlift.study.stages.generation import open_fit

    unit = plan.layout.units[0]
    counts = prepared.counts[unit.draw]
    shape = prepared.image_shape
    planned, _ = generator_effort(component, counts=counts, image_shape=shape)
    short, steps, speed = component, planned, None
    if planned is not None:
        speed = _speed(session, opened, plan, component)
        # One look, and no image encoded more than once, where it is encoded at all.
        short = _with(component, readings=1, encoded_versions=0)
        _, monitored = generator_effort(short, counts=counts, image_shape=shape)
        room = FITTING * seconds - monitored * speed.sampled_image
        steps = min(planned, max(FEWEST_STEPS, int(room / speed.step)))
        # The study's own fit, where there is time for all of it.
        short = component if steps == planned else _with(short, steps=steps)
    (fitted,) = session.ask([fit_request(session, short, unit, prepared.data)])
    generator = open_fit(session.store, fitted.key, device=session.device)
    rate, seen = _sampled(
        session, generator, component.title, opened, seconds=SAMPLING * seconds, count=per_class
    )
    return Glimpse(
        name=component.title,
        kind=component.kind,
        steps=steps,
        planned=planned,
        steps_per_second=1 / speed.step if speed else None,
        images_per_second=1 / speed.sampled_image if speed else rate,
        pictures=seen.pictures,
        stored=seen.stored,
        blackened=seen.blackened,
        warnings=tuple(fitted.summary.get("warnings", ())),
    )


def _speed(session: Session, opened: Opened, plan: Plan, component: Component) -> GeneratorSpeed:
    """As the planner measured it: of the generator before a budget cut its steps."""
    asked = next(one for one in session.asked_study.generators if one.title == component.title)
    design = decide_design(session, opened)
    speeds = measure(session, opened, design, plan.image_size, plan.channels, generators=(asked,))
    return speeds.generators[component.title]


def _with(component: Component, **settings: int) -> Component:
    """The generator with those of the settings that it knows."""
    chosen = settings_of("generators", component).trained_with(**settings)
    return Component.model_validate({**component.model_dump(), **chosen})


def _sampled(
    session: Session,
    generator: FittedGenerator,
    name: str,
    opened: Opened,
    *,
    seconds: float,
    count: int,
) -> tuple[float | None, Seen]:
    """Images of all classes until time is up, and how many came in a second."""
    seen = Seen({str(label): [] for label in opened.classes})
    requests = [
        SampleRequest(
            index=index,
            label=label,
            seed=seed_for(session.study.seed, "preview", name, known, index),
        )
        for index in range(count)
        for label, known in enumerate(seen.pictures)
    ]
    wanted = _within(opened_first(generator), requests)
    drawing, began = 0.0, time.perf_counter()
    for batch in wanted:
        drawing += time.perf_counter() - began
        for image, label in zip(batch.pixels, batch.labels.tolist(), strict=True):
            seen.pictures[opened.classes[label]].append(image)
        sizes = stored_bytes(batch.pixels, batch.originals)
        # What a safety checker blackened packs into next to nothing; the study draws other images.
        black = [STILL_BLACK in origin for origin in batch.origins or [""] * len(sizes)]
        seen.stored.extend(x for x, dark in zip(sizes, black, strict=True) if not dark)
        seen.blackened.add(len(batch), redrawn=batch.redrawn, black=batch.black)
        if drawing > seconds:
            break
        began = time.perf_counter()
    images = seen.blackened.images
    return images / drawing if images and drawing > 0 else None, seen


def _within(generator: FittedGenerator, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
    """All that the generator has of the requests; a stock that ends of one class ends no other."""
    by_class: dict[int, list[SampleRequest]] = {}
    whole = 0
    for batch in generator.sample(requests):
        whole += len(batch)
        yield batch
    for request in requests[whole:]:
        by_class.setdefault(request.label, []).append(request)
    for left in by_class.values():
        yield from generator.sample(left)
