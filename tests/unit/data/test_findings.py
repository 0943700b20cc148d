"""What is found wrong with drawn folders whose faults are known, and what is advised."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from synthlift import api
from synthlift.data.contract import Where
from synthlift.data.findings import duplicates, looking
from synthlift.data.findings.advice import advise
from synthlift.data.findings.tables import attribute_tables, design_table
from synthlift.data.findings.words import HONESTY, fault_counts, render_findings, warnings
from synthlift.data.inspection import inspect_inventory
from synthlift.data.inventory import Asked, Row, take_inventory
from synthlift.data.parting import Parting
from synthlift.data.sources import open_source
from synthlift.spec.data import Data, Split
from synthlift.spec.loading import load_study


def draw(path: Path, seed: int) -> Image.Image:
    """A smooth coloured pattern, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    image = coarse.resize((40, 40), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts train and test, two classes; a leak, a copy, a torn label, a blank, a broken file."""
    root = tmp_path_factory.mktemp("faulty") / "pets"
    for number in range(40):
        part = "test" if number % 4 == 0 else "train"
        draw(root / part / ("cat" if number % 2 else "dog") / f"{number:02}.png", number)
    draw(root / "train" / "dog" / "00-leak.png", 0)  # test/dog/00.png
    draw(root / "train" / "cat" / "01-copy.png", 1)
    draw(root / "train" / "dog" / "03-torn.png", 3)  # train/cat/03.png
    Image.new("RGB", (40, 40), (9, 9, 9)).save(root / "train" / "cat" / "blank.png")
    (root / "train" / "cat" / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def found(faulty: Path) -> dict[str, Any]:
    return api.inspect(faulty, said=["pets"])


def test_planted_faults_are_found(found: dict[str, Any]) -> None:
    faults = found["findings"]
    copies = faults["duplicates"]
    assert (copies["exact"], copies["different_labels"]) == (3, 1)
    assert copies["leaks"] == [
        {"ids": ["test/dog/00.png", "train/dog/00-leak.png"], "parts": ["train", "test"]}
    ]
    assert copies["leaking_test_images"] == 1
    torn, leak, *_ = copies["pairs"]
    assert torn["ids"] == ["train/cat/03.png", "train/dog/03-torn.png"]
    assert (torn["different_labels"], torn["labels"]) == (True, ["cat", "dog"])
    assert (leak["across_parts"], leak["parts"]) == (True, ["test", "train"])
    assert [one["id"] for one in faults["unreadable"]] == ["train/cat/broken.png"]
    assert {(one["id"], one["kind"]) for one in faults["oddities"]} == {
        ("train/cat/blank.png", "blank")
    }
    assert json.loads(json.dumps(found)) == found


def test_the_worst_comes_first_and_is_said_in_words(found: dict[str, Any]) -> None:
    faults = found["findings"]
    assert "1 test image also lies in another given part" in faults["warnings"][0]
    assert any("1 pair showing one picture under two labels" in w for w in faults["warnings"])
    text = render_findings(faults)
    assert " 1  files that cannot be used" in text
    assert " 3  pairs of exact copies" in text
    assert text.index(faults["warnings"][0]) < text.index("further warning") < text.index("advice")
    assert "synthlift run pets --budget 30m" in text
    assert HONESTY in text


def test_inspection_depends_on_no_order_of_files(faulty: Path, found: dict[str, Any]) -> None:
    source = open_source(Where(str(faulty), "/"), strict=False)
    rows = take_inventory(source, Asked(10_000), progress=lambda *_: None).rows
    first = looking.look(
        source, rows, max_pixels=10_000, white=65535, progress=lambda *_: None, most=20
    )
    again = looking.look(
        source, rows, max_pixels=10_000, white=65535, progress=lambda *_: None, most=20
    )
    assert len(first.places) == 20
    assert first.places == again.places
    np.testing.assert_array_equal(first.colour, again.colour)
    assert api.inspect(faulty, said=["pets"]) == found


def write_digits(root: Path, count: int, *, swap_every: int = 0, border: int = 0) -> set[str]:
    """Digits 0 to 2 at 32 px, some under a wrong label, with a frame that tells the label."""
    digits, swapped = load_digits(n_class=3), set()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if number == count:
            break
        wrong = swap_every and number % swap_every == 7
        name = (int(label) + bool(wrong)) % 3
        pixels = np.kron((image * 15.9).astype(np.uint8), np.ones((4, 4), np.uint8))
        if border:
            pixels = np.pad(pixels, 2, constant_values=border * name)
        path = root / str(name) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        if wrong:
            swapped.add(f"{name}/{number:03}.png")
    return swapped


def test_swapped_labels_are_suspected(tmp_path: Path) -> None:
    swapped = write_digits(tmp_path / "digits", 200, swap_every=25)
    faults = api.inspect(tmp_path / "digits")["findings"]
    suspects = {one["id"] for one in faults["label_errors"]}
    assert len(suspects & swapped) >= 0.5 * len(swapped)
    assert len(suspects - swapped) <= 0.05 * 200
    assert all(one["p_suggested"] > one["p_given"] for one in faults["label_errors"])
    assert not any("border colour alone" in words for words in faults["warnings"])


def test_a_border_that_tells_the_class_is_a_shortcut(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits", 60, border=40)
    faults = api.inspect(tmp_path / "digits")["findings"]
    border = next(one for one in faults["shortcuts"] if one["name"] == "border_colour")
    assert border["balanced_accuracy"] > 0.9
    assert any("the border colour alone" in words for words in faults["warnings"])
    assert any("data.fit=crop" in one["command"] for one in faults["advice"])


def test_cells_without_an_image_are_named() -> None:
    rows = [
        Row(f"{i}", label, f"{i}", f"{i}", attributes={"sex": sex, "age": f"{i}"})
        for i, (label, sex) in enumerate([("a", "f"), ("a", "m"), ("b", "f"), ("b", "")] * 12)
    ]
    age, sex = attribute_tables(rows, classes=["a", "b", "c"])
    assert age == {"name": "age", "too_many": 48}
    assert sex["values"] == ["f", "m", ""]
    assert sex["counts"] == [[12, 12, 0], [12, 0, 12], [0, 0, 0]]
    assert sex["empty"] == [["a", ""], ["b", "m"], ["c", "f"], ["c", "m"], ["c", ""]]


def test_each_design_says_what_it_would_find() -> None:
    rows = [Row(f"{i:04}", "ab"[i % 2], f"g{i}", f"{i}") for i in range(400)]
    summary = {
        "read": 400,
        "usable": 400,
        "excluded": {},
        "excluded_examples": {},
        "ignored": {},
        "notes": [],
        "classes": {"a": 200, "b": 200},
        "size_quartiles": {},
        "grey_images": 0,
    }

    def table(data: Data) -> dict[str, dict[str, Any]]:
        facts = inspect_inventory(rows, summary=summary, data=data)
        return {one["letter"]: one for one in design_table(rows, data=data, facts=facts)}

    found = table(Data(image_size=8))
    assert [(letter, one["chosen"]) for letter, one in found.items()] == [
        ("A", False),
        ("B", False),
        ("C", True),
    ]
    effect = {letter: one["minimal_detectable_effect"] for letter, one in found.items()}
    # A and B test on the same 80 images; how far their models differ comes on top.
    assert effect["A"] == effect["B"] > effect["C"] > 0
    tested = {one["classes"][0]["test_groups"] for one in (found["A"], found["B"])}
    assert (tested, found["C"]["classes"][0]["test_groups"]) == ({40}, 200)
    drawn = table(Data(image_size=8, split=Split(per_class=20)))
    assert [(letter, one["chosen"]) for letter, one in drawn.items()] == [("B", True)]
    assert drawn["B"]["minimal_detectable_effect"] == pytest.approx(effect["B"])


def test_copies_within_a_part_are_no_leak() -> None:
    rows = [
        Row("a", "x", "a", "a", sha256="1", part="train"),
        Row("b", "x", "b", "b", sha256="1", part="train"),
        Row("c", "x", "c", "c", sha256="1", part="test"),
        Row("d", "x", "d", "d", sha256="2"),
    ]
    found = duplicates(rows, [])
    assert [pair["ids"] for pair in found["pairs"]] == [["a", "c"], ["a", "b"]]
    assert [pair["across_parts"] for pair in found["pairs"]] == [True, False]
    assert found["leaks"] == [{"ids": ["a", "b", "c"], "parts": ["train", "test"]}]


def test_a_leak_is_one_of_the_parts_that_a_study_would_use(tmp_path: Path) -> None:
    rows = [
        Row("a", "x", "a", "a", sha256="1", part="train", attributes={"site": "north"}),
        Row("b", "x", "b", "b", sha256="1", part="test", attributes={"site": ""}),
        Row("c", "x", "c", "c", sha256="1", part="train", attributes={"site": "south"}),
        Row("d", "x", "d", "d", sha256="2", part="test", attributes={"site": "north"}),
    ]

    def leaking(parting: Parting) -> tuple[int, int]:
        found = duplicates(rows, [], parting=parting)
        return len(found["leaks"]), found["leaking_test_images"]

    assert leaking(Parting()) == (1, 1)
    assert leaking(Parting(given=False)) == (0, 0)
    assert leaking(Parting(given=False, test_where={"site": ("missing", "south")})) == (1, 2)
    assert leaking(Parting(given=False, leave_one_out="site")) == (1, 3)
    file = tmp_path / "split.csv"
    file.write_text("id,part,draw\na,train,0\nb,train,0\nc,test,0\na,pool,1\nb,pool,1\nc,test,1")
    assert leaking(Parting(file=file)) == (1, 1)
    (first, second) = duplicates(rows, [], parting=Parting(file=file))["pairs"]
    assert (first["ids"], first["across_parts"], first["parts"]) == (
        ["a", "c"],
        True,
        ["train", "test"],
    )
    assert (second["ids"], second["across_parts"]) == (["a", "b"], False)


def facts(**changed: object) -> dict[str, Any]:
    return {
        "problem": None,
        "imbalance_ratio": 12.0,
        "classes": [{"name": "a", "too_small_to_evaluate": True}],
        "minimal_detectable_effect": {"value": 0.05},
        **changed,
    }


def findings(**changed: object) -> dict[str, Any]:
    none: Mapping[str, Any] = {
        "duplicates": {"exact": 0, "near": 0, "different_labels": 0, "leaks": []},
        "label_errors": [],
        "wrong_labels": {"share": 0.0, "found": 0.0, "words": "no label is wrong"},
        "learnt_from": 100,
        "shortcuts": [],
        "designs": [],
        "attributes": [],
        "spread": {"sharpness": {}},
        "unreadable": [],
        "suspected_groups": None,
    }
    return {**none, **changed}


def test_every_advised_study_can_be_asked_for() -> None:
    designs = [
        {"kind": "fixed", "minimal_detectable_effect": 0.06, "chosen": True},
        {"kind": "cross_validated", "minimal_detectable_effect": 0.02, "chosen": False},
    ]
    groups = {"option": "data.group=stem", "warning": "names repeat"}
    border = {
        "name": "border_colour",
        "words": "…",
        "p_value": 0.01,
        "balanced_accuracy": 0.9,
        "chance": 0.5,
    }
    found = findings(
        designs=designs,
        suspected_groups=groups,
        shortcuts=[border],
        attributes=[
            {"name": "age", "too_many": 90},
            {"name": "weight", "values": ["", *(f"{n}.5" for n in range(10))]},
            {"name": "site", "values": ["arm", "leg"]},
            {"name": "sex", "values": ["f", "m", "unknown"], "counts": [[9, 31, 1], [5, 5, 0]]},
        ],
    )
    advice = advise(facts(), found, data=Data(), said=["my data"])
    changed = []
    for one in advice:
        words = shlex.split(one["command"])
        assert words[:3:2] == ["synthlift", "my data"]
        sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        load_study({"name": "s", "data": {"source": "my data"}}, sets)
        changed += sets
    for option in ("data.group=stem", "data.split.design=cross_validated", "data.fit=crop"):
        assert option in changed
    assert {"data.bins.age=4", "data.bins.weight=4"} <= set(changed)
    assert any('"targeted"' in option for option in changed)
    cells = [option for option in changed if '"cells": ["label", "sex"]' in option]
    (arms,) = [load_study({"name": "s"}, [option]).arms for option in cells]
    assert arms[2].target is not None
    assert arms[2].target.attributes == ("sex",)
    assert any("one value has 31 images and another 9" in one["text"] for one in advice)


def test_subgroups_are_proposed_where_nothing_is_known_of_the_images() -> None:
    found = findings(spread={"sharpness": {"a": [0, 1, 3, 9, 10]}})
    commands = [one["command"] for one in advise(facts(), found, data=Data(), said=["x"])]
    assert any("data.derived=" in command for command in commands)
    even = findings(spread={"sharpness": {"a": [0, 8, 9, 10, 90]}})
    commands = [one["command"] for one in advise(facts(), even, data=Data(), said=["x"])]
    assert not any("data.derived=" in command for command in commands)


def test_pictures_in_training_and_validation_are_not_called_test_images() -> None:
    copies = {"exact": 2, "near": 0, "different_labels": 0, "leaks": [{}, {}]}
    found = findings(duplicates={**copies, "leaking_test_images": 0})
    assert warnings(facts(), found)[0].startswith("2 pictures trained on and validated on: choices")
    found = findings(duplicates={**copies, "leaking_test_images": 3})
    assert warnings(facts(), found)[0].startswith("3 test images also lie in another given part")


def test_data_that_cannot_be_studied_are_not_sent_into_a_study() -> None:
    broken = facts(
        problem="no usable image in cat", remedy="bring some", minimal_detectable_effect=None
    )
    (advice,) = advise(broken, findings(), data=Data(), said=["x"])
    assert (advice["command"], advice["text"]) == ("", "Bring some.")
    assert warnings(broken, findings())[0] == "cannot be studied as it is: no usable image in cat"


def test_masks_that_a_study_refuses_come_before_advice_to_study() -> None:
    masks = {"images": 3, "without": 0, "unreadable": ["c"], "another_size": ["a (1 × 2)", "b"]}
    found = findings(masks=masks, oddities=[], outliers=[])
    assert warnings(facts(), found)[0].startswith("2 masks of another size than their image")
    assert ("masks that cannot be read", 1) in fault_counts(found)
    (advice,) = advise(facts(), found, data=Data(), said=["x"])
    assert advice["text"] == "Export the masks at the size of the images."
