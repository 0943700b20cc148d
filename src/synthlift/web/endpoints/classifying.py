"""Classifying pictures with the models of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request

from synthlift.api.classifying import KeptModel
from synthlift.errors import InputError
from synthlift.web.context import context
from synthlift.web.endpoints.runs import model_facts
from synthlift.web.errors import StuckError
from synthlift.web.library import Finished
from synthlift.web.operations import Operation
from synthlift.web.pictures import forget, handed_on
from synthlift.web.queues import client
from synthlift.web.schemas import (
    Classified,
    ModelAnswer,
    PictureFacts,
    PictureLikeness,
    SampleRequest,
)


def classify_pictures(run: str) -> Classified:
    """Uploaded pictures."""
    here = context()
    found = here.library.get(run)
    given = request.files.getlist("pictures")
    limit = here.settings.pictures
    if not 1 <= len(given) <= limit:
        raise InputError(
            f"{len(given)} pictures", rule=f"1 to {limit} at once", remedy="send that many"
        )
    explain, most = _asks(request.form), here.settings.picture_bytes
    pictures: list[str] = []
    try:
        for one in given:
            pictures.append(handed_on(one, here.settings.pictures_folder, limit=most))
        names = [_shown(one.filename or "", place) for place, one in enumerate(given, start=1)]
        return _classify(found, pictures, names, explain=explain)
    finally:
        for picture in pictures:
            forget(picture)


def _asks(form: Mapping[str, str]) -> bool:
    given = form.get("explain", "false")
    if given not in ("true", "false"):
        raise InputError("explain", rule="it is true or false", remedy="send one of them")
    return given == "true"


def classify_samples(run: str, body: SampleRequest) -> Classified:
    """Pictures of the run's gallery."""
    found = context().library.get(run)
    chosen = [found.sample(index) for index in body.samples]
    names = [f"sample of class {label}" for _, label in chosen]
    return _classify(found, [str(file) for file, _ in chosen], names, explain=body.explain)


def _shown(name: str, place: int) -> str:
    """A file's name for people; it is used for nothing else."""
    last = re.split(r"[\\/]", name)[-1]
    return "".join(c for c in last if c.isprintable())[:80] or f"picture {place}"


def _classify(
    run: Finished, handed: Sequence[str], names: Sequence[str], *, explain: bool
) -> Classified:
    """What the models of a run say of pictures; "" stands for one that is too large."""
    here, models = context(), run.models
    if not models:
        raise InputError(
            "this run keeps no model",
            rule="a finished run keeps its models",
            remedy="choose another run",
        )
    usable = [picture for picture in handed if picture]
    answer: dict[str, Any] = {"pictures": []}
    if usable:
        answer = here.inference.classify(
            {
                "models": [str(model.folder) for model in models],
                "files": usable,
                "max_pixels": here.settings.max_pixels,
                "explain": explain,
                "run": str(run.path),
                "rival": next((str(m.folder) for m in models if m.role == "rival"), ""),
            },
            client=client(),
        )
    if answer.get("event") == "failed":
        error = {part: here.places.hidden(text) for part, text in answer["error"].items()}
        if error["rule"]:
            raise InputError(error["given"], rule=error["rule"], remedy=error["remedy"])
        raise StuckError(error["given"], remedy=error["remedy"])
    said = iter(answer["pictures"])
    mib = here.settings.picture_bytes // 1024**2
    pictures = []
    for name, picture in zip(names, handed, strict=True):
        unread: dict[str, Any] = {
            "problem": f"larger than {mib} MiB",
            "answers": {},
            "maps": {},
            "near": None,
        }
        one = next(said) if picture else unread
        answers = [
            _answer(model, one)
            for model in models
            if str(model.folder) in one["answers"] and not one["problem"]
        ]
        near = one["near"] and PictureLikeness.model_validate(one["near"])
        pictures.append(PictureFacts(name=name, problem=one["problem"], answers=answers, near=near))
    return Classified(models=[model_facts(model) for model in models], pictures=pictures)


def _answer(model: KeptModel, said: Mapping[str, Any]) -> ModelAnswer:
    probabilities = said["answers"][str(model.folder)]
    label = max(probabilities, key=lambda name: probabilities[name])
    return ModelAnswer(
        role=model.role,
        label=label,
        probability=probabilities[label],
        probabilities=probabilities,
        map=said["maps"].get(str(model.folder), ""),
    )


OPERATIONS = [
    Operation(
        "POST",
        "/runs/<run>/classifications",
        classify_pictures,
        "Classify pictures with the models of a run; the pictures are deleted at once.",
        form={
            "pictures": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "explain": {
                "type": "string",
                "enum": ["true", "false"],
                "description": "also say where the models looked, and what the pictures are like",
            },
        },
        answer=Classified,
        costly=True,
    ),
    Operation(
        "POST",
        "/runs/<run>/sample-classifications",
        classify_samples,
        "Classify pictures of a run's gallery.",
        body=SampleRequest,
        answer=Classified,
        costly=True,
    ),
]
