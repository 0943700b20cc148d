"""What is served names no place of this machine that is nobody's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from markupsafe import escape

from synthlift.web import Settings
from synthlift.web.places import Places

UPLOAD = "0123456789abcdef"


@pytest.mark.parametrize("write", [str, lambda text: str(escape(text)), json.dumps])
def test_of_an_upload_is_told_where_a_file_lies_in_it(tmp_path: Path, write: object) -> None:
    home = tmp_path / 'Zoë & "co"\'s'
    places = Places(Settings(home=home))
    said = write(f"'{home}/uploads/{UPLOAD}/mine/a/b.png' is no image")  # type: ignore[operator]
    assert places.hidden(said) == write("'mine/a/b.png' is no image")  # type: ignore[operator]
    other = f"synthlift run {tmp_path}/uploads/{UPLOAD}/x --out {home}/runs/x-1"
    assert places.hidden(other) == other, "who runs it here wants to copy commands"


def test_whoever_needs_a_token_learns_no_place_of_the_server(tmp_path: Path) -> None:
    home, runs, data = (tmp_path / name for name in ("home", "runs", "pictures"))
    settings = Settings(
        home=home, store=home / "store", runs=(runs,), data=(data,), host="0.0.0.0", token="t"
    )
    said = f"run {data}/trees --out {home}/runs/x --store {home}/store/ a{home}/b {runs}/one/r.html"
    assert Places(settings).hidden(said) == (
        f"run …/pictures/trees --out …/runs/x --store …/ a{home}/b …/runs/one/r.html"
    )
    top = Settings(home=home, data=(Path("/pictures"),), host="0.0.0.0", token="t")
    assert Places(top).hidden("<a href='/x'> /pictures/trees") == "<a href='/x'> /pictures/trees"
