"""What people say of a run's images, kept in the run folder beside the results.

Both files grow line by line and no line is ever changed: who judged what, and when, stays on
record. Nothing here is a result of the study: no figure of ``results.json`` depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from synthlift.errors import InputError
from synthlift.spec.facts import Record

HAND_VERDICTS, BLIND_TESTS = "hand-verdicts.jsonl", "blind-tests.jsonl"
Word = Literal["keep", "reject", "withdrawn"]
COPIES = frozenset(("exact_duplicates", "near_copies", "pixel_copies", "same_picture"))
"""Kinds of filters whose verdicts no hand lifts: nobody sees that a picture is no copy."""
Who = Annotated[str, Field(min_length=1, max_length=80)]
AnyRecord = TypeVar("AnyRecord", bound=Record)


class HandVerdict(Record):
    """One verdict by hand on a generated image.

    Attributes:
        image: its id, as :class:`synthlift.api.training_sets.ArmImage` writes it.
        verdict: keep or reject it; withdrawn = what the filters said counts again.
        who: name that the person gave; nobody checks it.
        at: UTC time.
    """

    image: str
    verdict: Word
    who: Who
    at: str


class BlindAnswer(Record):
    """One picture of a blind test: what it was, and what it was taken for."""

    image: str
    label: str
    was: Literal["real", "synthetic"]
    said: Literal["real", "synthetic"]


class BlindTest(Record):
    """A finished test in which a person tells real from generated images.

    Attributes:
        id: random.
        who: name that the person gave; nobody checks it.
        at: UTC time of the last answer.
        generator: whose images were shown.
        answers: of every picture, in the order in which they were shown.
        right: how many were told rightly.
        low, high: 95 % Wilson interval of the share told rightly.
        p_value: exact, two-sided, of so many right answers by tossing a coin.
    """

    id: str
    who: Who
    at: str
    generator: str
    answers: list[BlindAnswer]
    right: int
    low: float
    high: float
    p_value: float

    @property
    def share(self) -> float:
        """Of the pictures, how many were told rightly."""
        return self.right / len(self.answers)

    def told(self, kind: Literal["real", "synthetic"]) -> tuple[int, int]:
        """Of the pictures of one kind: how many were told rightly, and how many there were."""
        of_kind = [one for one in self.answers if one.was == kind]
        return sum(one.said == kind for one in of_kind), len(of_kind)


def now() -> str:
    """UTC time as it is written into both files."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append(folder: Path, name: str, record: Record) -> None:
    """Add one line to a file of the run folder.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with (folder / name).open("a", encoding="utf-8") as stream:
            stream.write(record.model_dump_json() + "\n")
    except OSError as error:
        raise InputError(
            f"'{name}' cannot be written into the run folder ({error.strerror})",
            rule="what people say of a run is kept in its folder",
            remedy="allow writing there, or copy the run to where you may write",
        ) from None


def blind_tests(folder: Path) -> list[BlindTest]:
    """All finished blind tests of a run, in the order in which they were made."""
    return _read(folder / BLIND_TESTS, BlindTest)


def hand_verdicts(folder: Path) -> list[HandVerdict]:
    """Every verdict by hand on a run's images, withdrawn ones included, in order."""
    return _read(folder / HAND_VERDICTS, HandVerdict)


def in_force(folder: Path) -> Mapping[str, HandVerdict]:
    """The verdicts by hand that count, by image: the last one of each, unless withdrawn."""
    last = {one.image: one for one in hand_verdicts(folder)}
    return {image: one for image, one in last.items() if one.verdict != "withdrawn"}


def _read(path: Path, model: type[AnyRecord]) -> list[AnyRecord]:
    found = []
    # Only what ends a line of JSON: text may hold other ends of lines, such as U+2028.
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else ():
        try:
            found.append(model.model_validate_json(line))
        except ValidationError:  # cut short by a crash
            continue
    return found
