"""Collections that are drawn: digits and shapes with traits."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from synthlift.data.contract import Source, Where
from synthlift.data.sources import open_source
from synthlift.drawings import BACKGROUNDS, COLOURS, DIGITS, HELD_OUT, WORDS


def opened(name: str) -> Source:
    return open_source(Where(name, str(Path.cwd()), attributes=("colour", "background")))


def test_drawings_have_classes_and_attributes() -> None:
    source = opened("embedded:drawings")
    assert {item.label for item in source.items} == set(WORDS)
    assert sum(item.label in DIGITS for item in source.items) == HELD_OUT
    assert {item.attributes["colour"] for item in source.items} == set(COLOURS)
    assert {*source.items[0].attributes} == {"colour", "slant", "thickness", "background"}


def test_a_drawing_shows_its_colours_and_is_the_same_each_time() -> None:
    source = opened("embedded:drawings")
    for item in source.items[::40]:
        pixels = source.load(item.path, max_pixels=10**6).pixels
        assert np.array_equal(
            pixels, opened("embedded:drawings").load(item.path, max_pixels=10**6).pixels
        )
        assert pixels.shape == (32, 32, 3)
        ground = BACKGROUNDS[item.attributes["background"]]
        corner = np.median(pixels[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int), axis=0)
        assert np.abs(corner - ground).max() <= 10
        strongest = np.abs(pixels.astype(int) - ground).sum(axis=2).argmax()
        away = np.abs(np.array([*COLOURS.values()]) - pixels.reshape(-1, 3)[strongest]).sum(axis=1)
        assert [*COLOURS][int(away.argmin())] == item.attributes["colour"], item


@pytest.mark.parametrize("name", ["coloured-digits", "coloured-digits-other-half"])
def test_coloured_digits_miss_cells_in_training_only(name: str) -> None:
    source = opened(f"embedded:{name}")
    seen: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for item in source.items:
        seen[item.part][item.label, item.attributes["colour"]] += 1
    assert len(seen["test"]) == len(DIGITS) * len(COLOURS)
    assert len(seen["train"]) == len(DIGITS) * 3
    writers = defaultdict(set)
    for item in source.items:
        writers[item.group].add(item.part)
    assert {len(parts) for parts in writers.values()} == {1}


def test_halves_of_the_coloured_digits_share_no_tested_handwriting() -> None:
    one, other = (opened(f"embedded:coloured-digits{end}") for end in ("", "-other-half"))
    tested = [{item.group for item in s.items if item.part == "test"} for s in (one, other)]
    trained = {item.group for item in one.items if item.part == "train"}
    assert not tested[0] & tested[1]
    assert tested[1] == trained
