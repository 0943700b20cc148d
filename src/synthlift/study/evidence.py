"""Opening the test, and everything that is computed once it is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm
from synthlift.spec.targets import ALL, Cell
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.ablation import with_all_filters
from synthlift.study.beside import notes_beside
from synthlift.study.choices import CHOSEN_GENERATIVE, CHOSEN_RIVAL
from synthlift.study.counting import cells_as_json
from synthlift.study.external import External
from synthlift.study.layout import Replicate
from synthlift.study.modelling import generated_request
from synthlift.study.open_test import open_test, prediction_request
from synthlift.study.pools import Pool
from synthlift.study.sharing import stocked
from synthlift.study.stages.retrieval import is_retrieved
from synthlift.study.tables import entries
from synthlift.study.training_shares import overlap, test_train_ratio
from synthlift.study.work import Work

if TYPE_CHECKING:
    from synthlift.evaluation.plan import PlannedArm

RUN_PLACEHOLDER = "RUN-FOLDER"
"""Stands in commands until the report is written, so that no path of a machine is in a key."""

SHOWN_PER_CLASS, SHOWN_IN_ALL = 6, 1200
"""Pictures of each kind; with many classes fewer of each, one at least."""
SEARCHED_PER_CELL, SEARCHED_IN_ALL = 32, 6400
"""Generated images among which the pairs closest to training images are sought."""
SHOWN_PAIRS = 12


def predict_all(work: Work) -> None:
    """Open the test set for all trained models, and predict it and the reserved images."""
    session, prepared = work.session, work.prepared
    models = sorted({artefact.key for artefact in work.models.values()})
    open_test(
        session.store,
        test_hash=prepared.test_hash,
        study=session.key,
        models=models,
        ledger=session.ledger,
    )
    session.log("test_opened", models=len(models), test_hash=prepared.test_hash)
    by_index = {replicate.index: replicate for replicate in prepared.layout.replicates}
    requests = {
        place: prediction_request(
            model.key,
            prepared.data,
            draw=by_index[place[1]].draw,
            test_hash=prepared.test_hash,
            ledger=session.ledger,
            plugins=session.plugin_paths(),
        )
        for place, model in work.models.items()
    }
    generated = {
        place: generated_request(session, work.models[place].key, pool.test_manifest())
        for place, pool in _reserved(work).items()
    }
    outside = {one.name: _outside(work, one, models) for one in work.external}
    further = [request for found in outside.values() for request in found.values()]
    session.ask([*requests.values(), *generated.values(), *further])
    work.tests = {place: session.store.open(r.key) for place, r in requests.items()}
    work.generated = {place: session.store.open(r.key) for place, r in generated.items()}
    work.outside = {
        name: {place: session.store.open(r.key) for place, r in found.items()}
        for name, found in outside.items()
    }


def _outside(
    work: Work, external: External, models: Sequence[str]
) -> dict[tuple[str, int], StageRequest]:
    """Open a test set from elsewhere for all models."""
    session = work.session
    open_test(
        session.store,
        test_hash=external.test_hash,
        study=session.key,
        models=models,
        ledger=session.ledger,
    )
    return {
        place: prediction_request(
            model.key,
            external.data,
            draw=0,
            test_hash=external.test_hash,
            ledger=session.ledger,
            plugins=session.plugin_paths(),
            classes=work.prepared.opened.classes,
        )
        for place, model in work.models.items()
    }


def _reserved(work: Work) -> dict[tuple[str, int], Pool]:
    """Which models are tested on which reserved images: one arm per row of the 3 × 3 table."""
    first = _nine_generator(work)
    by_index = {replicate.index: replicate for replicate in prepared_replicates(work)}
    found = {}
    for name, index in work.models:
        if name in nine_arms(work).values() and index in by_index:
            pool = work.pool_of(first, by_index[index])
            if pool is not None and pool.test_manifest():
                found[name, index] = pool
    return found


def prepared_replicates(work: Work) -> list[Replicate]:
    """Replicates that are fully trained, added ones included."""
    return [*work.replicates, *work.added]


def nine_arms(work: Work) -> dict[str, str]:
    """The arms of the 3 × 3 table: trained on real, synthetic and mixed images, plain recipe.

    Synthetic ones are of one generator, as the images are that these arms are tested on.
    """
    rows: dict[str, str] = {}
    generator = _nine_generator(work)
    for arm in work.final_arms.values():
        if arm.role == "rival" and arm.base == "plain" and not arm.retrieved:
            rows.setdefault("real", arm.name)
        elif arm.role != "generative" or arm.generator != generator:
            continue
        elif arm.regime == "synthetic_only":
            rows.setdefault("synthetic", arm.name)
        elif arm.regime == "joint" and arm.target == ALL:
            rows.setdefault("mixed", arm.name)
    return rows


def _nine_generator(work: Work) -> str | None:
    """The study's first generator of which an arm was trained."""
    used = {arm.generator for arm in work.final_arms.values() if arm.role == "generative"}
    return next((g.title for g in work.session.study.generators if g.title in used), None)


def evaluate(
    work: Work,
    *,
    exploratory: Sequence[str],
    scope: str,
    warnings: Sequence[str],
    added: bool = False,
) -> Artefact:
    """Evaluate the study; the artefact holds the predictions table and the outcome.

    With ``added`` the replicates trained after the opening count too: for the exploratory
    interval that stands beside the verdict, never for the verdict.
    """
    study, prepared, contrast = work.session.study, work.prepared, work.contrast
    plan = {
        "design": prepared.layout.design,
        "arms": [asdict(arm) for arm in planned_arms(work)],
        "generative": contrast.generative if contrast else None,
        "rival": contrast.rival if contrast else None,
        "plain": "real" if "real" in work.final_arms else None,
        "metric": study.primary.metric,
        "margin": study.primary.margin,
        "selected": work.selection != "predeclared",
        "recommended": contrast.recommended if contrast else "",
        "test_train_ratio": test_train_ratio(work),
        "overlap": overlap(work),
        "exploratory": list(exploratory),
        "scope": scope,
        "warnings": list(warnings),
        "limitations": limitations(work),
        "external": [one.name for one in work.external],
        "run": RUN_PLACEHOLDER,
    }
    counted = [*work.replicates, *(work.added if added else [])]
    wanted = [
        *entries(work, work.models, "validation", replicates=counted),
        *entries(work, work.tests, "test", replicates=counted),
        *entries(work, work.generated, "synthetic", replicates=counted),
        *(
            replace(entry, fold=-1)
            for name, places in work.outside.items()
            for entry in entries(work, places, name, replicates=counted)
        ),
    ]
    request = StageRequest(
        stage="evaluate",
        function="synthlift.study.stages.evidence:evaluate",
        config={
            "plan": plan,
            "entries": [entry.as_json() for entry in wanted],
            "classes": list(prepared.opened.classes),
            "cells": cells_as_json(work, [replicate.draw for replicate in work.replicates]),
        },
        inputs={
            "inventory": prepared.data["inventory"],
            "predictions": [entry.key for entry in wanted],
        },
        seed=seed_for(study.seed, "evaluation"),
        version="4",
        label="statistics",
    )
    return work.session.ask([request])[0]


def planned_arms(work: Work) -> list[PlannedArm]:
    """The arms as the evaluation needs to know them."""
    from synthlift.evaluation.plan import PlannedArm

    classes = work.prepared.opened.classes
    indices = [replicate.index for replicate in work.replicates]
    draws = [r.draw for r in work.replicates or work.prepared.layout.replicates[: work.planned]]
    real = {
        name: float(np.mean([work.shared.counts[draw][k] for draw in draws]))
        for k, name in enumerate(classes)
    }
    full = with_all_filters(work.final_arms.values())
    fixed = stocked(work.session.study.generators)
    return [
        PlannedArm(
            name=arm.name,
            role=arm.role,
            recipe=recipe_facts(arm),
            base=arm.base,
            target=arm.target.title,
            multiple=arm.synthetic_multiple,
            regime=arm.regime,
            generator=arm.generator,
            real={} if arm.regime == "synthetic_only" else _real(work, arm.name, indices, real),
            synthetic=_beside(work, arm.name, indices),
            stands_for_choices=arm.name in (CHOSEN_RIVAL, CHOSEN_GENERATIVE),
            all_filters=full.get(arm.name, ""),
            given_pool=arm.uses_synthetic
            and (arm.generator in fixed or work.given_pool(arm.generator)),
        )
        for arm in work.final_arms.values()
    ]


def recipe_facts(arm: Arm) -> dict[str, Any]:
    """How an arm trains, as the results record it."""
    recipe = {**arm.recipe.model_dump(), "duplicate": arm.duplicate, "regime": arm.regime}
    own = {"retrieved": arm.retrieved, "tuning": arm.tuning}
    return recipe | {name: value for name, value in own.items() if value}


def _real(work: Work, arm: str, indices: list[int], training: dict[str, float]) -> dict[str, float]:
    """Mean real images per class, retrieved ones included."""
    further = _beside(work, arm, indices, retrieved=True)
    return {name: n + further[name] for name, n in training.items()}


def _beside(
    work: Work, arm: str, indices: list[int], *, retrieved: bool = False
) -> dict[str, float]:
    """Mean images per class beside the training set: retrieved ones, or all others."""
    classes = work.prepared.opened.classes
    totals = dict.fromkeys(classes, 0.0)
    for index in indices:
        config: dict[str, Any] = work.models[arm, index].record["config"]
        for entry in config["manifest"]:
            if is_retrieved(entry["chunk"]) == retrieved:
                totals[classes[entry["label"]]] += len(entry["rows"]) / len(indices)
        for label, count in ({} if retrieved else config["posing"]).items():
            totals[classes[int(label)]] += count / len(indices)
    return totals


def limitations(work: Work) -> list[str]:
    """What was not done, known before the figures."""
    found = [f"Generator '{name}' was stopped: {why}." for name, why in work.stopped.items()]
    if work.dropped:
        found.append(f"{work.dropped} planned replicates were dropped to keep to the budget.")
    if work.generator_share < 1:
        found.append(
            f"The generators had {work.generator_share:.0%} of the training that they would get "
            "without a budget."
        )
    if work.training_share < 1:
        found.append(
            f"The classifiers of all arms had {work.training_share:.0%} of the training that they "
            "would get without a budget."
        )
    short = {
        pool.generator: sum(pool.fell_short().values())
        for pool in work.pools.values()
        if pool.fell_short()
    }
    found.extend(notes_beside(work.session))
    found.extend(note for one in work.external for note in one.notes)
    for name, missing in short.items():
        found.append(f"Generator '{name}' fell {missing} kept images short in a fit.")
    return found


def pictures_of(work: Work) -> dict[str, Artefact]:
    """Pictures for the report from the first fit of every generator."""
    firsts = {p.generator: p for p in reversed(list(work.pools.values()))}
    made = work.session.ask(_pictures_request(work, pool) for pool in firsts.values())
    return dict(zip(firsts, made, strict=True))


def _shown(pool: Pool) -> dict[Cell, int]:
    """Cells to show, with how many pictures: those that arms wanted, else whole classes."""
    wanted = {cell for cell, count in pool.wanted.items() if count}
    covered = {cell.label for cell in wanted}
    cells = sorted(wanted | {s.cell for s in pool.class_streams() if s.cell.label not in covered})
    per_class = Counter(cell.label for cell in cells)
    shown = shown_of_each(SHOWN_PER_CLASS, of=len(per_class), in_all=SHOWN_IN_ALL)
    return {cell: max(1, shown // per_class[cell.label]) for cell in cells}


def shown_of_each(wanted: int, *, of: int, in_all: int) -> int:
    """The number wanted of each class or cell, or fewer to keep within a total; one at least."""
    return max(1, min(wanted, in_all // of))


def _pictures_request(work: Work, pool: Pool) -> StageRequest:
    shown: dict[str, list[dict[str, Any]]] = {"kept": [], "rejected": []}
    cells, classes = _shown(pool), work.prepared.opened.classes
    for cell, pictures in cells.items():
        stream = pool.streams[cell]
        for kind, members in (
            ("kept", (one for one in stream.judged() if not one.rejected_by)),
            ("rejected", (one for one in stream.judged() if one.rejected_by)),
        ):
            shown[kind].extend(
                {"chunk": chunk, "row": row, "label": cell.label, "reason": reason}
                for (chunk, row), _, reason in islice(members, pictures)
            )
    kept = dict.fromkeys(
        cells, shown_of_each(SEARCHED_PER_CELL, of=len(cells), in_all=SEARCHED_IN_ALL)
    )
    manifest = pool.manifest(kept, curated=True)
    chunks = sorted(
        {item["chunk"] for items in shown.values() for item in items}
        | {entry["chunk"] for entry in manifest}
    )
    return StageRequest(
        stage="pictures",
        function="synthlift.study.stages.evidence:pictures",
        config={
            "draw": pool.unit.draw,
            "per_class": shown_of_each(SHOWN_PER_CLASS, of=len(classes), in_all=SHOWN_IN_ALL),
            "pairs": SHOWN_PAIRS,
            "manifest": manifest,
            **shown,
        },
        inputs={**as_inputs(pool.data), "scorer": pool.scorer, "chunks": chunks},
        numerics=work.session.numerics,
        version="2",
        label=f"pictures of {pool.generator}",
        local={"plugins": work.session.plugin_paths()},
    )
