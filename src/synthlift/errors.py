"""The error tree.

Two kinds of failure exist. A user's mistake raises :class:`InputError` (exit code 2): it says what
was given, what the rule is and what to do. Everything else that stops a run raises another
:class:`SynthliftError` (exit code 1), and our own mistakes are assertions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthliftError(Exception):
    """Base of every error that Synthlift raises on purpose."""

    exit_code = 1


class InputError(SynthliftError):
    """The user's input is wrong.

    The three parts are kept apart so that the command line and the web app can lay them out.

    Args:
        given: what was given, with the offending value.
        rule: the rule that it breaks.
        remedy: what to do now, as a command where there is one.
    """

    exit_code = 2

    def __init__(self, given: str, *, rule: str, remedy: str) -> None:
        self.given, self.rule, self.remedy = given, rule, remedy
        super().__init__(f"{given}\n  Rule: {rule}\n  Remedy: {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_input_error, (self.given, self.rule, self.remedy))


def _rebuild_input_error(given: str, rule: str, remedy: str) -> InputError:
    return InputError(given, rule=rule, remedy=remedy)


class LeakageError(SynthliftError):
    """Something other than the opening of the test reached for a locked test set."""


class StageError(SynthliftError):
    """A stage failed; what had been committed before it stays, so that a second run resumes."""


class DiskFullError(SynthliftError):
    """The disk is, or would become, full. Nothing is lost: free space and run again."""


class Interrupted(SynthliftError):  # noqa: N818 - an interruption is no error
    """The user, or ``synthlift stop``, ended the run; running again resumes it."""

    exit_code = 130


def nearest_name(given: str, valid: Iterable[str]) -> str:
    """Return `` – did you mean 'x'?`` for the closest of ``valid``, or an empty string."""
    close = difflib.get_close_matches(given, list(valid), n=1, cutoff=0.5)
    return f" – did you mean '{close[0]}'?" if close else ""
