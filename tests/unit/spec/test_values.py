from __future__ import annotations

import random

import pytest

from synthlift.data.faults.spread import BINS, SKIN_TONES
from synthlift.spec.values import SCALES, in_order


@pytest.mark.parametrize(
    "ordered",
    [
        ["below 45", "45 to 55", "55 to 65", "65 or more", "missing"],
        ["below -0.5", "-0.5 to 2.25", "2.25 to 10", "10 or more"],
        ["2", "10", "10.5", "back", "face", ""],
        ["dark", "medium", "bright"],
        ["very light", "tan", "dark", "missing"],
        ["bright", "dark", "shade"],
    ],
)
def test_values_stand_in_the_order_that_people_expect(ordered: list[str]) -> None:
    shuffled = random.Random(0).sample(ordered * 2, 2 * len(ordered))
    assert in_order(shuffled) == ordered


def test_words_read_off_the_pixels_are_known() -> None:
    tones = tuple(str(tone) for _, tone in SKIN_TONES)
    known = {frozenset(words) for words in SCALES}
    assert all(frozenset(words) in known for words in BINS.values())
    assert any(set(tones) <= words for words in known)
