"""The figures of a run, as they stand beside those of others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from flask import url_for

from synthlift.api.run_folder import Run
from synthlift.spec.facts import Cost, Estimate
from synthlift.spec.results import Results
from synthlift.web.context import context
from synthlift.web.operations import Operation
from synthlift.web.study_schemas import (
    ArmFigure,
    CostFigure,
    Interval,
    PrimaryFigure,
    RunFigures,
)


def run_figures(run: str) -> RunFigures:
    """One run."""
    found = context().library.get(run)
    results = found.results
    verdict = results.verdict
    metric = verdict.metric if verdict else Run(found.path).study.primary.metric
    return RunFigures(
        id=found.id,
        name=results.study.name,
        delivered=found.delivered,
        created=results.created,
        answer=verdict.sentence if verdict else results.verdict_missing_because,
        word=verdict.word.replace("_", " ") if verdict else "no verdict",
        why_exploratory=list(verdict.exploratory_reasons) if verdict else [],
        metric=metric,
        classes=list(results.study.classes),
        images=results.counts.used,
        image_size=results.study.image_size,
        design=results.study.design.replace("_", "-"),
        replicates=results.study.replicates,
        share=Run(found.path).study.data.split.fraction,
        test_set=_hidden(results.openings.test_hash) if results.openings else "",
        primary=_primary(results),
        arms=[
            ArmFigure(name=arm.label, role=arm.role, level=_interval(arm.metrics[metric]))
            for arm in results.arms
            if metric in arm.metrics
        ],
        generators={one.name: one.kind for one in results.generators},
        cost=_cost(results.cost),
        report=url_for("pages.run", run=found.id),
    )


def _hidden(digest: str) -> str:
    """Tells equal test sets without saying what is in them."""
    return hashlib.sha256(digest.encode()).hexdigest()[:12]


def _primary(results: Results) -> PrimaryFigure | None:
    verdict = results.verdict
    if verdict is None:
        return None
    labels = {arm.name: arm.label for arm in results.arms}
    return PrimaryFigure(
        arm=labels.get(verdict.arm, verdict.arm),
        rival=labels.get(verdict.rival, verdict.rival),
        difference=_interval(verdict.contrast.difference),
        smallest_effect=verdict.contrast.minimal_detectable_effect,
    )


def _interval(estimate: Estimate) -> Interval:
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)


def _cost(costs: Iterable[Cost]) -> CostFigure:
    found = list(costs)
    energy = [one.energy_kwh for one in found if one.energy_kwh is not None]
    methods = sorted({one.energy_method for one in found if one.energy_method})
    return CostFigure(
        seconds=sum(one.seconds for one in found),
        cpu_seconds=sum(one.cpu_seconds for one in found),
        disk_mib=sum(one.disk_mib for one in found),
        energy_kwh=sum(energy) if energy else None,
        energy_method="; ".join(methods),
    )


OPERATIONS = [
    Operation(
        "GET",
        "/runs/<run>/figures",
        run_figures,
        "Get the main figures of a run, to set them beside those of others.",
        answer=RunFigures,
    ),
]
