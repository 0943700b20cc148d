"""The error tree.

Two kinds of failure exist. A user's mistake raises :class:`InputError` (exit code 2): it says what
was given, what the rule is and what to do. Everything else that stops a run raises another
:class:`SynthliftError` (exit code 1), and our own mistakes are assertions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


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


def installing(extra: str) -> str:
    """How an extra is installed, for remedies; a clone's ``.venv`` has no pip."""
    return f"pip install 'synthlift[{extra}]', or in a clone: make setup"


@contextmanager
def needing_extra(what: str, *, extra: str) -> Iterator[None]:
    """Say which extra an import within needs.

    Args:
        what: what needs it, in words.
        extra: of this package, with which what is missing is installed.

    Raises:
        InputError: a package is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{what} needs a package that is not installed: {error.name}",
            rule=f"what {what} needs is installed with the extra '{extra}'",
            remedy=installing(extra),
        ) from None


class DeviceMemoryError(InputError):
    """The device's memory does not hold what was asked for.

    Args:
        given, rule, remedy: see :class:`InputError`.
        fit: key of the generator that was sampling, or "".
        micro_batch: images that it computed together, where fewer can be tried, or 0.
        savings: where one image alone did not fit, the ways of saving memory that can be tried
            next, in words, those included that were in use; () = none is left.
    """

    def __init__(
        self,
        given: str,
        *,
        rule: str,
        remedy: str,
        fit: str = "",
        micro_batch: int = 0,
        savings: tuple[str, ...] = (),
    ) -> None:
        self.fit, self.micro_batch, self.savings = fit, micro_batch, savings
        super().__init__(given, rule=rule, remedy=remedy)

    def __reduce__(self) -> tuple[object, ...]:
        known = {"fit": self.fit, "micro_batch": self.micro_batch, "savings": self.savings}
        return (_rebuild_device_memory_error, (self.given, self.rule, self.remedy, known))


def _rebuild_device_memory_error(
    given: str, rule: str, remedy: str, known: Mapping[str, Any]
) -> DeviceMemoryError:
    return DeviceMemoryError(given, rule=rule, remedy=remedy, **known)


_MEMORY_WORDS = re.compile(r"out of memory|can't allocate memory|failed to allocate", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch's own error on a GPU, its plain one elsewhere, or Python's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and bool(_MEMORY_WORDS.search(str(error)))


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
