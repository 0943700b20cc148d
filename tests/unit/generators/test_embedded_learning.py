"""The embedded pipeline learns and changes images: a first look, in seconds.

``tests/slow/test_embedded_learning.py`` measures it with more images and steps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from synthlift.embedded import embedded_model
from tests.judges import Judges
from tests.learning import classes_after, word_learnt

pytestmark = pytest.mark.skipif(
    not embedded_model("text_to_image").is_dir(), reason="the package comes without its model"
)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(count=1500)


def test_textual_inversion_gives_a_word_its_meaning(tmp_path: Path, judges: Judges) -> None:
    found = word_learnt(tmp_path, seed=61, count=16, steps=80, judges=judges)
    assert found["before: word"] <= 0.3, found
    assert found["after: word"] >= 0.6, found


def test_low_strength_keeps_the_class_and_high_strength_changes_it(
    tmp_path: Path, judges: Judges
) -> None:
    kept, turned = classes_after(tmp_path, seed=62, each=1, strengths=(0.2, 1.0), judges=judges)
    assert kept[0] >= 0.7, kept
    assert turned[0] <= 0.15, turned
    assert kept[1] <= 0.2, kept
    assert turned[1] >= 0.6, turned
