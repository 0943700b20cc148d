"""Text-to-image models that no study knows."""

from __future__ import annotations

from collections.abc import Iterator

from synthlift.api.asking import limits_of
from synthlift.api.pretrained import KIND, pretrained_models, usual_settings
from synthlift.errors import InputError
from synthlift.web.endpoints.runs import within
from synthlift.web.operations import Operation
from synthlift.web.schemas import PretrainedFacts, PretrainedList


def list_models() -> PretrainedList:
    """Models at hand; not where they lie."""
    return PretrainedList(models=list(_models()))


def _models() -> Iterator[PretrainedFacts]:
    for one in pretrained_models():
        try:
            usual = usual_settings(one)
        except InputError:  # one file whose settings lie elsewhere: only a study can name both
            continue
        yield PretrainedFacts(
            name=one.name,
            title=one.title,
            about=one.about,
            licence=one.licence,
            defaults=usual,
            limits=within(limits_of(KIND)),
        )


OPERATIONS = [
    Operation(
        "GET",
        "/models",
        list_models,
        "List text-to-image models that draw without a study.",
        answer=PretrainedList,
    )
]
