"""Names that a study gives: told apart from the study's own, and plain where they become files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthlift.errors import InputError
from synthlift.spec.loading import load_study

ROOT = Path(__file__).parents[3]


def external(*names: str) -> dict[str, Any]:
    return {"data": {"external": [{"name": name, "source": "./there"} for name in names]}}


@pytest.mark.parametrize("name", ["test", "Validation", " SYNTHETIC ", "  "])
def test_an_external_set_is_not_called_like_one_of_the_study(name: str) -> None:
    with pytest.raises(InputError, match=r"data\.external\[0\]\.name"):
        load_study(external(name))


def test_external_sets_have_names_of_their_own() -> None:
    with pytest.raises(InputError, match="given twice"):
        load_study(external("hospital B", "Hospital  b"))
    study = load_study(external("hospital B", "tests of 2024"))
    assert [one.name for one in study.data.external] == ["hospital B", "tests of 2024"]


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "/abs/x", "a/b", "a\\b", ".", "..", ".hidden", " a", "a ", "a.", "a:b", "a@2"),
        *("a\nb", "x" * 61),
    ],
)
@pytest.mark.parametrize("part", ["generators", "curation"])
def test_a_component_is_called_what_a_folder_can_be(part: str, name: str) -> None:
    kind = {"generators": "flow", "curation": "near_copies"}[part]
    with pytest.raises(InputError, match=rf"{part}\[0\]\.name"):
        load_study({part: [{"kind": kind, "name": name}]})


@pytest.mark.parametrize("name", ["a", "sd-1.5 (rich)", "Füße_2", "生成", "x" * 60])
def test_plain_names_of_components_are_taken(name: str) -> None:
    study = load_study({"generators": [{"kind": "flow", "name": name}]})
    assert study.generators[0].title == name


@pytest.mark.parametrize("name", ["kept", "Kept", "same_picture"])
def test_a_filter_is_not_called_like_what_is_counted_beside_filters(name: str) -> None:
    with pytest.raises(InputError, match=r"curation\[0\]\.name"):
        load_study({"curation": [{"kind": "near_copies", "name": name}]})
    assert load_study({"generators": [{"kind": "flow", "name": name}]}).generators


def test_the_recipes_and_the_shipped_studies_are_still_read() -> None:
    files = [*ROOT.glob("recipes/*.yaml"), *ROOT.glob("src/synthlift/web/studies/*.yaml")]
    assert len(files) > 10
    for file in files:
        assert load_study(file).arms
