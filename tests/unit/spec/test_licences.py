"""Terms that lie with generated images."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthlift.spec.licences import copy_licences, licences_of
from synthlift.spec.provenance import LICENCE


@pytest.mark.parametrize(
    ("place", "found"),
    [
        *((".", True), ("images", True), ("train", True), ("data", True), ("metadata.csv", True)),
        *(("images/list.csv", True), ("mine", False), ("mine/list.csv", False), ("gone", False)),
    ],
)
def test_terms_above_a_folder_are_its_own_only_where_it_holds_the_images(
    tmp_path: Path, place: str, found: bool
) -> None:
    (tmp_path / f"flux-{LICENCE}").write_text("Draw no swans.")
    for folder in ("images", "train", "data", "mine"):
        (tmp_path / folder).mkdir()
    for file in ("metadata.csv", "images/list.csv", "mine/list.csv"):
        (tmp_path / file).write_text("file_name,label\n")
    assert bool(licences_of(tmp_path / place)) == found


def test_terms_of_one_name_stay_beside_each_other(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name, terms in (("a", "no swans"), ("b", "no geese"), ("c", "no ducks"), ("d", "no geese")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"flux-{LICENCE}").write_text(terms)
        copy_licences(tmp_path / name, target)
    names = (f"flux-{LICENCE}", f"2-flux-{LICENCE}", f"3-flux-{LICENCE}")
    assert [(target / name).read_text() for name in names] == ["no swans", "no geese", "no ducks"]
    assert {*licences_of(target)} == {*names}
