"""Keeping to a budget while running: whole rounds are dropped by time, never by outcome."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from synthlift.study.session import Session

FINISH_SHARE = 0.06
"""Share of the budget kept for test predictions, statistics and the report."""


class Clock:
    """Measures rounds against a budget in seconds; without one every planned round runs."""

    def __init__(self, budget: float | None) -> None:
        self._budget = budget
        self._began = time.monotonic()
        self._rounds: list[float] = []

    @contextlib.contextmanager
    def round(self) -> Iterator[None]:
        """Time one round."""
        began = time.monotonic()
        yield
        self._rounds.append(time.monotonic() - began)

    def allows(self, session: Session, number: int) -> bool:
        """Whether planned round ``number`` is run; recorded once it was in question."""
        if number == 0 or self._budget is None:
            return True
        return bool(session.decide(f"round_{number + 1}", self._choose))

    def adds(self, session: Session, number: int) -> bool:
        """Whether round ``number`` is added after the opening (``--more``); recorded when it is."""
        if has_added(session, number):
            return True
        if self._budget is None or not self._choose()[0]:
            return False
        reason = "asked for with --more"
        return bool(session.decide(_added(number), lambda: (True, reason)))

    def _choose(self) -> tuple[bool, str]:
        assert self._budget is not None
        used = time.monotonic() - self._began
        expected = self._rounds[-1] if self._rounds else 0.0
        fits = used + expected + FINISH_SHARE * self._budget <= self._budget
        before = f"{used:.0f} of {self._budget:.0f} seconds were used"
        return fits, f"{before} and the round before took {expected:.0f}"


def has_added(session: Session, number: int) -> bool:
    """Whether an earlier run added round ``number`` after the opening."""
    return _added(number) in session.store.decisions(session.key)


def _added(number: int) -> str:
    return f"added_round_{number + 1}"
