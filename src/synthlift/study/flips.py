"""Training settings of each training set, flips included, tested on each by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from synthlift.store import StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session
from synthlift.study.steps import training_settings


def settings_of_draws(
    session: Session, prepared: Prepared, draws: Iterable[int], *, steps: int | None
) -> dict[int, dict[str, Any]]:
    """Resolved training settings per draw as JSON; ``steps`` where a budget cut them."""
    return {
        draw: training_settings(
            session.study,
            counts=prepared.counts[draw],
            image_size=prepared.image_size,
            flip=keeps,
            steps=steps,
        ).model_dump(mode="json")
        for draw, keeps in _flips(session, prepared, sorted(draws)).items()
    }


def _flips(session: Session, prepared: Prepared, draws: list[int]) -> dict[int, bool]:
    """Whether a draw's training images keep their class when mirrored."""
    if session.study.training.flip != "auto":
        return dict.fromkeys(draws, session.study.training.flip == "yes")
    found = session.ask(
        StageRequest(
            stage="flip",
            function="synthlift.study.stages.measure:flip",
            config={"draw": draw},
            inputs=as_inputs(prepared.data),
            numerics=session.numerics,
            label="testing whether mirrored images keep their class",
        )
        for draw in draws
    )
    return {
        draw: bool(artefact.summary["keeps_class"])
        for draw, artefact in zip(draws, found, strict=True)
    }
