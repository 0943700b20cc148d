"""What can go wrong on the server's side, beside a user's mistake."""

from __future__ import annotations

from synthlift.errors import SynthliftError


class MissingError(SynthliftError):
    """There is nothing of that id."""


class BusyError(SynthliftError):
    """As much waits as may wait."""


class StuckError(SynthliftError):
    """No answer came, or not in time.

    Args:
        given: what happened.
        remedy: what to do; "" = try again.
    """

    def __init__(self, given: str, *, remedy: str = "") -> None:
        super().__init__(given)
        self.remedy = remedy
