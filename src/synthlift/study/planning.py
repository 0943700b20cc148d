"""What will be run: the study as it stands, or cut to a budget. Every choice is a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthlift.registry import descriptor
from synthlift.spec.arms import Arm
from synthlift.spec.study import Component
from synthlift.store import StageRequest
from synthlift.study.budget import best_option, fits_well, parse_budget
from synthlift.study.census import aimed_at, conditioned, expected_cells, require_reachable
from synthlift.study.choices import SELECTABLE_GROUPS, is_unbalanced
from synthlift.study.components import resolve_component
from synthlift.study.device_memory import share_device
from synthlift.study.expecting import Inside, Option, Speeds, Task, scaled
from synthlift.study.filtering import automatic, curation_of, least_share
from synthlift.study.layout import Layout, make_layout, with_room
from synthlift.study.preparation import Opened, decide_channels, decide_design, original_sizes
from synthlift.study.pretrained import check_pretrained
from synthlift.study.retrieving import require_pool
from synthlift.study.session import Session
from synthlift.study.speeds import expected_counts, expected_parts, measure

if TYPE_CHECKING:
    from synthlift.data.designs import Design

SIZES = 5
"""Image sizes that a budget may choose from, counted from the largest down."""

ROOM = 15
"""Rounds that may be added with ``--more``."""


@dataclass(frozen=True)
class Plan:
    """A study that is ready to be prepared.

    Attributes:
        layout: replicates and fits, with room for replicates that are added later.
        replicates: how many of them are planned.
        image_size, channels: training size.
        arms: what is trained.
        generators: the study's generators, steps cut to the budget where there is one.
        training_steps: None = the automatic rule.
        generator_share, training_share: share of the wanted generator and classifier training.
        chooses_inside: whether there is time to choose in folds of the training sets.
        seconds: expected wall time, or None without a budget.
    """

    layout: Layout
    replicates: int
    image_size: int
    channels: int
    arms: tuple[Arm, ...]
    generators: tuple[Component, ...]
    training_steps: int | None
    generator_share: float
    training_share: float
    chooses_inside: bool
    seconds: float | None


def make_plan(session: Session, opened: Opened, *, workers: int) -> Plan:
    """Plan the study.

    Args:
        session: with its key set.
        opened: the data as read.
        workers: processes that share the work.
    """
    study = session.study
    require_reachable(
        session.arms(), study.generators, store=session.store, inventory=opened.inventory.key
    )
    require_pool(session.arms(), study.data)
    curation_of(study.curation, {})
    check_pretrained(study, session.arms())
    design = decide_design(session, opened)
    channels = decide_channels(session, opened)
    if study.budget is None:
        image_size = _image_size(session, opened)
        option = Option(
            image_size=image_size,
            arms=tuple(arm.name for arm in session.arms()),
            replicates=asked_replicates(session, design),
            fits=study.generator_fits,
            generator_share=1.0,
            training_share=1.0,
            chooses_inside=True,
        )
        seconds = None
    else:
        option, seconds = _within_budget(session, opened, design, channels, workers)
    _require_head(session, opened, size=option.image_size, channels=channels)
    # A budget promises few replicates and runs as many of those asked for as time allows.
    layout = make_layout(
        design.kind,
        replicates=max(option.replicates, asked_replicates(session, design)),
        fits=option.fits,
        draws=design.draws,
        folds=design.folds,
    )
    return Plan(
        layout=with_room(layout, rounds=ROOM),
        replicates=len(layout.replicates),
        image_size=option.image_size,
        channels=channels,
        arms=tuple(
            scaled(arm, option.multiple_share) for arm in session.arms() if arm.name in option.arms
        ),
        generators=tuple(
            conditioned(
                _with_steps(component, option.generator_steps.get(component.title)),
                session.arms(),
                names=study.data.names,
            )
            for component in study.generators
        ),
        training_steps=option.training_steps,
        generator_share=option.generator_share,
        training_share=option.training_share,
        chooses_inside=option.chooses_inside,
        seconds=seconds,
    )


def _require_head(session: Session, opened: Opened, *, size: int, channels: int) -> None:
    """Refuse arms that train the head alone where the classifier has none."""
    if not any(arm.in_feature_space for arm in session.arms()):
        return
    session.ask(
        [
            StageRequest(
                stage="check",
                function="synthlift.study.stages.models:check_head",
                config={
                    "classifier": resolve_component("classifiers", session.study.classifier),
                    "image_shape": [size, size, channels],
                    "classes": len(opened.classes),
                },
                label="looking at the classifier's head",
                local={"plugins": session.plugin_paths()},
            )
        ]
    )


def _with_steps(component: Component, steps: int | None) -> Component:
    if steps is None:
        return component
    config = descriptor("generators", component.kind).config.model_validate(component.settings())
    return Component.model_validate({**component.model_dump(), **config.trained_with(steps=steps)})


def _image_size(session: Session, opened: Opened) -> int:
    from synthlift.data.sizes import choose_size

    given = session.study.data.image_size

    def choose() -> tuple[int, str]:
        if isinstance(given, int):
            return given, "given in the study file"
        widths, heights, _ = original_sizes(opened)
        return choose_size(widths, heights)

    return int(session.decide("image_size", choose))


def _within_budget(
    session: Session, opened: Opened, design: Design, channels: int, workers: int
) -> tuple[Option, float]:
    """The richest option that fits; recorded with what it gives up."""

    def choose() -> tuple[Any, str]:
        task = describe_task(session, opened, design, workers)
        assert session.study.budget is not None
        budget = parse_budget(session.study.budget)
        speeds: dict[int, Speeds] = {}
        for size in reversed(task.sizes):
            speeds[size] = measure(session, opened, design, size, channels)
            if not fits_well(task, size, speeds[size], budget=budget):
                break  # larger images take longer still
        option, seconds, reason = best_option(task, speeds, budget=budget)
        return {**option.as_json(), "seconds": seconds}, reason

    value: Mapping[str, Any] = session.decide("budget", choose)
    return Option.from_json(value), float(value["seconds"])


def asked_replicates(session: Session, design: Design) -> int:
    """Replicates that the study file asks for: folds × repeats in design C."""
    crossed = design.kind == "cross_validated"
    return design.folds * design.repeats if crossed else session.study.replicates


def describe_task(session: Session, opened: Opened, design: Design, workers: int) -> Task:
    """What the budget planner has to know of the data and the study."""
    from synthlift.data.sizes import CANDIDATES, choose_size

    study = session.study
    given = study.data.image_size
    widths, heights, _ = original_sizes(opened)
    largest = given if isinstance(given, int) else choose_size(widths, heights)[0]
    smaller = [size for size in CANDIDATES if size <= largest]
    shares, validated = expected_parts(session, opened, design)
    return Task(
        sizes=(largest,) if isinstance(given, int) else tuple(reversed(smaller[-SIZES:])),
        arms=session.arms(),
        cells=expected_cells(
            session.store, opened.inventory.key, attributes=aimed_at(session.arms()), shares=shares
        ),
        unbalanced=is_unbalanced(expected_counts(session, opened, design)),
        design=design.kind,
        folds=design.folds,
        fits=study.generator_fits,
        replicates=asked_replicates(session, design),
        test_images=round(opened.usable * design.test),
        workers=workers,
        selects=study.selection != "predeclared",
        inside=_inside(session, validated),
        filter_trials=sum(len(tried) - 1 for tried in automatic(study.curation).values()),
        selected_share=least_share(study.curation),
        at_once={
            one.title: share_device(session) for one in study.generators if session.holds(one.title)
        },
    )


def _inside(session: Session, validated: Mapping[str, int]) -> Inside:
    """Whether choices may be made in folds of the training sets, by validation groups."""
    asked = session.study.selection
    if asked != "auto":
        return "always" if asked == "cross_selection" else "no"
    return "no" if min(validated.values()) >= SELECTABLE_GROUPS else "if it fits"
