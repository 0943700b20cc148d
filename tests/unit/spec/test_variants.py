"""Variants of a generator: each is a generator of its own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from synthlift.spec.arms import EVERY
from synthlift.spec.study import Study

SD = {"name": "sd", "kind": "text_to_image", "model": "./weights", "guidance_scale": 3}


def study(**generator: Any) -> Study:
    arms = ["real", {"kind": "mixed", "generator": EVERY}]
    return Study.model_validate({"generators": ["flow", {**SD, **generator}], "arms": arms})


def test_templates_are_compared_as_variants_of_one_generator() -> None:
    found = study(
        variants={
            "plain": "a {label}",
            "rich": ["a {label}, sharp", "{label}"],
            "free": {"size": 64},
        }
    )
    assert [one.title for one in found.generators] == ["flow", "sd-plain", "sd-rich", "sd-free"]
    shared = {"model": "./weights", "guidance_scale": 3}
    assert [one.settings() for one in found.generators[1:]] == [
        {**shared, "prompt": "a {label}"},
        {**shared, "prompt": ["a {label}, sharp", "{label}"]},
        {**shared, "size": 64},
    ]
    again = Study.model_validate(found.model_dump(mode="json"))
    assert again.generators == found.generators


def test_without_a_name_the_kind_stands_before_the_variants() -> None:
    given = {**{k: v for k, v in SD.items() if k != "name"}, "variants": {"a": "{label}"}}
    (found,) = Study.model_validate({"generators": [given]}).generators
    assert found.title == "text_to_image-a"


@pytest.mark.parametrize(
    ("variants", "says"),
    [
        ([], "mapping of names"),
        ({}, "mapping of names"),
        ({"a b": "{label}"}, "'a b' as the name of a variant"),
        ({"a": {"kind": "flow"}}, "variant 'a' sets 'kind'"),
        ({"a": {"name": "x"}}, "variant 'a' sets 'name'"),
    ],
)
def test_variants_that_cannot_be_meant_are_refused(variants: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        study(variants=variants)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="'sd-a' is given twice"):
        Study.model_validate(
            {"generators": [{**SD, "variants": {"a": "{label}"}}, {**SD, "name": "sd-a"}]}
        )
