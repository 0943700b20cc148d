"""The generated images of a run one by one, and verdicts by hand on them."""

from __future__ import annotations

from flask import Response, request, url_for

from synthlift.api.generated_images import GeneratedImage, Wanted
from synthlift.spec.people import hand_verdicts, in_force
from synthlift.web.context import context
from synthlift.web.library import Finished
from synthlift.web.operations import Operation
from synthlift.web.people_schemas import (
    GalleryFacts,
    GalleryImageFacts,
    HandVerdictFacts,
    HandVerdictList,
    Spoken,
    VerdictRequest,
)

PAGE = 60
STATES = {
    "kept": Wanted(kept=True),
    "rejected": Wanted(kept=False),
    "by_hand": Wanted(by_hand=True),
}


def list_generated(run: str) -> GalleryFacts:
    """Some generated images of a run."""
    found = context().library.get(run)
    images = context().galleries.of(found)
    rows = images.find(_wanted())
    start = max(0, request.args.get("start", 0, type=int))
    hands = in_force(found.path)
    shown = []
    for row in rows[start : start + PAGE]:
        one = images.get(row)
        said = hands.get(one.image.id)
        spoken = None
        if said is not None and said.verdict != "withdrawn":
            spoken = Spoken(verdict=said.verdict, who=said.who, at=said.at)
        shown.append(_image_facts(run, one, spoken, copy_found=images.copy_found(one)))
    return GalleryFacts(
        found=len(rows),
        all=len(images),
        images=shown,
        classes=list(found.results.study.classes),
        reasons=images.reasons(),
        arms=_arms(found),
    )


def _wanted() -> Wanted:
    """What the query asks for; what is left out or unknown does not count."""
    state = STATES.get(request.args.get("state", ""), Wanted())
    return Wanted(
        label=request.args.get("label") or None,
        kept=state.kept,
        rejected_by=request.args.get("reason") or None,
        arm=request.args.get("arm") or None,
        by_hand=state.by_hand,
    )


def _arms(run: Finished) -> list[str]:
    """Arms that train on generated images which filters chose."""
    return [arm.label for arm in run.results.arms if arm.role == "generative"]


def _image_facts(
    run: str, one: GeneratedImage, spoken: Spoken | None, *, copy_found: bool
) -> GalleryImageFacts:
    return GalleryImageFacts(
        row=one.row,
        url=url_for("api.generated_of_run", run=run, row=one.row),
        label=one.image.label,
        generator=one.image.generator,
        kept=one.kept,
        rejected_by=one.rejected_by,
        reason=one.reason,
        scores=dict(one.scores),
        copy_found=copy_found,
        by_hand=spoken,
    )


def generated_of_run(run: str, row: int) -> Response:
    """One generated image."""
    images = context().galleries.of(context().library.get(run))
    return Response(images.png(images.get(row)), mimetype="image/png")


def judge_generated(run: str, body: VerdictRequest) -> HandVerdictFacts:
    """Record a verdict by hand."""
    images = context().galleries.of(context().library.get(run))
    said = images.judge(body.row, body.verdict, who=body.who)
    return HandVerdictFacts(image=said.image, verdict=said.verdict, who=said.who, at=said.at)


def list_verdicts(run: str) -> HandVerdictList:
    """The record."""
    found = hand_verdicts(context().library.get(run).path)
    return HandVerdictList(
        verdicts=[
            HandVerdictFacts(image=one.image, verdict=one.verdict, who=one.who, at=one.at)
            for one in reversed(found)
        ]
    )


OPERATIONS = [
    Operation(
        "GET",
        "/runs/<run>/generated",
        list_generated,
        f"List generated images of a run, {PAGE} at a time, with what was said of them.",
        answer=GalleryFacts,
        query={"start": "place of the first one among those that are found, from 0"},
        words={
            "label": "class",
            "state": "kept or rejected (by the filters), or by_hand; empty = all",
            "reason": "filter that rejected them",
            "arm": "arm that was trained on them",
        },
    ),
    Operation(
        "GET",
        "/runs/<run>/generated/<int:row>",
        generated_of_run,
        "Get a generated image of a run; its metadata say what made it.",
        answer="image/png",
    ),
    Operation(
        "POST",
        "/runs/<run>/verdicts",
        judge_generated,
        "Keep or reject a generated image by hand, or take that back.",
        body=VerdictRequest,
        answer=HandVerdictFacts,
        status=201,
    ),
    Operation(
        "GET",
        "/runs/<run>/verdicts",
        list_verdicts,
        "List all verdicts by hand on a run: who said what, and when.",
        answer=HandVerdictList,
    ),
]
