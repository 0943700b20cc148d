"""A generator that is fitted by itself stays away from what is named as test images."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from synthlift.data.designs import fitting_design
from synthlift.data.splits import make_split
from synthlift.errors import InputError
from synthlift.spec.data import Split
from tests.unit.data.splitting import Columns, domains, images, parts_by_draw


def fitting(data: Columns, **section: Any) -> dict[str, str]:
    """The part of each image in the draw that is fitted on."""
    none = {"parts": [""] * len(data["ids"]), "attributes": {}}
    if data.get("published") is not None:
        section["file"] = "split.csv"
    design = fitting_design(Split.model_validate(section), **{**none, **data})
    return parts_by_draw(make_split(design, **data, seed=3))[0]


def test_given_test_and_validation_images_stay_what_they_are() -> None:
    data = images({"train": {"a": 50, "b": 40}, "validation": {"a": 9, "b": 8}, "test": {"a": 12}})
    assert fitting(data) == dict(zip(data["ids"], data["parts"], strict=True))
    ignored = Counter(fitting(data, given="ignore").values())
    assert ignored == {"train": 105, "validation": 12, "test": 2}


def test_a_described_test_set_is_left_out() -> None:
    data = domains()
    parts = fitting(data, test_where={"domain": ["sketch"]})
    assert {n.split("/")[0] for n, part in parts.items() if part == "test"} == {"sketch"}
    assert {n.split("/")[0] for n, part in parts.items() if part != "test"} == {"photo", "cartoon"}
    assert Counter(parts.values())["validation"] == 10


def test_of_several_published_draws_the_first_is_followed() -> None:
    data = images({"": {"a": 6, "b": 6}})
    folds = [["test", "test", "train", "train", "train", "validation"]]
    folds.append(["train", "train", "test", "test", "validation", "train"])
    data["published"] = [dict(zip(data["ids"], fold * 2, strict=True)) for fold in folds]
    assert fitting(data) == data["published"][0]


def test_a_group_on_both_sides_is_refused() -> None:
    data = images({"train": {"a": 5, "b": 5}, "test": {"a": 2, "b": 2}})
    data["groups"][-1] = data["groups"][0]
    with pytest.raises(InputError, match="in two parts of the split that the data bring"):
        fitting(data)
