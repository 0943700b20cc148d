"""Keeping to a budget while running: whole rounds are dropped by time, never by outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence

from synthlift.study.expecting import CHOOSING_FOLDS, PARALLEL
from synthlift.study.layout import Replicate
from synthlift.study.pools import spent_on
from synthlift.study.rounds import missing_pools
from synthlift.study.session import Session
from synthlift.study.work import Work

FINISH_SHARE = 0.06
"""Share of the budget kept for test predictions, statistics and the report."""


REPLANNED = "replanned_after_opening"
"""Decision that choices were taken again with the test set known; the answer is then exploratory.
"""


class Clock:
    """Compares the time used and the next round's with a budget; without one, all rounds run.

    Args:
        budget: seconds from now, or None.
        workers: processes that share the work.
    """

    def __init__(self, budget: float | None, *, workers: int) -> None:
        self._budget, self._workers = budget, workers
        self._began = time.monotonic()

    def allows(self, work: Work, number: int, replicates: Sequence[Replicate]) -> bool:
        """Whether planned round ``number`` is run; recorded once it was in question."""
        if number == 0 or self._budget is None:
            return True
        name = f"round_{number + 1}"
        return bool(work.session.decide(name, lambda: self._choose(work, replicates)))

    def adds(self, work: Work, replicates: Sequence[Replicate]) -> bool:
        """Whether one more round is added after the opening (``--more``)."""
        return self._budget is not None and self._choose(work, replicates)[0]

    def _choose(self, work: Work, replicates: Sequence[Replicate]) -> tuple[bool, str]:
        assert self._budget is not None
        used = time.monotonic() - self._began
        expected = expected_round(work, replicates) / (self._workers * PARALLEL)
        later = expected_refit(work) / PARALLEL
        fits = used + expected + later + FINISH_SHARE * self._budget <= self._budget
        before = f"{used:.0f} of {self._budget:.0f} seconds were used"
        return fits, f"{before} and this round is expected to take {expected:.0f}"


def expected_round(work: Work, replicates: Sequence[Replicate]) -> float:
    """Processor seconds that these replicates will take, going by the work done before them.

    Costs are those on record, so that a resumed study expects the same as an undisturbed one.
    """
    done = len(work.replicates) + len(work.added)
    names = {arm.name for arm in work.arms}
    models = sum(
        model.record["cost"]["seconds"] for (arm, _), model in work.models.items() if arm in names
    )
    seconds = float(models) / max(done, 1) * len(replicates)
    known, missing = work.pools.values(), missing_pools(work, replicates)
    if missing and known:
        made = sum(one.seconds for one in spent_on(known))
        seconds += made / len(known) * len(missing)
    chooses = work.splits is not None and work.selection == "cross_selection"
    return seconds * (1 + CHOOSING_FOLDS) if chooses else seconds


def expected_refit(work: Work) -> float:
    """Processor seconds of the model on all images that is still to be trained (``refit``)."""
    folds = work.prepared.layout.round_size
    if work.contrast is not None or work.prepared.layout.design != "cross_validated":
        return 0.0
    costs = [float(model.record["cost"]["seconds"]) for model in work.models.values()]
    known = list(work.pools.values())
    fitted = sum(one.seconds for one in spent_on(known)) / len(known) if known else 0.0
    return (max(costs, default=0.0) + fitted) * folds / (folds - 1)


def has_added(session: Session, number: int) -> bool:
    """Whether an earlier run added round ``number`` after the opening."""
    return session.noted(_added(number))


def note_added(session: Session, number: int) -> None:
    """Record that round ``number`` was added; once it is trained, so that it can be published."""
    session.decide(_added(number), lambda: (True, "asked for with --more"))


def note_replanned(session: Session) -> None:
    """Record that choices are taken again, where the study's test set is no secret any more."""
    if session.ledger.knows(session.key):
        why = "--replan was given after the study's test set had been opened"
        session.decide(REPLANNED, lambda: (True, why))


def _added(number: int) -> str:
    return f"added_round_{number + 1}"
