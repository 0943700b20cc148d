"""What people said of the images: blind tests, and verdicts by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthlift.reporting import text
from synthlift.reporting.reading import Reading
from synthlift.spec import people
from synthlift.spec.people import BlindTest


@dataclass(frozen=True)
class Row:
    """One blind test, written."""

    who: str
    when: str
    generator: str
    right: str
    share: str
    interval: str
    p: str
    real: str
    synthetic: str
    words: str


@dataclass(frozen=True)
class People:
    """Blind tests in order, and how many images were judged by hand and by whom."""

    tests: Sequence[Row]
    rejected: int
    kept: int
    judges: str


def view(reading: Reading, *, shareable: bool) -> People | None:
    """None where nobody has said anything; a shareable report names nobody."""
    if reading.folder is None:
        return None
    tests = people.blind_tests(reading.folder)
    hands = list(people.in_force(reading.folder).values())
    if not tests and not hands:
        return None
    persons = {who: f"person {place}" for place, who in enumerate(_everybody(tests, hands), 1)}

    def named(who: str) -> str:
        return persons[who] if shareable else who

    kept = sum(one.verdict == "keep" for one in hands)
    return People(
        tests=[_row(one, named(one.who)) for one in tests],
        rejected=len(hands) - kept,
        kept=kept,
        judges=", ".join(sorted({named(one.who) for one in hands})),
    )


def _everybody(tests: Sequence[BlindTest], hands: Sequence[people.HandVerdict]) -> list[str]:
    return list(dict.fromkeys([*(one.who for one in tests), *(one.who for one in hands)]))


def _row(test: BlindTest, who: str) -> Row:
    count = len(test.answers)
    (real_right, real), (synthetic_right, synthetic) = test.told("real"), test.told("synthetic")
    if test.low > 0.5:
        words = "told better than by guessing"
    elif test.high < 0.5:
        words = "told worse than by guessing: the difference was seen and taken the wrong way"
    else:
        words = "this may have been guessing"
    return Row(
        who=who,
        when=test.at[:10],
        generator=test.generator,
        right=f"{test.right} of {count}",
        share=text.percent(test.share),
        interval=text.interval(test.low, test.high),
        p=text.p_value(test.p_value),
        real=f"{real_right} of {real}",
        synthetic=f"{synthetic_right} of {synthetic}",
        words=words,
    )
