"""Finished runs: their facts, sample pictures and report."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, send_file, url_for

from synthlift.api.classifying import KeptModel
from synthlift.web.context import context
from synthlift.web.errors import MissingError
from synthlift.web.library import Finished
from synthlift.web.operations import Operation
from synthlift.web.schemas import (
    MOST_GUIDANCE,
    MOST_STEPS,
    GeneratorFacts,
    ModelFacts,
    RunFacts,
    RunList,
    SampleFacts,
)

SAMPLES = 24
TITLES = {
    "rival": "trained on real images only",
    "generative": "trained on real and generated images",
    "recommended": "the model that the study recommends",
}


def facts_of(run: Finished) -> RunFacts:
    """A run as clients see it: no path."""
    results, verdict = run.results, run.results.verdict
    return RunFacts(
        id=run.id,
        name=results.study.name,
        delivered=run.delivered,
        answer=verdict.sentence if verdict else results.verdict_missing_because or "",
        word=verdict.word.replace("_", " ") if verdict else "no verdict",
        exploratory=bool(verdict and verdict.exploratory),
        metric=verdict.metric if verdict else "",
        created=results.created,
        classes=list(results.study.classes),
        images=results.counts.used,
        image_size=results.study.image_size,
        generators=[
            GeneratorFacts(
                name=one.name,
                kind=one.kind,
                classes=list(one.classes),
                attributes={name: list(values) for name, values in one.attributes.items()},
                defaults=dict(one.defaults),
                limits=within(one.limits),
                takes_prompts=one.takes_prompts,
                refuses_pictures=one.refuses_pictures,
            )
            for one in run.generators
        ],
        models=[model_facts(model) for model in run.models],
        samples=[
            SampleFacts(index=i, label=label, url=url_for("api.sample", run=run.id, index=i))
            for i, (_, label) in enumerate(run.samples[:SAMPLES])
        ],
        report=url_for("pages.report", run=run.id),
    )


def within(limits: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Limits of settings, as far as requests to the API may go."""
    most = {"guidance_scale": MOST_GUIDANCE, "sampler_steps": MOST_STEPS}
    return {name: (low, min(high, most[name])) for name, (low, high) in limits.items()}


def model_facts(model: KeptModel) -> ModelFacts:
    """A model in words."""
    return ModelFacts(role=model.role, title=TITLES[model.role], arm=model.arm)


def list_runs() -> RunList:
    """Finished runs."""
    return RunList(runs=[facts_of(run) for run in context().library.runs()])


def get_run(run: str) -> RunFacts:
    """One run."""
    return facts_of(context().library.get(run))


def sample(run: str, index: int) -> Response:
    """One picture of the gallery."""
    samples = context().library.get(run).samples
    if index >= len(samples):
        raise MissingError(str(index))
    return send_file(samples[index][0], mimetype="image/png")


OPERATIONS = [
    Operation("GET", "/runs", list_runs, "List finished runs.", answer=RunList),
    Operation("GET", "/runs/<run>", get_run, "Get one finished run.", answer=RunFacts),
    Operation(
        "GET",
        "/runs/<run>/samples/<int:index>",
        sample,
        "Get a real picture of a run's gallery.",
        answer="image/png",
    ),
]
