"""Targets that go by errors: where the model on real images errs, measured before generators.

Errors are those on validation images, or – where a class has few of them – on training images out
of fold, in three folds of whole groups. Hard cases are always training images out of fold: what is
held out decides nothing about single pictures, and none of it becomes the source of an image.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from synthlift.errors import InputError
from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm
from synthlift.spec.targets import By, Cell, grouped
from synthlift.store import Artefact, StageRequest, digest
from synthlift.store.images import DataKeys, as_inputs
from synthlift.store.keys import canonical
from synthlift.study.census import cells_of
from synthlift.study.choices import SELECTABLE_GROUPS, named_choice
from synthlift.study.layout import Layout, Replicate
from synthlift.study.modelling import Aim, Modelling, errors_request, model_of
from synthlift.study.session import Session
from synthlift.study.stages.errors import (
    HARD_SHARE,
    PRIOR_IMAGES,
    Errors,
    hard_rows,
    read_errors,
    shrunk_errors,
)
from synthlift.study.work import Work

Measured = Literal["validation", "out_of_fold"]
FOLDS = 3
"""Of a training set, where errors are measured out of fold."""


def aim(work: Work, replicates: Sequence[Replicate]) -> None:
    """Measure what the targets of these replicates go by, as recorded decisions."""
    wanted = _wanted(work.arms)
    draws = sorted({replicate.draw for replicate in replicates})
    draws = [d for d in draws if any((d, *one) not in work.shared.aims for one in wanted)]
    if not wanted or not draws:
        return
    of: dict[By, Measured] = {
        by: "out_of_fold" if by == "hard_cases" else _measured_on(work) for by, _ in wanted
    }
    errors = _errors(work, draws, of)
    for draw in draws:
        for by, attributes in wanted:
            artefact = errors[draw, of[by]]
            weights, reason = weigh(work.session, work.shared, artefact, draw, by, attributes)
            if not work.inside:
                weights = _recorded(work, draw, by, attributes, weights, reason)
            work.shared.aims[draw, by, attributes] = Aim(weights, artefact.key)


def aim_once(session: Session, shared: Modelling, arms: Iterable[Arm], *, draw: int) -> None:
    """The same for a single training set outside the study's layout, always out of fold."""
    wanted = _wanted(arms)
    if not wanted:
        return
    (artefact,) = session.ask([_out_of_fold(session, shared, [draw])[draw]])
    for by, attributes in wanted:
        weights, _ = weigh(session, shared, artefact, draw, by, attributes)
        shared.aims[draw, by, attributes] = Aim(weights, artefact.key)


def decision_name(by: By, attributes: Sequence[str], layout: Layout | str, draw: int) -> str:
    """Under which name the weights of a training set are recorded.

    Names of attributes that would not be told apart in it, or are too long for a file's name, are
    cut, with a hash of them all.
    """
    plain = "_".join((by, *attributes))
    if not any(mark in name for name in attributes for mark in "_~") and len(plain.encode()) < 150:
        return _of_draw(plain, layout, draw)
    said = re.sub(r"\W+", "-", "_".join(attributes))[:40]
    return _of_draw(f"{by}_{said}~{digest(list(attributes))[:8]}", layout, draw)


def former_name(by: By, attributes: Sequence[str], layout: Layout | str, draw: int) -> str:
    """The same as it was before names were told apart; (skin, tone) and (skin_tone) shared one."""
    return _of_draw("_".join((by, *attributes)), layout, draw)


def _of_draw(name: str, layout: Layout | str, draw: int) -> str:
    design = layout if isinstance(layout, str) else layout.design
    if design == "redrawn":
        return f"{name}_draw_{draw + 1}"
    return named_choice(name, draw if design == "cross_validated" else None)


def weigh(
    session: Session,
    shared: Modelling,
    artefact: Artefact,
    draw: int,
    by: By,
    attributes: Sequence[str],
) -> tuple[dict[Cell, float], str]:
    """What the cells of a training set get images in proportion to, with the reason in words."""
    errors = read_errors(artefact)
    census = grouped(shared.census(draw), attributes)
    present = [cell for cell, count in census.items() if count]
    cells = cells_of(session.store, shared.data, errors.ids, attributes=attributes)
    if by == "hard_cases":
        return _by_hard_cases(errors, cells, present)
    images = Counter(cells)
    wrong: Counter[Cell] = Counter()
    for cell, error in zip(cells, errors.error.tolist(), strict=True):
        wrong[cell] += error
    rates = shrunk_errors(present, images, wrong)
    held_out = artefact.record["config"]["part"] == "validation"
    reason = (
        f"error of the model on real images, measured on {len(cells)} "
        + ("validation images" if held_out else "training images out of fold")
        + f"; each as if {PRIOR_IMAGES} further images with the error of all had been seen"
    )
    return {cell: round(rate, 6) for cell, rate in rates.items()}, reason


def _by_hard_cases(
    errors: Errors, cells: Sequence[Cell], present: Sequence[Cell]
) -> tuple[dict[Cell, float], str]:
    rows = hard_rows(errors)
    found = Counter(cells[row] for row in rows.tolist())
    reason = (
        f"the {len(rows)} of {len(cells)} training images with the highest loss out of fold "
        f"({HARD_SHARE:.0%}, from {errors.loss[rows].min():.2f} on), counted"
    )
    return {cell: float(found[cell]) for cell in present}, reason


def _wanted(arms: Iterable[Arm]) -> list[tuple[By, tuple[str, ...]]]:
    found = {
        (arm.target.by, arm.target.attributes)
        for arm in arms
        if arm.target.by is not None and arm.uses_synthetic and not arm.spread_evenly
    }
    return sorted(found)


def _measured_on(work: Work) -> Measured:
    def choose() -> tuple[str, str]:
        fewest = min(work.prepared.validation_groups, default=0)
        if fewest >= SELECTABLE_GROUPS:
            return "validation", f"every class has at least {fewest} validation groups"
        return "out_of_fold", (
            f"{SELECTABLE_GROUPS} validation groups are needed in every class, and one has only "
            f"{fewest}, so errors are measured in {FOLDS} folds of the training set"
        )

    measured: Measured = work.session.decide("target_errors", choose)
    return measured


def _errors(
    work: Work, draws: Sequence[int], of: Mapping[By, Measured]
) -> dict[tuple[int, Measured], Artefact]:
    session, shared = work.session, work.shared
    requests: dict[tuple[int, Measured], StageRequest] = {}
    if "out_of_fold" in of.values():
        found = _out_of_fold(session, shared, draws)
        requests |= {(draw, "out_of_fold"): request for draw, request in found.items()}
    if "validation" in of.values():
        found = _on_validation(work, draws)
        requests |= {(draw, "validation"): request for draw, request in found.items()}
    made = session.ask(requests.values())
    return dict(zip(requests, made, strict=True))


def _on_validation(work: Work, draws: Sequence[int]) -> dict[int, StageRequest]:
    """Errors of the plain real models of each training set's first round."""
    session, shared, layout = work.session, work.shared, work.prepared.layout
    models = {
        draw: [
            model_of(session, shared, draw=draw, index=replicate.index)
            for replicate in _first_round(layout, draw)
        ]
        for draw in draws
    }
    session.ask(model for several in models.values() for model in several)
    return {
        draw: errors_request(
            shared,
            draw=draw,
            part="validation",
            models=several,
            learnt=[shared.counts[draw]] * len(several),
        )
        for draw, several in models.items()
    }


def _first_round(layout: Layout, draw: int) -> list[Replicate]:
    rounds = ([r for r in members if r.draw == draw] for members in layout.rounds())
    return next(members for members in rounds if members)


def _out_of_fold(
    session: Session, shared: Modelling, draws: Sequence[int]
) -> dict[int, StageRequest]:
    """Errors on training images, each by a model that was trained on the two other folds."""
    splits = session.ask(_split_request(session, shared.data, draw) for draw in draws)
    models: dict[int, list[StageRequest]] = {}
    learnt: dict[int, list[Mapping[int, int]]] = {}
    for draw, split in zip(draws, splits, strict=True):
        counts: list[list[int]] = split.summary["train_counts"]
        learnt[draw] = [dict(enumerate(own)) for own in counts]
        inner = Modelling(
            data={**shared.data, "split": split.key},
            classifier=shared.classifier,
            training=dict.fromkeys(range(FOLDS), shared.training[draw]),
            counts=dict(enumerate(learnt[draw])),
        )
        models[draw] = [
            model_of(session, inner, draw=fold, index=fold, what="out of fold")
            for fold in range(FOLDS)
        ]
    session.ask(model for several in models.values() for model in several)
    return {
        draw: errors_request(
            shared, draw=draw, part="train", models=models[draw], learnt=learnt[draw]
        )
        for draw in draws
    }


def _split_request(session: Session, data: DataKeys, draw: int) -> StageRequest:
    return StageRequest(
        stage="split",
        function="synthlift.study.crossing:split_inside",
        config={"draws": [draw], "folds": FOLDS},
        inputs=as_inputs(data),
        seed=seed_for(session.study.seed, "out_of_fold"),
        label="cutting a training set into folds",
    )


def _recorded(
    work: Work,
    draw: int,
    by: By,
    attributes: Sequence[str],
    weights: Mapping[Cell, float],
    reason: str,
) -> dict[Cell, float]:
    classes, layout, session = work.prepared.opened.classes, work.prepared.layout, work.session
    name = decision_name(by, attributes, layout, draw)
    former = former_name(by, attributes, layout, draw)
    titles = {title: weights[cell] for cell, title in recorded_titles(weights, classes).items()}

    def make() -> tuple[dict[str, float], str]:
        return titles, reason

    if not session.decided(name) and session.decided(former):
        # Of an earlier version, unless other attributes took that name.
        name = former if titles.keys() & session.decide(former, make).keys() else name
    value: dict[str, Any] = session.decide(name, make)
    found = read_weights(value, weights, classes)
    if not any(found.values()):
        raise InputError(
            f"the decision '{name}' of the study file has no weight for any cell of these images",
            rule=f"the cells are: {', '.join(titles)}",
            remedy="remove the decision from the file, so that errors are measured anew",
        )
    return found


def read_weights(
    value: Mapping[str, Any], cells: Iterable[Cell], classes: Sequence[str]
) -> dict[Cell, float]:
    """Weights of cells from the decision that records them by title."""
    return {
        cell: float(value.get(title, value.get(cell.title(classes), 0.0)))
        for cell, title in recorded_titles(cells, classes).items()
    }


def recorded_titles(cells: Iterable[Cell], classes: Sequence[str]) -> dict[Cell, str]:
    """Cells in words; exactly, where words say the same of two: no value, and one "missing"."""
    words = {cell: cell.title(classes) for cell in cells}
    times = Counter(words.values())
    return {
        cell: title if times[title] == 1 else f"{title} {canonical(dict(cell.attributes))}"
        for cell, title in words.items()
    }
