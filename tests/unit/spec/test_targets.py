"""Targets as a study file writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from synthlift.errors import InputError
from synthlift.spec.arms import ArmSpec, expand_arms
from synthlift.spec.targets import ALL, LARGEST, Cell, Target


@pytest.mark.parametrize(
    "short", ["all", "fill_to_largest", "fill_to_median", "validation_error", "hard_cases"]
)
def test_short_names_survive_the_way_to_a_file_and_back(short: str) -> None:
    target = Target.model_validate(short)
    assert Target.model_validate(target.model_dump(mode="json")) == target
    assert json.loads(target.model_dump_json()) == short
    assert target.title == short


def test_cells_survive_the_way_to_a_file_and_back() -> None:
    given = {"cells": ["sex", "label", "age"], "fill_to": "median"}
    target = Target.model_validate(given)
    written = target.model_dump(mode="json")
    assert written == {"cells": ["label", "age", "sex"], "fill_to": "median"}
    assert Target.model_validate(written) == target
    assert target.attributes == ("age", "sex")
    assert target.title == "fill_label+age+sex_to_median"


def test_a_target_by_errors_survives_and_any_other_is_written_as_ever() -> None:
    given = {"cells": ["label", "sex"], "fill_to": "median", "by": "validation_error"}
    target = Target.model_validate(given)
    assert target.model_dump(mode="json") == given
    assert target.title == "validation_error_fill_label+sex_to_median"
    assert Target.model_validate({"cells": ["label", "sex"], "by": "hard_cases"}).title == (
        "hard_cases_label+sex"
    )
    without = Target.model_validate({"cells": ["label", "sex"]}).model_dump(mode="json")
    assert without == {"cells": ["label", "sex"], "fill_to": None}


def test_an_arm_is_named_after_its_cells() -> None:
    spec = ArmSpec.model_validate(
        {"kind": "targeted", "target": {"cells": ["label", "sex"], "fill_to": 50}}
    )
    names = [arm.name for arm in expand_arms([spec], generators=["flow"])]
    assert names == ["targeted-fill_label+sex_to_50@1", "targeted-fill_label+sex_to_50@1+rival"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("fill_to_lagrest", "fill_to_largest"),
        ({"cells": ["sex"]}, "label"),
        ({"fill_to": 0}, "fill_to"),
        ({"fill": "median"}, "fill"),
        ({"by": "validation_eror"}, "validation_error"),
    ],
)
def test_nonsense_is_refused(given: object, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Target.model_validate(given)


def test_controls_take_no_cells() -> None:
    with pytest.raises(ValidationError, match="posing"):
        ArmSpec.model_validate(
            {"kind": "mixed", "posing": "fresh", "target": {"cells": ["label", "sex"]}}
        )


def test_the_presets_are_what_their_names_say() -> None:
    counts = {Cell(0): 5, Cell(1): 2}
    assert ALL.shares(counts) == counts
    assert LARGEST.shares(counts) == {Cell(0): 0, Cell(1): 3}


def test_a_cell_in_words() -> None:
    cell = Cell.of(1, {"sex": "female", "site": ""})
    assert cell.title(["nv", "mel"]) == "mel, sex female, site missing"
    assert cell.within(["sex"]) == Cell.of(1, {"sex": "female"})
    assert cell.within(["age"]) is None


def test_one_entry_asks_for_an_arm_of_every_generator() -> None:
    spec = ArmSpec.model_validate({"kind": "mixed", "multiples": [1], "generator": "every"})
    arms = expand_arms([spec], generators=["flow", "gan"])
    assert [arm.name for arm in arms] == [
        "mixed@1",
        "mixed@1+rival",
        "gan:mixed@1",
        "gan:mixed@1+rival",
    ]
    assert [arm.generator for arm in arms] == ["flow", "flow", "gan", "gan"]
    # A generator of that name is meant where there is one.
    assert {arm.generator for arm in expand_arms([spec], generators=["flow", "every"])} == {"every"}
    with pytest.raises(InputError):
        expand_arms([spec], generators=[])


def test_unseen_combinations_of_seen_values_are_cells_where_asked() -> None:
    counts = {
        Cell.of(0, {"sex": "f"}): 5,
        Cell.of(0, {"sex": "m"}): 3,
        Cell.of(1, {"sex": "f"}): 4,
        Cell.of(1, {"sex": ""}): 9,
        Cell(2): 0,
    }
    seen = Target(cells=("label", "sex"), fill_to="median")
    level = 4  # of 3, 4, 5 and 9 images, the unseen cell left out
    lacking = {Cell.of(0, {"sex": "m"}): 1}
    assert {cell: n for cell, n in seen.shares(counts).items() if n} == lacking
    every = Target(cells=("label", "sex"), fill_to="median", unseen=True)
    lacking[Cell.of(1, {"sex": "m"})] = level
    assert {cell: n for cell, n in every.shares(counts).items() if n} == lacking
    assert every.title == "fill_label+sex_to_median_with_unseen"
    assert Target.model_validate(every.model_dump()) == every
    assert "unseen" not in str(seen.model_dump())


@pytest.mark.parametrize(
    "wrong",
    [
        {"unseen": True},
        {"cells": ["label", "sex"], "unseen": True},
        {"cells": ["label"], "fill_to": "median", "unseen": True},
        {"cells": ["label", "sex"], "fill_to": "median", "by": "hard_cases", "unseen": True},
    ],
)
def test_unseen_cells_need_a_level_to_fill_to(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="unseen: true"):
        Target.model_validate(wrong)
