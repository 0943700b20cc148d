"""Real or synthetic? Blind tests on the images of a run."""

from __future__ import annotations

import secrets
from contextlib import suppress

from flask import Response, send_file, url_for

from synthlift.api.blind_tests import draw_blind_test, record_blind_test
from synthlift.api.generated_images import Wanted
from synthlift.api.keeping import report
from synthlift.api.run_folder import Run
from synthlift.errors import InputError
from synthlift.store.files import write_bytes_atomic
from synthlift.web.blind import Waiting
from synthlift.web.context import context
from synthlift.web.library import Finished
from synthlift.web.operations import Operation
from synthlift.web.people_schemas import (
    AnswerRequest,
    BlindFacts,
    BlindPicture,
    BlindRequest,
    BlindResult,
)


def begin_blind_test(run: str, body: BlindRequest) -> BlindFacts:
    """Draw the pictures of a test."""
    here = context()
    found = here.library.get(run)
    shown = draw_blind_test(
        Run(found.path),
        generator=body.generator,
        pictures=body.pictures,
        seed=secrets.randbits(48),
    )
    test = here.blind.begin(run, generator=body.generator, shown=shown)
    return BlindFacts(
        id=test.id,
        run=run,
        generator=test.generator,
        pictures=[_url(test.id, index) for index in range(len(test.shown))],
    )


def _url(test: str, index: int) -> str:
    return url_for("api.blind_picture", test=test, index=index)


def blind_picture(test: str, index: int) -> Response:
    """One picture, without a word of what it is."""
    return send_file(context().blind.get(test).picture(index), mimetype="image/png")


def answer_blind_test(test: str, body: AnswerRequest) -> BlindResult:
    """Score all answers, and write them into the run folder and its report."""
    here = context()
    waiting = here.blind.get(test)
    run = here.library.get(waiting.run)
    scored = record_blind_test(
        Run(run.path),
        name=waiting.id,
        who=body.who,
        generator=waiting.generator,
        shown=waiting.shown,
        said=body.answers,
    )
    report(run.path)
    # The score stands, also where the pixels went meanwhile.
    with suppress(InputError, OSError):
        _mark_synthetic(waiting, run)
    return BlindResult(
        id=scored.id,
        who=scored.who,
        at=scored.at,
        generator=scored.generator,
        pictures=[
            BlindPicture(url=_url(test, index), label=one.label, was=one.was, said=one.said)
            for index, one in enumerate(scored.answers)
        ],
        right=scored.right,
        share=scored.share,
        low=scored.low,
        high=scored.high,
        p_value=scored.p_value,
        report=url_for("pages.run", run=waiting.run),
    )


def _mark_synthetic(test: Waiting, run: Finished) -> None:
    """Put into the synthetic pictures what made them, as in every other one: all is told now."""
    images = context().galleries.of(run)
    shown = {one[0]: index for index, one in enumerate(test.shown) if one[2] == "synthetic"}
    for row in images.find(Wanted()):
        one = images.get(row)
        if one.image.id in shown:
            write_bytes_atomic(test.picture(shown[one.image.id]), images.png(one), durable=False)


OPERATIONS = [
    Operation(
        "POST",
        "/runs/<run>/blind-tests",
        begin_blind_test,
        "Draw pictures of which a person shall say whether they are real.",
        body=BlindRequest,
        answer=BlindFacts,
        status=201,
        costly=True,
    ),
    Operation(
        "GET",
        "/blind-tests/<test>/pictures/<int:index>",
        blind_picture,
        "Get a picture of a blind test; until all are answered it does not say what it is.",
        answer="image/png",
    ),
    Operation(
        "POST",
        "/blind-tests/<test>/answers",
        answer_blind_test,
        "Answer all pictures of a blind test; the score is written into the run's report.",
        body=AnswerRequest,
        answer=BlindResult,
        status=201,
        costly=True,
    ),
]
