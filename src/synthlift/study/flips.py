"""Whether horizontal flips are part of augmentation, tested on each training set by itself."""

from __future__ import annotations

from synthlift.store import StageRequest
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session


def flips(session: Session, prepared: Prepared) -> dict[int, bool]:
    """Per draw, whether its training images keep their class when mirrored."""
    draws = sorted(prepared.counts)
    if session.study.training.flip != "auto":
        return dict.fromkeys(draws, session.study.training.flip == "yes")
    found = session.ask(
        StageRequest(
            stage="flip",
            function="synthlift.study.stages.measure:flip",
            config={"draw": draw},
            inputs=dict(prepared.data),  # type: ignore[arg-type]
            numerics=session.numerics,
            label="testing whether mirrored images keep their class",
        )
        for draw in draws
    )
    return {
        draw: bool(artefact.summary["keeps_class"])
        for draw, artefact in zip(draws, found, strict=True)
    }
