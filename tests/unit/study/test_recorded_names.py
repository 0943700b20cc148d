"""Under which names the weights of targets by errors are recorded, and told by whichever values."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from synthlift.spec.targets import Cell
from synthlift.store import Store
from synthlift.study.aiming import decision_name, former_name, read_weights, recorded_titles
from synthlift.study.counting import by_title

CLASSES = ("mel", "nv")


@pytest.mark.parametrize("attributes", [(), ("sex",), ("age", "sex"), ("age (years)",), ("a/b",)])
@pytest.mark.parametrize("design", ["fixed", "redrawn", "cross_validated"])
def test_plain_names_are_recorded_as_ever(attributes: tuple[str, ...], design: str) -> None:
    name = decision_name("hard_cases", attributes, design, 1)
    assert name == former_name("hard_cases", attributes, design, 1)
    ending = {"fixed": "", "redrawn": "_draw_2", "cross_validated": "_fold_2"}[design]
    assert name == "_".join(("hard_cases", *attributes)) + ending


def test_other_attributes_have_a_decision_of_their_own(tmp_path: Path) -> None:
    def told(number: int) -> tuple[int, str]:
        return number, "tried"

    store = Store(tmp_path)
    several = [
        ("skin", "tone"),
        ("skin_tone",),
        ("a_b", "c"),
        ("a", "b_c"),
        ("a/b",),
        ("a~b",),
        ("年" * 90,),
        ("年" * 91,),
        ("x" * 120, "y" * 120),
    ]
    for number, attributes in enumerate(several):
        name = decision_name("validation_error", attributes, "redrawn", 0)
        store.decide("study", name, partial(told, number))
    assert sorted(one["value"] for one in store.decisions("study").values()) == [*range(9)]


def test_weights_are_told_apart_where_words_are_not() -> None:
    cells = {Cell.of(0, {"sex": value}): n for n, value in enumerate(("", "missing", "f"), 1)}
    titles = recorded_titles(cells, CLASSES)
    assert titles[Cell.of(0, {"sex": "f"})] == "mel, sex f"
    value = {titles[cell]: float(n) for cell, n in cells.items()}
    assert read_weights(value, cells, CLASSES) == cells
    # As it is recorded where nothing sounds alike, now and before.
    plain = {Cell.of(1, {"sex": ""}): 2.0, Cell.of(1, {"sex": "m"}): 3.0}
    assert read_weights({"nv, sex missing": 2.0, "nv, sex m": 3.0}, plain, CLASSES) == plain


def test_counts_of_cells_that_sound_alike_are_added() -> None:
    counts = {Cell.of(0, {"sex": ""}): 2, Cell.of(0, {"sex": "missing"}): 3, Cell(1): 4}
    assert by_title(counts, CLASSES) == {"mel, sex missing": 5, "nv": 4}
