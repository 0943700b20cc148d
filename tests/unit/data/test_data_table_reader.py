from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthlift.data.contract import Source, Where
from synthlift.data.sources import open_source
from synthlift.errors import InputError

NAMES = [f"{i}.png" for i in range(6)]
LABELS = ["cat", "cat", "cat", "dog", "dog", "dog"]


def draw(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5), value, np.uint8)).save(path)


def images(folder: Path, names: Iterable[str] = NAMES) -> None:
    for k, name in enumerate(names):
        draw(folder / name, k)


def write(path: Path, columns: Mapping[str, Iterable[str]]) -> None:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(row) for row in [tuple(columns), *rows]) + "\n")


def opened(base: Path, source: str = "labels.csv", **where: Any) -> Source:
    return open_source(Where(source, str(base), **where))


def refusal(base: Path, source: str = "labels.csv", **where: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(base, source, **where)
    return str(caught.value)


def test_a_table_of_paths(tmp_path: Path) -> None:
    images(tmp_path / "in", NAMES)
    paths = ["in/0.png", "./in/1.png", "in\\2.png", f"{tmp_path}/in/3.png", "in/x/../4.png"]
    paths.append("in/5.png")
    columns = {
        "File Name": paths,
        "Class": LABELS,
        "patient": ["p1", "p1", "", "p2", "p2", "p3"],
        "sex": ["f", "f", "", "m", "m", "f"],
        "split": ["train", "Train", "train", "val", "", "test"],
    }
    write(tmp_path / "labels.csv", columns)
    found = opened(tmp_path, group="patient", attributes=("sex",))
    assert [item.id for item in found.items] == [f"in/{i}.png" for i in range(6)]
    assert [item.label for item in found.items] == LABELS
    assert [item.group for item in found.items] == ["p1", "p1", "in/2.png", "p2", "p2", "p3"]
    assert [dict(item.attributes)["sex"] for item in found.items] == ["f", "f", "", "m", "m", "f"]
    parts = ["train", "train", "train", "validation", "", "test"]
    assert [item.part for item in found.items] == parts
    assert found.load("in/3.png", max_pixels=99).pixels[0, 0, 0] == 3
    assert found.file("in/3.png") == tmp_path / "in" / "3.png"
    assert list(found.notes) == [
        "'labels.csv' read as comma-separated, encoding UTF-8",
        "classes from column 'Class' of 'labels.csv'",
        "split from column 'split' of 'labels.csv'",
        "1 image without a value in 'patient': each is taken for a group of its own",
    ]


def test_the_same_from_parquet_and_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="reading .xlsx needs openpyxl")
    images(tmp_path)
    book = openpyxl.Workbook()
    for row in [("path", "label"), *zip(NAMES, [1.0, 1, 1, 2, 2, 2], strict=True)]:
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    columns = pa.table({"path": NAMES, "label": [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]})
    pq.write_table(columns, tmp_path / "labels.parquet")
    first, second = (opened(tmp_path, f"labels.{kind}").items for kind in ("xlsx", "parquet"))
    assert first == second
    assert [item.label for item in first] == ["1", "1", "1", "2", "2", "2"]


def test_images_in_one_folder_below_and_masks_in_another(tmp_path: Path) -> None:
    images(tmp_path / "images")
    images(tmp_path / "masks", NAMES[:4])
    for name in NAMES[:4]:
        draw(tmp_path / "masks" / name, 255)
    masks = [*NAMES[:4], "", ""]
    write(tmp_path / "labels.csv", {"image": NAMES, "label": LABELS, "region": masks})
    found = opened(tmp_path, masks="region")
    assert [item.id for item in found.items] == [f"images/{name}" for name in NAMES]
    assert [item.mask for item in found.items] == [f"masks/{n}" if n else "" for n in masks]
    assert found.load_mask("masks/0.png").tolist() == [[255] * 5] * 6
    assert "the images lie in 'images/', beside 'labels.csv'" in found.notes
    shutil.copytree(tmp_path / "images", tmp_path / "copies")
    assert refusal(tmp_path).startswith(
        "the files in column 'image' of 'labels.csv' are in several folders: 'copies', 'images'\n"
    )
    text = refusal(tmp_path, masks="regoin")
    assert text.startswith("masks: 'regoin' is neither a column of 'labels.csv' nor a folder")


def test_the_path_column_is_told_by_its_files(tmp_path: Path) -> None:
    images(tmp_path)
    columns = {"which": NAMES, "label": LABELS, "file": ["?"] * 6}
    write(tmp_path / "labels.csv", columns)
    assert [item.id for item in opened(tmp_path).items] == NAMES
    write(tmp_path / "labels.csv", {"which": NAMES, "other": NAMES, "label": LABELS})
    text = refusal(tmp_path)
    assert text.startswith("several columns of 'labels.csv' hold paths of files: 'which', 'other'")
    write(tmp_path / "labels.csv", {"scan": ["a", "b"], "label": ["x", "y"]})
    text = refusal(tmp_path)
    assert text.startswith("no column of 'labels.csv' holds paths of images: it has scan, label\n")
    assert "`--metadata`" in text


def test_a_link_inside_may_lead_out(tmp_path: Path) -> None:
    images(tmp_path / "far")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "in").symlink_to(tmp_path / "far")
    write(tmp_path / "here" / "t.csv", {"path": [f"in/{n}" for n in NAMES], "label": LABELS})
    assert len(opened(tmp_path, "here/t.csv").items) == 6


@pytest.mark.parametrize("path", ["../0.png", "in/../../0.png", "/etc/hostname", "C:\\x\\0.png"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    draw(tmp_path / "0.png", 1)
    images(tmp_path / "here")
    columns = {"path": [path, *NAMES[1:]], "label": LABELS}
    write(tmp_path / "here" / "labels.csv", columns)
    assert refusal(tmp_path / "here").startswith(
        f"1 path in column 'path' of 'labels.csv' leads out of its folder: '{path}'\n"
    )


def test_addresses_are_refused(tmp_path: Path) -> None:
    columns = {"path": ["https://example.org/a.png"], "label": ["x"]}
    write(tmp_path / "labels.csv", columns)
    text = refusal(tmp_path)
    assert "holds addresses of the internet: 'https://example.org/a.png'" in text


def test_missing_files_are_counted_and_named(tmp_path: Path) -> None:
    images(tmp_path)
    (tmp_path / "0.jpg").mkdir()
    gone = ["0.jpg", *(f"gone{i}.png" for i in range(6))]
    write(tmp_path / "labels.csv", {"path": NAMES + gone, "label": LABELS + ["cat"] * 7})
    assert refusal(tmp_path).startswith(
        "7 of the 13 rows of 'labels.csv' name a file that is not there: '0.jpg', 'gone0.png', "
        "'gone1.png', 'gone2.png', 'gone3.png' and 2 more\n"
    )


def test_repeated_and_empty_cells(tmp_path: Path) -> None:
    images(tmp_path)
    write(tmp_path / "labels.csv", {"path": [*NAMES, "./0.png"], "label": [*LABELS, "cat"]})
    assert refusal(tmp_path).startswith(
        "1 image with more than one row in 'labels.csv': '0.png' (rows 2, 8)\n"
        "  Rule: an image has one row\n"
    )
    write(tmp_path / "labels.csv", {"path": [*NAMES, "./0.png"], "label": [*LABELS, "dog"]})
    text = refusal(tmp_path)
    assert "; 1 of them under different classes" in text
    assert "(multi-label)" in text
    write(tmp_path / "labels.csv", {"path": [*NAMES[:5], ""], "label": LABELS})
    assert refusal(tmp_path).startswith("1 row of 'labels.csv' without a path: row 7\n")
    write(tmp_path / "labels.csv", {"path": NAMES, "label": ["cat", "", *LABELS[2:5], ""]})
    assert refusal(tmp_path).startswith(
        "2 images of 'labels.csv' without a class in column 'label': '1.png', '5.png'\n"
    )
    assert len(opened(tmp_path, labelled=False).items) == 6


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    images(tmp_path)
    columns = {"path": NAMES, "diagnosis_1": LABELS, "Patient": list("abcdef")}
    write(tmp_path / "labels.csv", columns)
    text = refusal(tmp_path, label="diagnosis")
    assert text.startswith(
        "'labels.csv' has no column 'diagnosis' – did you mean 'diagnosis_1'?\n"
        "  Rule: 'label' names a column of the table; it has: path, diagnosis_1, Patient\n"
    )
    text = refusal(tmp_path, label="diagnosis_1", group="patient")
    assert "has no column 'patient' – did you mean 'Patient'?" in text
    text = refusal(tmp_path, label="diagnosis_1", attributes=("sex",))
    assert text.startswith("'labels.csv' has no column 'sex'\n  Rule: 'attributes' names")
    assert refusal(tmp_path).startswith("no column of 'labels.csv' is known to hold the classes: ")


@pytest.mark.parametrize(
    ("columns", "where", "text"),
    [
        ({"label": ["cat|dog", "cat", "dog"] * 2}, {}, "hold several classes for one image"),
        ({"label": ["['cat']", "[]", "['a' 'b']"] * 2}, {}, "hold several classes for one image"),
        ({"xmin": "123456", "ymin": "1" * 6, "xmax": "1" * 6, "ymax": "1" * 6}, {}, "holds boxes"),
        ({"mask": NAMES}, {}, "has a mask for each image ('mask') but no class"),
        ({"mask": NAMES}, {"masks": "mask"}, "has a mask for each image ('mask') but no class"),
        ({"MEL": "100100", "NV": "011011"}, {}, "'MEL', 'NV' look like one column a class"),
    ],
)
def test_data_of_other_kinds(
    tmp_path: Path, columns: dict[str, Iterable[str]], where: dict[str, str], text: str
) -> None:
    images(tmp_path)
    write(tmp_path / "labels.csv", {"path": NAMES, **columns})
    assert text in refusal(tmp_path, **where)


def test_boxes_beside_named_classes_are_further_columns(tmp_path: Path) -> None:
    images(tmp_path)
    boxes = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "1" * 6)
    write(tmp_path / "labels.csv", {"path": NAMES, "label": LABELS, **boxes})
    assert "holds boxes" in refusal(tmp_path)
    assert len(opened(tmp_path, label="label").items) == 6


def test_a_coco_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text('{"images": [], "annotations": []}')
    assert refusal(tmp_path, "boxes.json").startswith("'boxes.json' is a COCO file")


def test_the_fingerprint_follows_table_images_and_columns(tmp_path: Path) -> None:
    images(tmp_path)
    columns = {"path": NAMES, "label": LABELS, "who": list("aabbcc"), "sex": list("ffmmfm")}
    write(tmp_path / "labels.csv", columns)
    seen = [opened(tmp_path).fingerprint]
    assert opened(tmp_path.parent, f"{tmp_path.name}/labels.csv").fingerprint == seen[0]
    seen.append(opened(tmp_path, group="who").fingerprint)
    seen.append(opened(tmp_path, group="who", attributes=("sex",)).fingerprint)
    os.utime(tmp_path / "0.png", ns=(1, 1))
    seen.append(opened(tmp_path).fingerprint)
    draw(tmp_path / "0.png", 77)
    seen.append(opened(tmp_path).fingerprint)
    write(
        tmp_path / "labels.csv",
        {**columns, "label": [*LABELS[3:], *LABELS[:3]]},
    )
    seen.append(opened(tmp_path).fingerprint)
    assert len(set(seen)) == len(seen)


def test_the_order_of_rows_changes_no_item(tmp_path: Path) -> None:
    images(tmp_path)
    write(tmp_path / "labels.csv", {"path": NAMES, "label": LABELS})
    first = opened(tmp_path).items
    write(tmp_path / "labels.csv", {"path": NAMES[::-1], "label": LABELS[::-1]})
    assert opened(tmp_path).items == first


def test_ham10000(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    shutil.unpack_archive(real_data("ham10000.tar.gz"), tmp_path)
    folder = tmp_path / "ham10000"
    told: dict[str, Any] = {"label": "label", "group": "lesion_id"}
    named: dict[str, Any] = {**told, "attributes": ("sex", "localization")}
    found = opened(folder, "metadata.csv", **named)
    assert len(found.items) == 10015
    counts = Counter(item.label for item in found.items)
    assert (counts["nv"], counts["df"]) == (6705, 115)
    assert len({item.group for item in found.items}) == 7470
    assert set(found.items[0].attributes) == {"sex", "localization"}
    binned = opened(folder, "metadata.csv", **told, attributes=("age",), bins={"age": 3})
    sizes = Counter(item.attributes["age"] for item in binned.items)
    assert sizes.pop("missing") == 57
    assert set(sizes) == {"below 45", "45 to 60", "60 or more"}
    # The same table beside the folder of images, joined by the file name.
    joined = opened(folder, "images", metadata="metadata.csv", **named)
    assert [(i.id.partition("/")[2], i.label, i.group) for i in found.items] == [
        (i.id, i.label, i.group) for i in joined.items
    ]


def test_pacs(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    shutil.unpack_archive(real_data("pacs.tar.gz"), tmp_path)
    folder = tmp_path / "pacs"
    found = opened(folder, "metadata.csv", attributes=("domain",))
    assert len(found.items) == 9991
    domains = Counter(item.attributes["domain"] for item in found.items)
    assert domains == {"photo": 1670, "art_painting": 2048, "cartoon": 2344, "sketch": 3929}
    assert len({item.label for item in found.items}) == 7
    with pytest.raises(InputError, match="both give classes"):
        opened(folder, "images", metadata="metadata.csv")
    joined = opened(folder, "images", metadata="metadata.csv", label="label")
    assert [i.label for i in joined.items] == [i.label for i in found.items]
