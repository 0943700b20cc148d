"""Drawing images with a run's generator, or with a model that no study knows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask import Response, request, send_file, url_for

from synthlift.errors import InputError
from synthlift.web.context import context
from synthlift.web.errors import MissingError
from synthlift.web.generations import IMAGES, Generation
from synthlift.web.inference.explaining import NEAREST
from synthlift.web.operations import Operation, checked, reference
from synthlift.web.pictures import new_file, save
from synthlift.web.queues import client
from synthlift.web.schemas import (
    GeneratedImage,
    GeneratedLikeness,
    GenerateRequest,
    GenerationFacts,
    Seen,
)
from synthlift.web.settings import MIB
from synthlift.web.streams import LONGEST_SECONDS, QUIET_SECONDS
from synthlift.web.wishes import wish_of


def facts_of(made: Generation, *, after: int = 0) -> GenerationFacts:
    """A request for images as clients see it."""
    images = made.images[after:]
    return GenerationFacts(
        id=made.id,
        state=made.state,
        request=GenerateRequest.model_validate(made.request),
        done=len(made.images),
        total=int(made.request["count"]),
        seconds_left=made.seconds_left,
        images=[
            GeneratedImage(
                index=after + place,
                url=url_for("api.generated_image", generation=made.id, index=after + place),
                facts=one["facts"],
                seen=None if one["seen"] is None else Seen.model_validate(one["seen"]),
                near=_near(made.id, after + place, one.get("near")),
            )
            for place, one in enumerate(images)
        ],
        archive=url_for("api.download_images", generation=made.id),
        remarks=made.remarks,
        error={part: context().places.hidden(text) for part, text in made.error.items()},
    )


def _near(generation: str, index: int, said: Mapping[str, Any] | None) -> GeneratedLikeness | None:
    if said is None:
        return None
    url = url_for("api.nearest_image", generation=generation, index=index)
    return GeneratedLikeness.model_validate({**said, "url": url})


def generate(body: GenerateRequest) -> GenerationFacts:
    """Begin to draw."""
    return _begin(body)


def vary() -> GenerationFacts:
    """Begin to draw from a picture that is sent."""
    here, given = context(), request.files.getlist("picture")
    try:
        said = json.loads(request.form.get("wish", ""))
    except (ValueError, RecursionError):
        said = None
    body = checked(GenerateRequest, said)
    if body.start is None or body.start.sample is not None:
        raise InputError(
            "a picture without 'start', or with another one to start from",
            rule="'start' of the wish says how much of the picture may change, and names no sample",
            remedy="send the strength: start: {strength: 0.5}",
        )
    if len(given) != 1:
        raise InputError(
            f"{len(given)} pictures", rule="images start from one picture", remedy="send one"
        )
    upload = new_file(here.settings.pictures_folder)
    try:
        if not save(given[0], upload, limit=here.settings.picture_bytes):
            raise InputError(
                "the picture is too large",
                rule=f"a picture has at most {here.settings.picture_bytes // MIB} MiB",
                remedy="send a smaller one",
            )
        return _begin(body, upload=upload)
    except Exception:
        upload.unlink(missing_ok=True)
        raise


def _begin(body: GenerateRequest, *, upload: Path | None = None) -> GenerationFacts:
    here = context()
    if body.count > here.settings.images:
        raise InputError(
            f"{body.count} images at once",
            rule=f"this server draws at most {here.settings.images} at once",
            remedy="ask for fewer, or use `synthlift generate`",
        )
    wish, asked = wish_of(body, upload=upload), body.model_dump(mode="json")
    made = here.generations.start(
        asked,
        wish.told,
        by_pipeline=wish.by_pipeline,
        terms=wish.terms,
        upload=upload,
        client=client(),
    )
    return facts_of(made)


def get_generation(generation: str) -> GenerationFacts:
    """How far it is."""
    after = request.args.get("after", 0, type=int)
    return facts_of(context().generations.get(generation), after=max(0, after))


def follow_generation(generation: str) -> Response:
    """How far it is, again whenever there is an image more."""
    here = context()
    made = here.generations.get(generation)
    shown = max(0, request.args.get("after", 0, type=int))

    def states() -> Iterator[GenerationFacts | None]:
        known, end = shown, time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            if not made.wait(images=known, seconds=QUIET_SECONDS):
                yield None
                continue
            facts = facts_of(made, after=known)
            known += len(facts.images)
            yield facts
            if facts.state != "running":
                return

    return here.streams.open(states)


def cancel_generation(generation: str) -> GenerationFacts:
    """Stop drawing."""
    made = context().generations
    made.cancel(generation)
    return facts_of(made.get(generation))


def generated_image(generation: str, index: int) -> Response:
    """One image."""
    made = context().generations.get(generation)
    if index >= len(made.images):
        raise MissingError(str(index))
    return send_file(made.folder / IMAGES / made.images[index]["file"], mimetype="image/png")


def nearest_image(generation: str, index: int) -> Response:
    """The training image that is nearest to one image."""
    made = context().generations.get(generation)
    near = made.images[index].get("near") if index < len(made.images) else None
    if near is None:
        raise MissingError(str(index))
    return send_file(made.folder / NEAREST / near["file"], mimetype="image/png")


def download_images(generation: str) -> Response:
    """All images with their metadata."""
    made = context().generations.get(generation)
    if not made.images:
        raise MissingError(generation)
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", made.word).strip("-") or "class"
    name = f"synthetic-{word}-seed{made.request['seed']}.zip"
    return Response(
        made.archive(),
        mimetype="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


OPERATIONS = [
    Operation(
        "POST",
        "/generations",
        generate,
        "Begin to draw images.",
        body=GenerateRequest,
        answer=GenerationFacts,
        status=202,
        costly=True,
    ),
    Operation(
        "POST",
        "/variations",
        vary,
        "Begin to draw images that start from a picture; the picture is deleted once it is read.",
        form={
            "picture": {"type": "string", "format": "binary"},
            "wish": reference(GenerateRequest),
        },
        answer=GenerationFacts,
        status=202,
        costly=True,
    ),
    Operation(
        "GET",
        "/generations/<generation>",
        get_generation,
        "Say how far a request for images is, and list its images.",
        answer=GenerationFacts,
        query={"after": "leave out the first images, which are known already"},
    ),
    Operation(
        "GET",
        "/generations/<generation>/events",
        follow_generation,
        "Follow a request for images by Server-Sent Events; few may, others get 429 and ask again.",
        answer="text/event-stream",
        query={"after": "leave out the first images, which are known already"},
    ),
    Operation(
        "DELETE",
        "/generations/<generation>",
        cancel_generation,
        "Stop drawing; images that are there stay.",
        answer=GenerationFacts,
    ),
    Operation(
        "GET",
        "/generations/<generation>/images/<int:index>",
        generated_image,
        "Get one synthetic image; its metadata say what made it.",
        answer="image/png",
    ),
    Operation(
        "GET",
        "/generations/<generation>/images/<int:index>/nearest",
        nearest_image,
        "Get the real training image that is nearest to a synthetic one.",
        answer="image/png",
    ),
    Operation(
        "GET",
        "/generations/<generation>/archive",
        download_images,
        "Download the images with a table of their metadata.",
        answer="application/zip",
        costly=True,
    ),
]
