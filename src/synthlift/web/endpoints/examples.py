"""The built-in examples."""

from __future__ import annotations

from flask import Response, url_for

from synthlift.web.context import Context, context
from synthlift.web.endpoints.jobs import job_facts
from synthlift.web.errors import MissingError
from synthlift.web.examples import (
    EXAMPLES,
    Example,
    begin,
    example,
    job_of,
    shipped_facts,
    strip,
)
from synthlift.web.operations import Operation
from synthlift.web.study_schemas import ExampleFacts, ExampleList, ShippedFacts


def _facts(here: Context, one: Example) -> ExampleFacts:
    job = job_of(here, one)
    if job is not None and job.state == "done":
        here.library.forget()  # it may have ended since runs were last looked for
    computed, unpacked = (_found(here, run) for run in one.run_ids(here.settings))
    made = shipped_facts(here, unpacked) if unpacked else None
    return ExampleFacts(
        name=one.name,
        title=one.title,
        words=one.words,
        picture=url_for("api.example_picture", name=one.name),
        run=computed or unpacked,
        shipped=ShippedFacts(run=unpacked, **made.model_dump()) if made else None,
        unpacking=here.unpacking.is_set() and not unpacked,
        job=None if job is None else job_facts(job),
    )


def _found(here: Context, run: str) -> str:
    """The id of a run; "" where it is not there."""
    try:
        return here.library.get(run).id
    except MissingError:
        return ""


def list_examples() -> ExampleList:
    """Both, with where they come from."""
    here = context()
    return ExampleList(examples=[_facts(here, one) for one in EXAMPLES.values()])


def start_example(name: str) -> ExampleFacts:
    """Compute one here, or go on with it."""
    here, one = context(), example(name)
    begin(here, one)
    return _facts(here, one)


def example_picture(name: str) -> Response:
    """Some of its pictures."""
    return Response(
        strip(example(name).name),
        mimetype="image/png",
        headers={"Cache-Control": "private, max-age=86400"},
    )


OPERATIONS = [
    Operation(
        "GET",
        "/examples",
        list_examples,
        "List the built-in examples: their runs, what made them, and how far they are here.",
        answer=ExampleList,
    ),
    Operation(
        "POST",
        "/examples/<name>",
        start_example,
        "Compute a built-in example here, or go on with it.",
        answer=ExampleFacts,
        status=202,
        costly=True,
    ),
    Operation(
        "GET",
        "/examples/<name>/picture",
        example_picture,
        "Get some of an example's pictures side by side.",
        answer="image/png",
    ),
]
