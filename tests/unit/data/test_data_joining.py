from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthlift.data.columns import facts_of, roles_of
from synthlift.data.contract import Source, Where
from synthlift.data.joining import Match, find_match
from synthlift.data.sources import open_source
from synthlift.data.tables import Table
from synthlift.errors import InputError

IDS = ["cat/0.png", "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png", "dog/5.PNG"]


def draw(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5), value, np.uint8)).save(path)


def pets(tmp_path: Path, ids: Iterable[str] = IDS) -> None:
    for k, name in enumerate(ids):
        draw(tmp_path / "pets" / name, k)


def opened(base: Path, content: str, **where: Any) -> Source:
    (base / "t.csv").write_text(content)
    return open_source(Where("pets", str(base), metadata="t.csv", **where))


def refusal(base: Path, content: str, **where: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(base, content, **where)
    return str(caught.value)


def table_of(texts: list[str], column: str = "file") -> Table:
    who = [f"p{k}" for k in range(len(texts))]
    return Table("t.csv", Path("/"), {column: texts, "who": who}, range(2, len(texts) + 2), "")


def match_of(ids: list[str], table: Table, group: str | None = "who") -> Match:
    roles = roles_of(table, Where("pets", "/", metadata="t.csv", group=group))
    return find_match(ids, table, roles, facts_of(table, roles))


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (IDS, "path"),
        ([f"./{name}" for name in IDS], "path"),
        ([name.replace("/", "\\").replace(".png", ".PNG") for name in IDS], "path"),
        ([f"/data/all/{name}" for name in IDS], "last 2 parts of the path"),
        ([f"../x/{name[4:]}" for name in IDS], "file name"),
        ([name[:-4] for name in IDS], "path without its ending"),
        (
            [name.replace(".png", ".jpg").replace("PNG", "jpg") for name in IDS],
            "path without its ending",
        ),
        ([name[4] for name in IDS], "stem"),
    ],
)
def test_keys(texts: list[str], key: str) -> None:
    found = match_of(IDS, table_of(texts))
    assert (found.column, found.key) == ("file", key)
    assert found.row_of == {name: k for k, name in enumerate(IDS)}
    assert (found.alone, found.unused, found.ambiguous) == ([], [], [])


def test_names_with_dots_are_no_endings() -> None:
    ids = ["a/1.2.840.1.png", "a/1.2.840.2.png"]
    assert match_of(ids, table_of(["1.2.840.1", "1.2.840.2"])).key == "stem"


def test_what_could_mean_several_images_is_not_used() -> None:
    ids = ["cat/0.png", "dog/0.png", "dog/1.png", "dog/2.png", "dog/3.png"]
    found = match_of(ids, table_of(["0.png", "1.png", "2.png", "2.png", "9.png", ""]))
    assert found.row_of == {"dog/1.png": 1}
    assert found.alone == ["cat/0.png", "dog/0.png", "dog/2.png", "dog/3.png"]
    assert found.ambiguous == ["0.png", "2.png", "2.png"]
    assert found.unused == ["", "9.png"]
    # Rows that say the same of the same image do not contradict each other.
    same = match_of(ids, table_of(["2.png", "2.png"]), group=None)
    assert same.row_of == {"dog/2.png": 0}


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(8)), ways=st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_the_order_of_rows_does_not_matter(order: list[int], ways: list[int]) -> None:
    ids = [f"{'ab'[k % 2]}/{k // 2}.png" for k in range(8)]
    forms = [lambda t: t, lambda t: t[2:], lambda t: t[:-4], lambda t: "x/" + t]
    texts = [forms[way](name) for way, name in zip(ways, ids, strict=True)]
    who = [f"p{k}" for k in range(8)]
    found = []
    for some in (range(8), order):
        columns = {"file": [texts[k] for k in some], "who": [who[k] for k in some]}
        table = Table("t.csv", Path("/"), columns, range(8), "")
        match = match_of(ids, table)
        whose = {name: columns["who"][row] for name, row in match.row_of.items()}
        found.append((match.key, whose, match.alone, match.unused, match.ambiguous))
    assert found[0] == found[1]


def test_a_folder_joined_with_a_table(tmp_path: Path) -> None:
    pets(tmp_path)
    content = (
        "image;patient;age;sex;split\n"
        "0.png;p1;61,5;f;train\n1.png;p1;60,0;f;train\n3.png;;3,5;m;test\n4.png;p2;61,5;m;test\n"
        "8.png;p9;1,0;f;train\n"
    )
    found = opened(tmp_path, content, group="patient", attributes=("age", "sex"))
    assert [item.label for item in found.items] == ["cat"] * 3 + ["dog"] * 3
    groups = ["p1", "p1", "cat/2.png", "dog/3.png", "p2", "dog/5.PNG"]
    assert [item.group for item in found.items] == groups
    ages = [item.attributes.get("age", "") for item in found.items]
    assert ages == ["61.5", "60.0", "", "3.5", "61.5", ""]
    assert [item.part for item in found.items] == ["train", "train", "", "test", "test", ""]
    assert found.load("dog/4.png", max_pixels=99).pixels[0, 0, 0] == 4
    alone = "each is taken for a group of its own"
    assert list(found.notes) == [
        "'t.csv' read as semicolon-separated, encoding UTF-8, decimal comma in 'age'",
        "split from column 'split' of 't.csv'",
        "'t.csv' joined by the file name in column 'image': 4 of 6 images",
        f"2 images without a row in 't.csv'; {alone}: 'cat/2.png', 'dog/5.PNG'",
        f"1 image without a value in 'patient'; {alone}: 'dog/3.png'",
        "1 row of 't.csv' without an image: '8.png'",
    ]


def test_given_parts_of_a_folder_stay(tmp_path: Path) -> None:
    pets(tmp_path, [f"{part}/{name}" for part in ("train", "test") for name in IDS])
    rows = "".join(f"{part}/{name},p{name[4]}\n" for part in ("train", "test") for name in IDS)
    found = opened(tmp_path, "path,patient\n" + rows, group="patient")
    assert {item.label for item in found.items} == {"cat", "dog"}
    assert [item.part for item in found.items] == ["test"] * 6 + ["train"] * 6


def test_classes_from_the_table(tmp_path: Path) -> None:
    names = [f"{k}.png" for k in range(6)]
    pets(tmp_path, names)
    rows = [f"{name},{'xy'[k % 2]}\n" for k, name in enumerate(names)]
    found = opened(tmp_path, "file,dx\n" + "".join(rows))
    assert [item.label for item in found.items] == ["x", "y"] * 3
    assert "classes from column 'dx' of 't.csv'" in found.notes
    text = refusal(tmp_path, "file,dx\n" + "".join(rows[1:5]) + "5.png,\n", label="dx")
    assert text.startswith(
        "2 images of 'pets' without a row in 't.csv', or without a class in its column 'dx': "
        "'0.png', '5.png'\n"
    )
    assert "data.unlabelled" in text
    text = refusal(tmp_path, "file,dx\n" + "".join(rows), label="dxx")
    assert text.startswith("'t.csv' has no column 'dxx' – did you mean 'dx'?")
    text = refusal(tmp_path, "file,age\n0.png,3\n")
    assert text.startswith("no class is known for 6 images of 'pets': '0.png'")


def test_folders_and_table_may_not_contradict_each_other(tmp_path: Path) -> None:
    pets(tmp_path)
    rows = [f"{name},{name[:3]}\n" for name in IDS]
    assert len(opened(tmp_path, "path,label\n" + "".join(rows[:4])).items) == 6
    content = "path,label\n" + "".join(rows[:-2]) + "dog/4.png,cat\ndog/5.PNG,cat\n"
    assert refusal(tmp_path, content).startswith(
        "the folders of 'pets' and column 'label' of 't.csv' both give classes, and they differ "
        "for 2 images: 'dog/4.png', 'dog/5.PNG'\n"
    )
    text = refusal(tmp_path, content, label="label")
    assert text.startswith("too few usable images: 'dog' has 1")
    assert len(open_source(_where(tmp_path, label="label"), strict=False).items) == 6


def _where(base: Path, **where: Any) -> Where:
    return Where("pets", str(base), metadata="t.csv", **where)


def test_numbers_find_no_image_by_chance(tmp_path: Path) -> None:
    pets(tmp_path)
    rows = "".join(f"scan{k},{k}\n" for k in range(6))
    text = refusal(tmp_path, "file,age\n" + rows)
    assert text.startswith("no image has a row of its own in 't.csv'")
    found = opened(tmp_path, "scan,id\n" + rows)
    assert "'t.csv' joined by the stem in column 'id': 6 of 6 images" in found.notes


def test_nothing_matches(tmp_path: Path) -> None:
    pets(tmp_path)
    text = refusal(tmp_path, "file,patient\nx.png,1\ny.png,2\n", group="patient")
    assert text.startswith(
        "no image has a row of its own in 't.csv': images are called 'cat/0.png', 'cat/1.png', "
        "'cat/2.png', 'dog/3.png', 'dog/4.png'; column 'file' holds 'x.png', 'y.png'\n"
    )
    (tmp_path / "t.csv").unlink()
    with pytest.raises(InputError, match=r"there is no table 't\.csv'"):
        open_source(_where(tmp_path))


def test_columns_without_a_table_are_refused(tmp_path: Path) -> None:
    pets(tmp_path)
    for told in ({"group": "patient"}, {"label": "dx"}, {"attributes": ("sex",)}):
        with pytest.raises(InputError, match="is a folder without a table"):
            open_source(Where("pets", str(tmp_path), **told))


def test_masks_named_in_the_table(tmp_path: Path) -> None:
    pets(tmp_path)
    draw(tmp_path / "masks" / "m0.png", 255)
    content = "path,region\ncat/0.png,masks/m0.png\ncat/1.png,\n"
    found = opened(tmp_path, content, masks="region")
    assert [item.mask for item in found.items] == ["masks/m0.png"] + [""] * 5
    assert found.load_mask("masks/m0.png").min() == 255
    text = refusal(tmp_path, content.replace("m0", "m1"), masks="region")
    assert text.startswith("1 of the 2 rows of 't.csv' name a file that is not there")


def test_a_table_beside_other_sources(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,writer\n0000,w1\ndigits/0001.png,w2\n0002,w1\n")
    where = Where("sklearn:digits", str(tmp_path), metadata="t.csv", group="writer")
    found = open_source(where)
    assert [item.group for item in found.items[:4]] == ["w1", "w2", "w1", "digits/0003"]
    assert [item.label for item in found.items[:3]] == ["0", "1", "2"]


def test_two_tables(tmp_path: Path) -> None:
    pets(tmp_path)
    rows = "".join(f"{name},{name[:3]}\n" for name in IDS)
    (tmp_path / "pets" / "labels.csv").write_text("path,label\n" + rows)
    (tmp_path / "t.csv").write_text("name,patient\n" + "".join(f"{n[4]},p{n[:1]}\n" for n in IDS))
    told: dict[str, Any] = {"metadata": "t.csv", "label": "label", "group": "patient"}
    found = open_source(Where("pets/labels.csv", str(tmp_path), **told))
    assert [(i.label, i.group) for i in found.items] == [("cat", "pc")] * 3 + [("dog", "pd")] * 3
    with pytest.raises(InputError, match=r"'t\.csv' has no column 'lable'"):
        open_source(Where("pets/labels.csv", str(tmp_path), **{**told, "label": "lable"}))
    with pytest.raises(InputError, match=r"'t\.csv' has no column 'site'"):
        open_source(Where("pets/labels.csv", str(tmp_path), **told, attributes=("site",)))


def test_the_fingerprint_follows_table_and_images(tmp_path: Path) -> None:
    pets(tmp_path)
    content = "path,who\n" + "".join(f"{name},{name[:1]}{int(name[4]) // 2}\n" for name in IDS)
    seen = [opened(tmp_path, content, group="who").fingerprint]
    seen.append(opened(tmp_path, content).fingerprint)
    seen.append(opened(tmp_path, content + "x.png,9\n", group="who").fingerprint)
    os.utime(tmp_path / "pets" / IDS[0], ns=(1, 1))
    seen.append(opened(tmp_path, content, group="who").fingerprint)
    assert len(set(seen)) == len(seen)
    assert opened(tmp_path, content, group="who").fingerprint == seen[-1]
