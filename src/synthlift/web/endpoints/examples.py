"""The built-in examples."""

from __future__ import annotations

from flask import Response, url_for

from synthlift.web.context import Context, context
from synthlift.web.endpoints.jobs import job_facts
from synthlift.web.errors import MissingError
from synthlift.web.examples import EXAMPLES, Example, begin, example, job_of, strip
from synthlift.web.operations import Operation
from synthlift.web.study_schemas import ExampleFacts, ExampleList


def _facts(here: Context, one: Example) -> ExampleFacts:
    job = job_of(here, one)
    run = one.run_id(here.settings)
    try:
        here.library.get(run)
    except MissingError:
        run = ""
    return ExampleFacts(
        name=one.name,
        title=one.title,
        words=one.words,
        picture=url_for("api.example_picture", name=one.name),
        run=run,
        job=None if job is None else job_facts(job),
    )


def list_examples() -> ExampleList:
    """Both, with how far they are."""
    here = context()
    return ExampleList(examples=[_facts(here, one) for one in EXAMPLES.values()])


def start_example(name: str) -> ExampleFacts:
    """Begin one, or go on with it."""
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
        "List the built-in examples and how far their studies are.",
        answer=ExampleList,
    ),
    Operation(
        "POST",
        "/examples/<name>",
        start_example,
        "Begin a built-in example, or go on with it.",
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
