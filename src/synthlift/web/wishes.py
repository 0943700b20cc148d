"""What a client asks to be drawn, checked and put into what the process that draws is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from synthlift.api.asking import params_for
from synthlift.api.images import GENERATORS
from synthlift.api.pretrained import KIND, find_pretrained
from synthlift.errors import InputError
from synthlift.spec.licences import kept_licences
from synthlift.web.context import context
from synthlift.web.library import Finished, KeptGenerator
from synthlift.web.schemas import GenerateRequest
from synthlift.weights.recognising import licence_text


class Wish(NamedTuple):
    """What is wished, for the process that draws.

    Attributes:
        told: paths and settings, for that process only.
        by_pipeline: whether a pretrained pipeline draws.
        terms: of the model behind it, word by word; "" = none lie beside it.
    """

    told: dict[str, Any]
    by_pipeline: bool
    terms: str = ""


def wish_of(body: GenerateRequest, *, upload: Path | None = None) -> Wish:
    """Check what a client asks for.

    Args:
        body: what it asks for.
        upload: the picture that was sent with it, if any.

    Raises:
        InputError: it names neither a run nor a model, or asks for what these cannot do.
        MissingError: there is no such run.
    """
    if (body.run is None) == (body.model is None):
        raise InputError(
            "neither a run nor a model" if body.run is None else "a run and a model",
            rule="images are drawn by a generator of a run, or by a model without a study",
            remedy="name one of the two: run, with generator and label, or model, with prompt",
        )
    return _of_model(body, upload) if body.run is None else _of_run(body.run, body, upload)


def _of_run(run_id: str, body: GenerateRequest, upload: Path | None) -> Wish:
    if body.generator is None or body.label is None:
        raise InputError(
            "a run without a generator" if body.generator is None else "a run without a class",
            rule="of a run, one of its generators draws one of its classes",
            remedy="name both: generator and label",
        )
    run = context().library.get(run_id)
    generator = _generator(run, body)
    params = _params(generator.kind, body)
    if body.start is not None and generator.refuses_pictures:
        raise InputError(
            "a picture to start from",
            rule=generator.refuses_pictures,
            remedy="leave the picture out, or choose another generator",
        )
    told = {
        "run": str(run.path),
        "params": params,
        "judge": _judge(run),
        "picture": _picture(body, upload, run=run),
    }
    terms = kept_licences(run.path / GENERATORS / generator.name).values()
    return Wish(told, by_pipeline=generator.takes_prompts, terms="\n\n".join(terms))


def _of_model(body: GenerateRequest, upload: Path | None) -> Wish:
    if body.generator or body.label or body.attributes:
        raise InputError(
            "a model without a study, beside a generator, a class or attributes",
            rule="such a model knows none of them: words say what it draws",
            remedy="name a run instead of the model, or say it in the prompt",
        )
    if body.prompt is None:
        raise InputError(
            "a model without a prompt",
            rule="words say what a model without a study draws",
            remedy="send a prompt, such as: a thick red seven",
        )
    assert body.model is not None, "the run is None"
    terms = licence_text(find_pretrained(body.model).place)
    picture = _picture(body, upload, run=None)
    told = {"params": _params(KIND, body), "judge": "", "picture": picture}
    return Wish(told, by_pipeline=True, terms=terms)


def _params(kind: str, body: GenerateRequest) -> dict[str, str | float]:
    return params_for(
        kind,
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        guidance=body.guidance,
        steps=body.steps,
        attributes=body.attributes,
    )


def _picture(
    body: GenerateRequest, upload: Path | None, *, run: Finished | None
) -> dict[str, Any] | None:
    """The picture to start from, as the worker is told of it."""
    if body.start is None:
        return None
    if body.start.sample is not None:
        if run is None:
            raise InputError(
                "a picture of a run, for a model without a study",
                rule="such a model starts from a picture that is sent with the request",
                remedy="send the picture to /variations",
            )
        file, label = run.sample(body.start.sample)
        name = f"a real picture of class {label}"
    elif upload is not None:
        file, name = upload, "an uploaded picture"
    else:
        raise InputError(
            "no picture to start from",
            rule="it is sent with the request to /variations, or it is a sample of the run",
            remedy="send the picture there, or name a sample",
        )
    return {"file": str(file), "name": name, "max_pixels": context().settings.max_pixels}


def _generator(run: Finished, body: GenerateRequest) -> KeptGenerator:
    found = next((one for one in run.generators if one.name == body.generator), None)
    if found is None:
        raise InputError(
            "the run keeps no generator of that name",
            rule="it keeps: " + (", ".join(one.name for one in run.generators) or "none"),
            remedy="choose one of them",
        )
    if body.label not in found.classes:
        raise InputError(
            "the generator knows no such class",
            rule="it knows: " + ", ".join(found.classes),
            remedy="choose one of them",
        )
    for name, value in body.attributes.items():
        if value not in found.attributes.get(name, ()):
            raise InputError(
                "the generator was not fitted on such a value of an attribute",
                rule="it knows: "
                + (
                    "; ".join(f"{k}: {', '.join(v)}" for k, v in found.attributes.items()) or "none"
                ),
                remedy="choose one of them, or leave it open",
            )
    return found


def _judge(run: Finished) -> str:
    """The model that says as which class an image is seen: the one that saw no generated image."""
    return str(run.models[0].folder) if run.models else ""
