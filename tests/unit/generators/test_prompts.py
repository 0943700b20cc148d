"""Prompts from templates."""

from __future__ import annotations

import pytest

from synthlift.errors import InputError
from synthlift.generators.prompts import placeholders, prompt_for, require_known


@pytest.mark.parametrize(
    ("template", "attributes", "says"),
    [
        ("a photo of {label}", {}, "a photo of melanoma"),
        ("{label}, {sex}, {site}", {"sex": "female", "site": "back"}, "melanoma, female, back"),
        ("{label}, {sex}, {site}", {"sex": "", "site": "back"}, "melanoma, back"),
        ("{label}, {sex}, {site}", {"sex": "", "site": ""}, "melanoma"),
        ("{sex} skin,  {label}", {"sex": ""}, "skin, melanoma"),
        ("{{set}} of {label}", {}, "{set} of melanoma"),
    ],
)
def test_missing_values_leave_no_gap(template: str, attributes: dict[str, str], says: str) -> None:
    assert prompt_for(template, label="melanoma", attributes=attributes) == says


def test_placeholders_are_listed_once() -> None:
    assert placeholders("{label} {sex} {label} {body site}") == ("label", "sex", "body site")


@pytest.mark.parametrize("template", ["{label", "{0}", "{label.x}", "{}"])
def test_what_is_no_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InputError):
        placeholders(template)


@pytest.mark.parametrize("template", ["{label:d}", "{label!r}", "{label!x}", "{label:{sex}}"])
def test_a_format_behind_a_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="with no format behind it") as caught:
        placeholders(template)
    assert f"the placeholder '{template}'" in caught.value.given


def test_a_placeholder_without_a_column_is_named() -> None:
    with pytest.raises(InputError, match=r"sxe.*sex"):
        require_known("{label} {sxe}", ["sex", "site"])
