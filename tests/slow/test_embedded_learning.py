"""What the embedded pipeline learns from few images, and what it makes of images and words.

All is measured by classifiers that learnt from other drawings. Limits and seeds were set before the
seeds were first used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthlift.embedded import embedded_model
from tests.judges import Judges
from tests.learning import classes_after, plain_prompts, style_learnt, word_learnt
from tests.styles import StyleJudge

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not embedded_model("text_to_image").is_dir(), reason="the package comes without its model"
    ),
]
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.timeout(7200)
def test_lora_learns_a_style_from_16_images_and_forgets_little(tmp_path: Path) -> None:
    prior = {"images": 64, "prompts": plain_prompts(64, seed=72)}
    adapt = {"steps": 300, "prior": prior}
    found = style_learnt(tmp_path, seed=71, count=48, judge=StyleJudge(), adapt=adapt)
    assert found["before, styled: chequered"] < 0.2, found
    assert found["after, styled: chequered"] >= 0.8, found
    # Without the style's word it draws as before, and what it was told.
    assert found["after, plain: chequered"] < 0.2, found
    assert found["after, plain: class"] >= found["before, plain: class"] - 0.15, found


@pytest.mark.timeout(7200)
def test_textual_inversion_learns_a_word_for_what_16_images_show(tmp_path: Path) -> None:
    found = word_learnt(tmp_path, seed=81, count=48, steps=200, judges=Judges())
    # A word that says nothing yet is drawn as anything.
    assert found["before: word"] < 0.2, found
    assert found["before: all"] <= 0.05, found
    assert found["after: word"] >= 0.8, found
    assert found["after: all"] >= 0.5, found


@pytest.mark.timeout(7200)
def test_strength_decides_between_the_class_of_the_image_and_that_of_the_prompt(
    tmp_path: Path,
) -> None:
    kept, turned = classes_after(tmp_path, seed=91, each=4, strengths=STRENGTHS, judges=Judges())
    assert kept[0] >= 0.85, kept
    assert turned[0] <= 0.05, turned
    assert kept[-1] <= 0.15, kept
    assert turned[-1] >= 0.75, turned
    # Of 64 images, an even sweep may be off by a few.
    assert (np.diff(kept) <= 0.04).all(), kept
    assert (np.diff(turned) >= -0.04).all(), turned
