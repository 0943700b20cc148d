"""With many classes, what is held of all of them together stays within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthlift.store import Store
from synthlift.study.evidence import SHOWN_IN_ALL, SHOWN_PER_CLASS, shown_of_each
from synthlift.study.stages import generation

SHAPE, SIZE = [4, 4, 1], 64


@pytest.fixture
def chunks(tmp_path: Path) -> tuple[Store, list[str]]:
    """First chunks of three classes, of which a pool had no image of the last."""
    store = Store(tmp_path)
    keys = [f"sample-{label}" for label in range(3)]
    for label, (key, count) in enumerate(zip(keys, (SIZE, SIZE, 0), strict=True)):
        store.folder(key).mkdir()
        config = {"label": label, "size": SIZE, "image_shape": SHAPE}
        record = {"key": key, "config": config, "summary": {"hashes": ["x"] * count}}
        (store.folder(key) / "record.json").write_text(json.dumps(record))
    return store, keys


def test_filters_calibrate_on_whole_first_chunks(chunks: tuple[Store, list[str]]) -> None:
    found = generation.calibrating_images(*chunks)
    assert [(entry["label"], entry["rows"]) for entry in found] == [
        (0, list(range(SIZE))),
        (1, list(range(SIZE))),
    ]


def test_filters_calibrate_on_fewer_of_each_class_where_all_would_take_much_memory(
    chunks: tuple[Store, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "IN_MEMORY_BYTES", 3 * 10 * 16)
    found = generation.calibrating_images(*chunks)
    assert [entry["rows"] for entry in found] == [list(range(10))] * 2
    monkeypatch.setattr(generation, "IN_MEMORY_BYTES", 0)
    assert [entry["rows"] for entry in generation.calibrating_images(*chunks)] == [[0], [0]]


@pytest.mark.parametrize(("classes", "each"), [(2, 6), (200, 6), (300, 4), (5000, 1)])
def test_many_classes_show_fewer_pictures_of_each(classes: int, each: int) -> None:
    assert shown_of_each(SHOWN_PER_CLASS, of=classes, in_all=SHOWN_IN_ALL) == each
