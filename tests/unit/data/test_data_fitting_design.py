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


def test_a_class_of_one_or_two_groups_goes_to_training_whole() -> None:
    parts = fitting(images({"": {"a": 30, "b": 2, "c": 1, "d": 3}}))
    by_class: dict[str, Counter[str]] = {}
    for name, part in parts.items():
        by_class.setdefault(name.split("/")[1], Counter())[part] += 1
    assert by_class["b"] == {"train": 2}
    assert by_class["c"] == {"train": 1}
    assert by_class["d"] == {"train": 2, "test": 1}
    assert by_class["a"] == {"train": 26, "validation": 3, "test": 1}


def test_without_such_a_class_every_class_has_images_to_watch_by() -> None:
    data = images({"": {"a": 30, "d": 3}})
    parts = fitting(data)
    watched = {name.split("/")[1] for name, part in parts.items() if part == "validation"}
    assert watched == {"a", "d"}
    plain = {"parts": [""] * len(data["ids"]), "attributes": {}}
    # Earlier fits are found again.
    assert "learnt_from" not in fitting_design(Split(), **{**data, **plain}).config()


def test_a_class_with_few_images_beside_given_test_images_is_followed_as_given() -> None:
    data = images({"train": {"a": 9, "b": 2}, "test": {"a": 3, "b": 3}})
    counts = Counter(fitting(data).values())
    assert counts == {"train": 9, "validation": 2, "test": 6}
