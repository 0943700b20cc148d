"""How large the parts will be, before anything is split."""

from __future__ import annotations

from typing import Any

import pytest

from synthlift.data.designs import groups_per_class
from synthlift.data.given import Images
from synthlift.data.subsampling import expected_groups, fixed_groups
from tests.unit.data.splitting import Columns, classes, parts_by_draw, per_class, split


@pytest.mark.parametrize(
    "asked",
    [
        {"design": "fixed"},
        {"design": "cross_validated", "folds": 4},
        {"design": "redrawn"},
        {"per_class": 12},
        {"labels_per_class": 9},
        {"fraction": 0.3},
        {"long_tail": {"largest": 40, "smallest": 4}},
    ],
)
def test_parts_are_foretold_before_anything_is_split(asked: dict[str, Any]) -> None:
    data = classes({"a": 120, "b": 60, "c": 60})
    design, table = split(data, **asked)
    train, validation = expected_groups(design, {"a": 120, "b": 60, "c": 60})
    for parts in parts_by_draw(table):
        assert per_class(data, parts, "train") == pytest.approx(list(train.values()), abs=1)
        assert per_class(data, parts, "validation") == pytest.approx(
            list(validation.values()), abs=1
        )


def published(tested: int, validated: int, total: int = 60) -> Columns:
    """60 groups a class, of which the first are tested and the next validated on."""
    data = classes({"a": total, "b": total})
    place = {name: int(name.split("/")[-1][:4]) for name in data["ids"]}
    parts = {
        name: "test" if k < tested else "validation" if k < tested + validated else "train"
        for name, k in place.items()
    }
    return {**data, "published": [parts]}


@pytest.mark.parametrize("validated", [0, 9])
@pytest.mark.parametrize("tested", [0, 15])
@pytest.mark.parametrize("origin", ["file", "data"])
@pytest.mark.parametrize(
    "asked", [{}, {"design": "redrawn"}, {"per_class": 7, "validation": 0.3}, {"fraction": 0.3}]
)
def test_parts_are_foretold_where_some_are_fixed(
    tested: int, validated: int, origin: str, asked: dict[str, Any]
) -> None:
    if not tested and not validated:
        return
    data = published(tested, validated)
    if origin == "data":
        (parts,) = data.pop("published")
        data["parts"] = [parts[name] for name in data["ids"]]
    check_foretold(data, **asked)


def test_folds_and_draws_that_are_published_are_foretold() -> None:
    data = classes({"a": 60, "b": 60})
    for section in ({"folds": 4, "repeats": 2}, {"per_class": 11, "draws": 3}):
        _, table = split(data, 3, **section)
        check_foretold({**data, "published": parts_by_draw(table)})


def check_foretold(data: Columns, **asked: Any) -> None:
    design, table = split(data, **asked)
    columns = {name: values for name, values in data.items() if name != "published"}
    fixed = fixed_groups(design, Images.of(**columns), published=data.get("published"))
    groups = groups_per_class(data["labels"], data["groups"])
    train, validation = expected_groups(design, groups, fixed=fixed)
    for parts in parts_by_draw(table):
        for part, expected in (("train", train), ("validation", validation)):
            assert per_class(data, parts, part) == pytest.approx(list(expected.values()), abs=1)
