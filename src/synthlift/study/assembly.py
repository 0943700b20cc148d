"""Putting ``results.json`` together from committed artefacts."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthlift.spec.facts import (
    Decision,
    Estimate,
    GalleryImage,
    Openings,
    StudyFacts,
)
from synthlift.spec.results import ArmResult, FoldChoice, Results
from synthlift.store import Artefact
from synthlift.study.ablation import filter_effects
from synthlift.study.budget import UNDER_TRAINED
from synthlift.study.choices import CHOSEN_GENERATIVE, CHOSEN_RIVAL
from synthlift.study.counting import counts
from synthlift.study.energy import kwh_by_key, taken
from synthlift.study.environment import cost_table, describe_environment
from synthlift.study.evidence import RUN_PLACEHOLDER, planned_arms, recipe_facts
from synthlift.study.filter_strength import strength_choices
from synthlift.study.generator_facts import generator_results, pools_in_words, told_by_fits
from synthlift.study.pools import fits_of
from synthlift.study.preparation import original_sizes, undeclared_groups
from synthlift.study.pretrained import trained_classifier
from synthlift.study.retrieving import retrieved_in_words
from synthlift.study.stages.evidence import OUTCOME
from synthlift.study.work import Work

SHRUNK_WARNING = 4.0
ADDED_FAMILY = "with replicates added after the opening (exploratory)"


def scope(work: Work) -> str:
    """What a verdict speaks of: classifier, initialisation and image size."""
    study = work.session.study
    return f"classifier '{trained_classifier(study)}' {initialisation(work)}, at {_size(work)}"


def initialisation(work: Work) -> str:
    """Where the classifier's first weights came from, in words."""
    first = next(iter(work.models.values()), None)
    return str(first.summary.get("initialisation") or "trained from scratch") if first else ""


def _size(work: Work) -> str:
    return f"{work.prepared.image_size} × {work.prepared.image_size} pixels"


def shrunk(work: Work) -> float:
    """How many times smaller images are than their originals (median, 1 = not at all)."""
    widths, heights, _ = original_sizes(work.prepared.opened)
    longer = float(np.median(np.maximum(widths, heights)))
    return max(1.0, longer / work.prepared.image_size)


def warnings(work: Work) -> list[str]:
    """What a reader must know beside the verdict."""
    found = []
    if "scratch" in initialisation(work):
        found.append(
            "The classifier was trained from scratch; with pretrained weights the answer may "
            "differ (give a local file to classifier kind 'timm')."
        )
    if shrunk(work) > SHRUNK_WARNING:
        found.append(
            f"Images were shrunk {shrunk(work):.1f} times; details that decide a class may be lost."
        )
    if work.generator_share < UNDER_TRAINED and work.pools:
        found.append(
            f"The generator is under-trained: the budget left it {work.generator_share:.0%} of the "
            "training that it would get without one. A longer budget may change the answer."
        )
    found += [
        f"No arm of generator '{name}' was tested: too many of its samples are too close to "
        "training images. The limitations say more."
        for name in work.stopped
    ]
    for name in dict.fromkeys(pool.generator for pool in work.pools.values()):
        fitted = fits_of(pool for pool in work.pools.values() if pool.generator == name)
        found += [f"Generator '{name}': {words}" for words in told_by_fits(fitted)]
    return found


def study_facts(work: Work, *, command: str, complete: bool) -> StudyFacts:
    """What was asked, and on what."""
    study, prepared = work.session.study, work.prepared
    widths, heights, _ = original_sizes(prepared.opened)
    return StudyFacts(
        name=study.name,
        key=work.session.key,
        seed=study.seed,
        command=command,
        source=study.data.source,
        design=prepared.layout.design,
        classes=list(prepared.opened.classes),
        class_names=study.data.names,
        classifier=trained_classifier(study),
        initialisation=initialisation(work),
        image_size=prepared.image_size,
        channels=prepared.channels,
        original_size=f"{np.median(widths):g} × {np.median(heights):g} (median)",
        shrunk=shrunk(work),
        replicates=len(work.replicates),
        draws=len({replicate.draw for replicate in work.replicates}),
        generator_fits=len(fits_of(work.pools.values())),
        selection=work.selection,
        complete=complete,
    )


def live_arms(work: Work) -> list[ArmResult]:
    """Validation figures while the study runs; the test is still locked.

    Replicates that were added after the opening take no part, as in all figures.
    """
    found, counted = [], {replicate.index for replicate in work.replicates}
    for arm in planned_arms(work):
        values = [
            model.summary["validation_accuracy"]
            for (name, index), model in work.models.items()
            if name == arm.name and index in counted
            if model.summary["validation_accuracy"] is not None
        ]
        estimate = Estimate(
            value=float(np.mean(values)) if values else 0.0,
            n=len(values),
            method="mean over models",
        )
        found.append(
            ArmResult(
                name=arm.name,
                role=arm.role,
                recipe=dict(arm.recipe),
                replicates=len(values),
                real=dict(arm.real),
                synthetic=dict(arm.synthetic),
                metrics={},
                validation={"accuracy": estimate} if values else {},
            )
        )
    return found


def assemble(
    work: Work,
    *,
    command: str,
    folder: str,
    workers: int,
    evaluation: Artefact | None,
    figures: Mapping[str, Sequence[Artefact]],
    quality: Mapping[str, Sequence[Artefact]],
    membership: Mapping[str, Sequence[Artefact]],
    gallery: Sequence[GalleryImage],
    extended: Artefact | None = None,
    missing: str = "",
    notes: Sequence[str] = (),
) -> Results:
    """The whole results file; without ``evaluation`` the live state with validation only."""
    outcome: dict[str, Any] = {}
    if evaluation is not None and evaluation.summary["evaluated"]:
        text = (
            evaluation.path(OUTCOME)
            .read_text(encoding="utf-8")
            .replace(RUN_PLACEHOLDER, json.dumps(shlex.quote(folder))[1:-1])
        )
        outcome = json.loads(text)
    remarks = list(notes)
    if extended is not None:
        added = _added_interval(extended)
        if added is not None:
            outcome["contrasts"].append(added)
        remarks.append(_added_words(work, added))
    arms = [ArmResult.model_validate(arm) for arm in outcome.pop("arms", [])] or live_arms(work)
    generators = {arm.name: arm.generator or "" for arm in planned_arms(work)}
    for arm in arms:
        arm.seconds = sum(
            model.record["cost"]["seconds"]
            for (name, _), model in work.models.items()
            if name == arm.name
        )
        arm.generation_seconds = _generation_seconds(work, arm.name)
        arm.generator = generators.get(arm.name, "")
        arm.folds = _folds(work, arm.name)
    session = work.session
    decisions = session.store.decisions(session.key)
    spent = taken(session.store.open(key) for key in session.asked if session.store.has(key))
    kwh = kwh_by_key(spent)
    return Results.model_validate(
        {
            "verdict": None,
            "verdict_missing_because": missing,
            **outcome,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "study": study_facts(work, command=command, complete=evaluation is not None),
            "arms": arms,
            "counts": counts(work),
            "filters": filter_effects(work),
            "strengths": strength_choices(work),
            "generators": generator_results(work, figures, quality, membership, kwh=kwh),
            "gallery": list(gallery),
            "openings": _openings(work) if evaluation is not None else None,
            "cost": cost_table(spent, kwh),
            "decisions": [
                Decision(name=d["name"], value=d["value"], reason=d["reason"])
                for d in decisions.values()
            ],
            "environment": describe_environment(session.device, workers),
            "notes": [
                *work.prepared.opened.read.summary["notes"],
                *undeclared_groups(session, work.prepared.opened),
                *_choices_in_words(work),
                *retrieved_in_words(work),
                *pools_in_words(work),
                *remarks,
            ],
        }
    )


def _generation_seconds(work: Work, name: str) -> float:
    """Time of every fit behind an arm, and its share of the samples and checks."""
    total, counted = 0.0, set[str]()
    for replicate in [*work.replicates, *work.added]:
        arm = work.trained.get((name, replicate.index))
        pool = work.pool_of(arm.generator, replicate) if arm else None
        if arm is None or pool is None:
            continue
        wanted = sum(work.shared.wanted(arm, replicate.draw).values())
        share = wanted / max(1, sum(pool.wanted.values()))
        for key, one in pool.spent().items():
            if key not in counted:
                total += one.seconds if key == pool.fitted.key else share * one.seconds
        counted.update(pool.spent())
    return total


def _folds(work: Work, arm: str) -> list[FoldChoice]:
    if work.splits is None:
        return []
    trained = [
        work.trained[arm, r.index] for r in work.replicates if (arm, r.index) in work.trained
    ]
    return [FoldChoice(arm=one.name, recipe=recipe_facts(one)) for one in trained]


def _choices_in_words(work: Work) -> list[str]:
    """What the folds chose, where each chooses for itself."""
    if work.splits is None or work.contrast is None:
        return []
    said = []
    for stand_in, what in ((CHOSEN_RIVAL, "best rival"), (CHOSEN_GENERATIVE, "primary arm")):
        found = Counter(choice.arm for choice in _folds(work, stand_in))
        listed = ", ".join(f"'{name}' in {times}" for name, times in found.most_common())
        said.append(f"Each fold chose its {what} for itself, named '{stand_in}' here: {listed}.")
    return said


def _added_interval(extended: Artefact) -> dict[str, Any] | None:
    """The primary contrast over all replicates, those added after the opening included.

    None where there is no arm with synthetic images.
    """
    if not extended.summary["evaluated"]:
        return None
    outcome = json.loads(extended.path(OUTCOME).read_text(encoding="utf-8"))
    contrast: dict[str, Any] = outcome["contrasts"][0]
    return {**contrast, "family": ADDED_FAMILY}


def _added_words(work: Work, contrast: Mapping[str, Any] | None) -> str:
    if contrast is None:
        return (
            f"{len(work.added)} replicates were added after the test was opened; they count in no "
            "figure, but stand in the table of predictions."
        )
    difference = contrast["difference"]
    low, value, high = (100 * difference[name] for name in ("low", "value", "high"))
    return (
        f"{len(work.added)} replicates were added after the test was opened. With them the "
        f"difference is {value:+.1f} points ({low:.1f} to {high:.1f}), exploratory; the verdict "
        "stays as it was."
    )


def _openings(work: Work) -> Openings:
    session, test_hash = work.session, work.prepared.test_hash
    tally = session.ledger.tally(test_hash=test_hash, study=session.key)
    return Openings(
        test_hash=test_hash,
        this_study=tally.this_study,
        studies=tally.studies,
        models=tally.models,
        earlier=tally.earlier,
    )
