"""Keeping to a budget while running: whole rounds are dropped by time, never by outcome."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from synthlift.study.budget import parse_budget
from synthlift.study.session import Session

FINISH_SHARE = 0.06
"""Share of the budget kept for test predictions, statistics and the report."""


class Clock:
    """Measures rounds against the budget; without one every round runs."""

    def __init__(self, budget: str | None) -> None:
        self._budget = parse_budget(budget) if budget else None
        self._began = time.monotonic()
        self._rounds: list[float] = []

    @contextlib.contextmanager
    def round(self) -> Iterator[None]:
        """Time one round."""
        began = time.monotonic()
        yield
        self._rounds.append(time.monotonic() - began)

    def allows(self, session: Session, number: int) -> bool:
        """Whether round ``number`` is run; a recorded decision once it was in question."""
        if number == 0 or self._budget is None:
            return True
        budget = self._budget

        def choose() -> tuple[bool, str]:
            used = time.monotonic() - self._began
            expected = self._rounds[-1] if self._rounds else 0.0
            fits = used + expected + FINISH_SHARE * budget <= budget
            return fits, (
                f"{used:.0f} of {budget:.0f} seconds were used and the round before took "
                f"{expected:.0f}"
            )

        return bool(session.decide(f"round_{number + 1}", choose))
