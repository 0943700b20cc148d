from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift.data import designs, stages
from synthlift.data.contract import Where
from synthlift.data.designs import choose_design
from synthlift.data.inventory import Asked, attribute_columns, read_rows
from synthlift.data.published import open_split, write_split
from synthlift.data.sources import open_source
from synthlift.data.splits import make_split
from synthlift.errors import InputError, StageError
from synthlift.spec.data import Split
from synthlift.store import Artefact, StageRequest, Store
from tests.unit.data.splitting import (
    Columns,
    domains,
    parts_by_draw,
    refusal,
    split,
)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "section",
    [
        {"design": "fixed"},
        {"design": "redrawn", "draws": 3},
        {"labels_per_class": 4, "draws": 2},
        {"folds": 4, "repeats": 3},
        {"leave_one_out": "domain"},
    ],
)
def test_published_split_comes_back_as_it_was(
    tmp_path: Path, section: dict[str, Any], suffix: str
) -> None:
    data = domains()
    design, table = split(data, 5, **section)
    path = tmp_path / f"split{suffix}"
    write_split(path, table)
    published = open_split(path, ids=data["ids"], unusable=[])
    followed, again = split({**data, "published": published}, 77)
    assert (followed.kind, followed.folds, followed.repeats, followed.draws) == (
        design.kind,
        design.folds,
        design.repeats,
        design.draws,
    )
    for name in ("draw", "id", "part"):
        assert np.array_equal(getattr(again, name), getattr(table, name))
    assert designs.test_groups_per_class(
        followed, {"dog": 90, "house": 90}
    ) == designs.test_groups_per_class(design, {"dog": 90, "house": 90})


def test_more_repeats_than_were_published_begin_again(tmp_path: Path) -> None:
    data = domains()
    _, table = split(data, 5, folds=3, repeats=2)
    write_split(tmp_path / "split.csv", table)
    data["published"] = open_split(tmp_path / "split.csv", ids=data["ids"], unusable=[])
    design, _ = split(data)
    spare = make_split(replace(design, repeats=4, draws=12), **data, seed=0)
    draws = parts_by_draw(spare)
    assert len(draws) == 12
    assert draws[:6] == draws[6:] == parts_by_draw(table)


def test_run_folders_table_in_other_words(tmp_path: Path) -> None:
    data = domains()
    path = tmp_path / "splits.csv"
    _, table = split(data, design="fixed")
    names = {"train": "Train", "validation": "val", "test": "TEST"}
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["draw", "id", "part", "label"])
        for name, part in zip(table.id, table.part, strict=True):
            writer.writerow([0, name, names[part], "x"])
        writer.writerow([0, "left/out.png", "Train", "x"])
    published = open_split(path, ids=data["ids"], unusable=["left/out.png"])
    assert np.array_equal(split({**data, "published": published}, 9)[1].part, table.part)


def test_first_draws_alone(tmp_path: Path) -> None:
    data = domains()
    _, table = split(data, design="redrawn", draws=4)
    write_split(tmp_path / "two.csv", table, draws=2)
    published = open_split(tmp_path / "two.csv", ids=data["ids"], unusable=[])
    assert len(published) == 2
    assert published[1] == parts_by_draw(table)[1]


def test_published_split_without_validation(tmp_path: Path) -> None:
    data = domains()
    lines = ["id,part", *(f"{n},{'test' if n[0] == 's' else 'train'}" for n in data["ids"])]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    published = open_split(tmp_path / "split.csv", ids=data["ids"], unusable=[])
    design, table = split({**data, "published": published})
    assert design.reason == (
        "fixed, since the published split names its own 80 test images; validation images are "
        "drawn from the rest"
    )
    assert Counter(table.part.tolist()) == {"test": 80, "validation": 10, "train": 90}
    redrawn, _ = split({**data, "published": published}, per_class=5)
    assert redrawn.letter == "B"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,prat\na,train\n", "'s.csv' has no column 'part' – did you mean 'prat'?"),
        ("id,part\na,train\na,test\n", "'s.csv' names the image 'a' twice"),
        ("id,part\na,training\nb,held out\n", "'s.csv' has unknown parts: 'held out' (1 row)"),
        ("id,part,draw\na,train,first\n", "'s.csv' has draws that are no whole numbers: 'first'"),
        ("id,part\na,train\n", "'s.csv' does not name 1 image of the data: 'b'"),
        (
            "id,part\na,train\nb,test\n" + "".join(f"x{i},test\n" for i in range(7)),
            (
                "'s.csv' names 7 images that the data do not have: 'x0', 'x1', 'x2', 'x3', 'x4' "
                "and 2 more"
            ),
        ),
        ("id,part\n", "the table 's.csv' has no row below its column names"),
    ],
)
def test_published_split_that_cannot_be_followed(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        open_split(tmp_path / "s.csv", ids=["a", "b"], unusable=["c"])
    assert caught.value.given.startswith(problem)


def test_no_published_split_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no table 's\.csv'"):
        open_split(tmp_path / "s.csv", ids=["a"], unusable=[])


def test_draws_that_are_no_design() -> None:
    data = domains()
    names = data["ids"]
    overlapping = [{n: "test" if i < 30 + d else "train" for i, n in enumerate(names)}
                   for d in range(2)]  # fmt: skip
    assert (
        "have different test sets that overlap" in refusal({**data, "published": overlapping}).given
    )
    without = [overlapping[0], dict.fromkeys(names, "train")]
    error = refusal({**data, "published": without})
    assert error.given == "draw 1 of the published split has no test image"
    same = [overlapping[0]] * 2
    assert (
        "contradicts data.split.design fixed"
        in refusal({**data, "published": same}, design="fixed").given
    )


def compute(store: Store, request: StageRequest) -> Artefact:
    store.compute(request)
    return store.open(request.key)


def test_folder_with_parts_and_a_published_split_through_the_stages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 6), ("test", 4)):
        for label in ("cat", "dog"):
            (tmp_path / "pets" / part / label).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / label / f"{i}.png")
    store = Store(tmp_path / "store")
    source = open_source(Where("pets", str(tmp_path)))
    read = compute(store, stages.read_request(source, Asked(40_000)))
    inventory = compute(store, stages.inventory_request(read))
    rows = read_rows(inventory.path("inventory.parquet"))
    columns: Columns = {
        "ids": [row.id for row in rows],
        "labels": [row.label for row in rows],
        "groups": [row.group for row in rows],
        "parts": [row.part for row in rows],
        "attributes": attribute_columns(rows),
    }
    design = choose_design(Split(), **columns)
    request = stages.split_request(inventory.key, design=design, seed=1)
    summary = compute(store, request).summary
    assert summary["images"][0]["test"] == {"cat": 4, "dog": 4}
    assert summary["images"][0]["validation"] == {"cat": 1, "dog": 1}

    file = tmp_path / "split.csv"
    _, table = split(columns, 4, given="ignore", design="fixed", test=0.5)
    write_split(file, table)
    columns["published"] = open_split(file, ids=columns["ids"], unusable=[])
    design = choose_design(Split(file="split.csv"), **columns)
    request = stages.split_request(inventory.key, design=design, seed=1, file=file)
    found = compute(store, request).summary
    assert found["images"][0]["test"] == {"cat": 5, "dog": 5}
    moved = tmp_path / "moved.csv"
    file.rename(moved)
    assert stages.split_request(inventory.key, design=design, seed=1, file=moved).key == request.key
    moved.write_text(moved.read_text().replace("validation", "pool"))
    changed = stages.split_request(inventory.key, design=design, seed=2, file=moved)
    with pytest.raises(StageError, match=r"'moved\.csv' changed while the study was"):
        store.compute(changed)
