"""Replicates, fits and the images that arms want."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.spec.arms import Arm
from synthlift.spec.targets import Cell, class_cells
from synthlift.study.layout import make_layout, most_wanted, wanted_images, with_room


def arm(**changes: object) -> Arm:
    return Arm.model_validate(
        {"name": "a", "role": "generative", "generator": "g", "multiple": 1.0, **changes}
    )


def test_fixed_replicates_take_fits_in_turn() -> None:
    layout = make_layout("fixed", replicates=10, fits=5)
    assert [r.fit for r in layout.replicates] == [0, 1, 2, 3, 4] * 2
    assert {r.draw for r in layout.replicates} == {0}
    assert [len(r) for r in layout.rounds()] == [5, 5]


def test_redrawn_replicates_take_draws_in_turn_each_with_its_own_fit() -> None:
    layout = make_layout("redrawn", replicates=6, fits=99, draws=3)
    assert [(r.draw, r.fit) for r in layout.replicates] == [(0, 0), (1, 1), (2, 2)] * 2


def test_folds_are_replicates_and_fits() -> None:
    layout = make_layout("cross_validated", replicates=10, fits=99, folds=5)
    assert [(r.index, r.draw, r.fit) for r in layout.replicates] == [(j, j, j) for j in range(10)]
    assert layout.round_size == 5


@pytest.mark.parametrize(("asked", "given"), [(10, 10), (11, 15), (3, 3), (1, 1)])
def test_rounds_are_whole(asked: int, given: int) -> None:
    assert len(make_layout("fixed", replicates=asked, fits=5).replicates) == given


@pytest.mark.parametrize("design", ["fixed", "redrawn", "cross_validated"])
def test_room_changes_no_planned_replicate(design: str) -> None:
    layout = make_layout(design, replicates=10, fits=5, draws=5, folds=5)  # type: ignore[arg-type]
    roomy = with_room(layout, rounds=3)
    assert roomy.replicates[:10] == layout.replicates
    assert len(roomy.replicates) == 25
    assert roomy.round_size == layout.round_size


def test_wanted_images_follow_the_definition_of_the_multiple() -> None:
    counts = class_cells({0: 40, 1: 10, 2: 3})
    assert wanted_images(arm(multiple=0.5), counts) == class_cells({0: 20, 1: 5, 2: 2})
    fill = arm(target="fill_to_largest", multiple=2.0)
    assert wanted_images(fill, counts) == class_cells({0: 0, 1: 60, 2: 74})
    median = arm(target="fill_to_median")
    assert wanted_images(median, counts) == class_cells({0: 0, 1: 0, 2: 7})
    twenty = arm(target={"fill_to": 20})
    assert wanted_images(twenty, counts) == class_cells({0: 0, 1: 10, 2: 17})
    assert wanted_images(arm(generator=None), counts) == {}


def test_errors_spread_what_a_target_amounts_to() -> None:
    counts = class_cells({0: 40, 1: 10, 2: 3})
    weights = {Cell(0): 0.1, Cell(1): 0.3, Cell(2): 0.1}
    plain = arm(target="validation_error", multiple=1.0)
    assert wanted_images(plain, counts, weights=weights) == {Cell(0): 11, Cell(1): 32, Cell(2): 10}
    filling = arm(target={"by": "hard_cases", "fill_to": "largest"}, multiple=2.0)
    total = sum(wanted_images(arm(target="fill_to_largest", multiple=2.0), counts).values())
    assert sum(wanted_images(filling, counts, weights=weights).values()) == total
    # The control has the same total, and knows nothing of errors.
    even = arm(target="validation_error", spread_evenly=True)
    assert wanted_images(even, counts, weights=weights) == counts


def test_cells_are_filled_and_coarser_targets_add_them_up() -> None:
    counts = {
        Cell.of(0, {"sex": "f", "site": "arm"}): 6,
        Cell.of(0, {"sex": "f", "site": "leg"}): 4,
        Cell.of(0, {"sex": "m", "site": "arm"}): 1,
        Cell.of(1, {"sex": "", "site": "arm"}): 3,
        Cell(2): 0,
    }
    by_sex = arm(target={"cells": ["label", "sex"], "fill_to": "median"})
    assert wanted_images(by_sex, counts) == {
        Cell.of(0, {"sex": "f"}): 0,
        Cell.of(0, {"sex": "m"}): 2,
        Cell.of(1, {"sex": ""}): 0,
    }
    assert wanted_images(arm(multiple=1.0), counts) == class_cells({0: 11, 1: 3, 2: 0})
    needs = [wanted_images(arm(multiple=m), counts) for m in (1.0, 2.0)]
    assert most_wanted([*needs, wanted_images(by_sex, counts)]) == {
        **class_cells({0: 22, 1: 6, 2: 0}),
        **wanted_images(by_sex, counts),
    }


@given(
    st.dictionaries(st.integers(0, 30), st.integers(1, 500), min_size=2, max_size=12),
    st.sampled_from([0.25, 1.0, 3.0]),
)
def test_the_control_spreads_the_same_total_in_proportion(
    classes: dict[int, int], multiple: float
) -> None:
    counts = class_cells(classes)
    target = arm(target="fill_to_largest", multiple=multiple)
    control = target.model_copy(update={"spread_evenly": True})
    total = sum(wanted_images(target, counts).values())
    spread = wanted_images(control, counts)
    assert sum(spread.values()) == total
    for k, n in counts.items():
        assert abs(spread[k] - total * n / sum(counts.values())) < 1
