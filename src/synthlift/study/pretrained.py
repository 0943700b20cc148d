"""What a study does with a CLIP checkpoint, and what each arm trains of a pretrained classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from synthlift.errors import InputError
from synthlift.registry import descriptor
from synthlift.spec.arms import Arm
from synthlift.spec.study import Component, FilterComponent, Study
from synthlift.study.components import Resolved, settings_of
from synthlift.vision.clip.config import ClipCheckpoint

NEEDED = "clip"
"""What the descriptor of a filter needs that compares images with texts."""


def checkpoint_of(study: Study) -> Resolved | None:
    """The study's CLIP checkpoint with its hash, as JSON for stages; None where it names none.

    Raises:
        InputError: its files, or a template, cannot be used.
    """
    if study.clip is None:
        return None
    try:
        found = ClipCheckpoint(**study.clip.model_dump(), names=study.data.names)
    except ValidationError as error:
        raise InputError(
            f"clip: {error.errors()[0]['msg'].removeprefix('Value error, ')}",
            rule="'clip' names a checkpoint, and texts with {label} for its classes",
            remedy="correct the entry; docs/reference/study.md describes every setting",
        ) from None
    return found.model_dump(mode="json")


def reads_texts(filters: Iterable[Mapping[str, Any] | FilterComponent]) -> bool:
    """Whether one of some filters compares images with texts."""
    kinds = (f.kind if isinstance(f, FilterComponent) else f["kind"] for f in filters)
    return any(NEEDED in descriptor("filters", kind).needs for kind in kinds)


def checkpoint_for(
    study: Study, filters: Sequence[Mapping[str, Any] | FilterComponent]
) -> dict[str, Resolved]:
    """``{"clip": checkpoint}`` for a stage with filters that need one, else nothing.

    Raises:
        InputError: they need one and the study names none.
    """
    if not reads_texts(filters):
        return {}
    found = checkpoint_of(study)
    if found is None:
        raise InputError(
            "filter 'clip_score' without a CLIP checkpoint",
            rule="it compares images with texts as a CLIP checkpoint sees both",
            remedy="name one in the study file, such as clip: ./weights/clip, or remove the filter",
        )
    return {"clip": found}


def tuned_classifier(study: Study, arm: Arm) -> Component:
    """The study's classifier as an arm trains it."""
    if arm.tuning is None:
        return study.classifier
    return Component.model_validate({**study.classifier.model_dump(), "tuning": arm.tuning})


def trained_classifier(study: Study) -> str:
    """The classifier's name and, of a pretrained one, what is trained of it."""
    tuning = settings_of("classifiers", study.classifier).model_dump().get("tuning")
    return f"{study.classifier.title}, {tuning}" if tuning else study.classifier.title


def check_pretrained(study: Study, arms: Sequence[Arm]) -> None:
    """Refuse what a study cannot do with its checkpoint, before anything is computed.

    Raises:
        InputError: an arm has a tuning that the classifier knows not, an arm with synthetic images
            would train nothing, or a filter lacks its checkpoint.
    """
    checkpoint_for(study, study.curation)
    checkpoint_of(study)
    known = descriptor("classifiers", study.classifier.kind).config.model_fields
    for arm in arms:
        if arm.tuning is not None and "tuning" not in known:
            raise InputError(
                f"arm '{arm.name}' has a tuning, and classifier '{study.classifier.kind}' has none",
                rule="'tuning' says what is trained of a pretrained classifier",
                remedy="set classifier: {kind: clip} and name a checkpoint under 'clip', or remove "
                "'tuning'",
            )
        trains = settings_of("classifiers", tuned_classifier(study, arm)).trains()
        if arm.uses_synthetic and not trains:
            raise InputError(
                f"arm '{arm.name}' uses synthetic images, and the classifier trains nothing",
                rule="with tuning: zero_shot, images have no effect on a classifier",
                remedy="set another tuning of the classifier, and give arm 'real' tuning: "
                "zero_shot for comparison",
            )
