"""Errors say what was given, what the rule is and what to do."""

from __future__ import annotations

import pickle

import pytest

from synthlift.errors import (
    DiskFullError,
    InputError,
    Interrupted,
    LeakageError,
    StageError,
    SynthliftError,
    nearest_name,
)


def test_an_input_error_has_three_parts_in_one_text() -> None:
    error = InputError("multiple -1", rule="multiples are > 0", remedy="remove it")
    assert str(error) == "multiple -1\n  Rule: multiples are > 0\n  Remedy: remove it"


def test_an_input_error_comes_back_whole_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(InputError("given", rule="rule", remedy="remedy")))
    assert (error.given, error.rule, error.remedy) == ("given", "rule", "remedy")
    assert isinstance(error, InputError)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SynthliftError, 1),
        (StageError, 1),
        (DiskFullError, 1),
        (LeakageError, 1),
        (Interrupted, 130),
    ],
)
def test_exit_codes(kind: type[SynthliftError], code: int) -> None:
    assert kind("words").exit_code == code
    assert InputError("", rule="", remedy="").exit_code == 2


@pytest.mark.parametrize(
    ("given", "near"),
    [("balanced_acuracy", "balanced_accuracy"), ("mixd", "mixed"), ("xyz", None), ("", None)],
)
def test_the_nearest_name_is_offered_where_one_is_near(given: str, near: str | None) -> None:
    offered = nearest_name(given, ["balanced_accuracy", "mixed", "real"])
    assert offered == (f" – did you mean '{near}'?" if near else "")
