from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthlift.data.contract import Source, Where
from synthlift.data.decode import UnusableImageError
from synthlift.data.sources import open_source
from synthlift.errors import InputError

LIMIT = 1_000_000
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
IMAGE = {"_type": "Image"}
SPECIES = {"names": ["cat", "dog"], "_type": "ClassLabel"}
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def pictures(rows: Sequence[int]) -> pa.Array:
    return pa.array([{"bytes": png(PIXELS[r]), "path": f"{r}.png"} for r in rows], STRUCT)


def table(
    rows: Sequence[int], features: Mapping[str, Any] | None = None, **columns: Any
) -> pa.Table:
    """A table as ``datasets`` writes it: features as JSON in the schema."""
    known = {"image": IMAGE, "label": SPECIES} if features is None else features
    filled = {"image": pictures(rows), "label": [r % 2 for r in rows]} | columns
    info = json.dumps({"info": {"features": known}})
    return pa.table(filled).replace_schema_metadata({"huggingface": info})


def write_parquet(path: Path, content: pa.Table, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path, **more)


def save_to_disk(folder: Path, *shards: pa.Table) -> None:
    """The files of ``Dataset.save_to_disk``."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(shards):05d}.arrow" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        with (
            pa.OSFile(str(folder / name), "wb") as sink,
            pa.ipc.new_stream(sink, shard.schema) as writer,
        ):
            writer.write_table(shard, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def opened(base: Path, source: str = "hf:./set", **more: Any) -> Source:
    return open_source(Where(source, str(base), **more))


def refusal(base: Path, source: str = "hf:./set", **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(base, source, **more)
    return caught.value


def one_file(tmp_path: Path, content: pa.Table) -> None:
    write_parquet(tmp_path / "set" / "x.parquet", content)


def test_parquet_folder_as_on_the_hub(tmp_path: Path) -> None:
    data = tmp_path / "set" / "data"
    write_parquet(data / "train-00000-of-00002.parquet", table(range(4)), row_group_size=3)
    write_parquet(data / "train-00001-of-00002.parquet", table(range(4, 8)), row_group_size=3)
    write_parquet(data / "validation-00000-of-00001.parquet", table([8, 9]))
    write_parquet(data / "test-00000-of-00001.parquet", table([10, 11]))
    write_parquet(data / ".cache" / "train-0.parquet", table([0]))
    source = opened(tmp_path)
    assert Counter(i.part for i in source.items) == {"train": 8, "validation": 2, "test": 2}
    assert [item.label for item in source.items] == ["cat", "dog"] * 6
    first = {"train": 0, "validation": 8, "test": 10}
    for item in reversed(source.items):
        row = first[item.part] + int(item.id.partition("/")[2])
        assert np.array_equal(source.load(item.path, max_pixels=LIMIT).pixels, PIXELS[row])


def test_parts_may_be_folders_of_parquet(tmp_path: Path) -> None:
    for name, rows in (("train", range(6)), ("test", range(6, 12))):
        write_parquet(tmp_path / "set" / "default" / name / "0000.parquet", table(rows))
    assert Counter(i.part for i in opened(tmp_path).items) == {"train": 6, "test": 6}


def test_saved_data_set(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "set", table(range(5)), table(range(5, 12)))
    source = opened(tmp_path)
    assert [item.id for item in source.items] == [f"images/{r:05d}" for r in range(12)]
    assert {item.part for item in source.items} == {""}
    for row in (11, 0, 5, 4):
        found = source.load(f"images/{row:05d}", max_pixels=LIMIT)
        assert np.array_equal(found.pixels, PIXELS[row])


def test_saved_parts(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "set" / "train", table(range(8)))
    save_to_disk(tmp_path / "set" / "test", table(range(8, 12)))
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = opened(tmp_path)
    assert Counter(item.part for item in source.items) == {"train": 8, "test": 4}
    assert np.array_equal(source.load("test/00001", max_pixels=LIMIT).pixels, PIXELS[9])


def test_a_parquet_file_of_pictures_needs_no_scheme(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set.parquet", table(range(12), split=["train"] * 12))
    found = opened(tmp_path, "set.parquet")
    assert Counter(item.label for item in found.items) == {"cat": 6, "dog": 6}
    again = open_source(Where.from_json(found.where.as_json()))
    for item, k in zip(again.items, range(12), strict=True):
        assert np.array_equal(again.load(item.path, max_pixels=LIMIT).pixels, PIXELS[k])


def test_bytes_beside_a_path_are_no_pictures(tmp_path: Path) -> None:
    for k, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    columns = {"path": [f"{k}.png" for k in range(12)], "label": ["a", "b"] * 6}
    write_parquet(tmp_path / "set.parquet", pa.table({**columns, "icc": [b"profile"] * 12}))
    found = opened(tmp_path, "set.parquet")
    assert [item.id for item in found.items] == sorted(columns["path"])


def test_what_datasets_itself_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )
    made = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(p) for p in PIXELS], "label": [0, 1] * 6}, features=features
    )
    both = made.train_test_split(test_size=4, shuffle=False)
    both.save_to_disk(str(tmp_path / "set"))
    made.to_parquet(str(tmp_path / "x.parquet"))
    for source, path, row in (
        (opened(tmp_path), "test/00001", 9),
        (opened(tmp_path, "hf:x.parquet"), "images/00009", 9),
    ):
        assert Counter(item.label for item in source.items) == {"cat": 6, "dog": 6}
        assert np.array_equal(source.load(path, max_pixels=LIMIT).pixels, PIXELS[row])


def test_without_features_types_decide(tmp_path: Path) -> None:
    content = pa.table(
        {
            "picture": [png(p) for p in PIXELS],
            "kind": ["a", "b"] * 6,
            "patient": [r // 2 for r in range(12)],
            "age": [None if r == 3 else r // 4 + 0.5 for r in range(12)],
        }
    )
    one_file(tmp_path, content)
    source = opened(tmp_path, label="kind", group="patient", attributes=("age",))
    assert [item.label for item in source.items] == ["a", "b"] * 6
    assert [item.group for item in source.items] == [str(r // 2) for r in range(12)]
    assert [item.attributes["age"] for item in source.items[2:5]] == ["0.5", "", "1.5"]
    assert np.array_equal(source.load("images/00007", max_pixels=LIMIT).pixels, PIXELS[7])


def test_class_names_of_groups_and_attributes(tmp_path: Path) -> None:
    features = {
        "image": IMAGE,
        "label": SPECIES,
        "sex": {"names": ["f", "m"], "_type": "ClassLabel"},
    }
    one_file(tmp_path, table(range(12), features, sex=[0, 1, -1] * 4))
    found = opened(tmp_path, attributes=("sex",)).items
    assert [item.attributes["sex"] for item in found[:3]] == ["f", "m", "-1"]
    assert {item.label for item in found} == {"cat", "dog"}


def test_images_without_a_group_are_groups_of_their_own(tmp_path: Path) -> None:
    patient = ["a", None, "b", "a", "", "b"] * 2
    one_file(tmp_path, table(range(12), patient=patient))
    source = opened(tmp_path, group="patient")
    groups = [item.group for item in source.items]
    alone = [f"images/{row:05d}" for row in (1, 4, 7, 10)]
    assert [groups[row] for row in (1, 4, 7, 10)] == alone
    assert Counter(groups) == {"a": 4, "b": 4, **dict.fromkeys(alone, 1)}
    assert source.notes == [
        "4 images without a value in 'patient': each is taken for a group of its own"
    ]


@pytest.mark.parametrize(
    ("first", "second"), [("dev", "validation"), ("val", "valid"), ("train", "training")]
)
def test_two_parts_that_mean_the_same_are_refused(tmp_path: Path, first: str, second: str) -> None:
    for name, rows in {first: range(6), second: range(6, 12)}.items():
        write_parquet(tmp_path / "set" / f"{name}-0.parquet", table(rows))
    given = f"'hf:./set' has two parts that mean the same: '{first}' and '{second}'"
    assert refusal(tmp_path).given == given


def test_one_of_several_class_columns_must_be_named(tmp_path: Path) -> None:
    features = {"image": IMAGE, "coarse": SPECIES, "fine": SPECIES}
    content = table(range(12), features, coarse=[0, 1] * 6, fine=[0] * 6 + [1] * 6)
    one_file(tmp_path, content.drop_columns(["label"]))
    assert "several columns of classes; its columns are: image, coarse, fine" in str(
        refusal(tmp_path)
    )
    assert [i.label for i in opened(tmp_path, label="fine").items] == ["cat"] * 6 + ["dog"] * 6
    assert "has no column 'fnie' – did you mean 'fine'?" in str(refusal(tmp_path, label="fnie"))


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([[0, 1]] * 12, "lists, which is multi-label or detection data"),
        ([r + 0.5 for r in range(12)], "numbers with fractions, which is regression"),
        (pictures(range(12)), "images, which is segmentation"),
    ],
)
def test_other_tasks_are_refused(tmp_path: Path, labels: Any, task: str) -> None:
    one_file(tmp_path, table(range(12), {"image": IMAGE}, label=labels))
    assert refusal(tmp_path).given == f"the column 'label' of 'hf:./set' holds {task}"


def test_detection_has_no_class_column(tmp_path: Path) -> None:
    objects = [{"bbox": [[0.0, 0.0, 1.0, 1.0]], "category": [0]}] * 12
    content = table(range(12), {"image": IMAGE}, objects=objects).drop_columns(["label"])
    one_file(tmp_path, content)
    error = refusal(tmp_path)
    assert error.given.endswith("no column of classes; its columns are: image, objects")
    assert "detection" in error.rule


def test_hidden_labels_of_a_test_part_are_noted(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "train-0.parquet", table(range(8)))
    write_parquet(tmp_path / "set" / "test-0.parquet", table(range(8, 12), label=[-1] * 4))
    source = opened(tmp_path)
    assert len(source.items) == 8
    assert source.notes == ["part 'test' left out: none of its images has a label"]
    assert len(opened(tmp_path, labelled=False).items) == 12


def test_some_missing_labels_are_refused(tmp_path: Path) -> None:
    one_file(tmp_path, table(range(12), label=pa.array([0, None, 1, -1] * 3)))
    assert refusal(tmp_path).given == (
        "6 rows of 'hf:./set' have no 'label', such as 1, 3, 5, 7, 9"
    )


def test_columns_of_images(tmp_path: Path) -> None:
    features = {"left": IMAGE, "right": IMAGE, "label": SPECIES}
    content = table(
        range(12), features, left=pictures(range(12)), right=pictures(range(11, -1, -1))
    )
    one_file(tmp_path, content.drop_columns(["image"]))
    assert "several columns of images: left, right" in str(refusal(tmp_path))
    source = opened(tmp_path, "hf:./set?image=right")
    assert np.array_equal(source.load("images/00000", max_pixels=LIMIT).pixels, PIXELS[11])
    assert "asks for 'imge' – did you mean 'image'?" in str(refusal(tmp_path, "hf:./set?imge=x"))


def test_a_mask_column(tmp_path: Path) -> None:
    masks = [{"bytes": png((p[:, :, 0] > 128).astype(np.uint8)), "path": None} for p in PIXELS]
    features = {"image": IMAGE, "label": SPECIES, "mask": IMAGE}
    one_file(tmp_path, table(range(12), features, mask=pa.array(masks, STRUCT)))
    source = opened(tmp_path, masks="mask")
    assert np.array_equal(source.load_mask(source.items[5].mask), PIXELS[5, :, :, 0] > 128)


def test_images_by_path_stay_inside_the_folder(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0]).save(tmp_path / "outside.png")
    (tmp_path / "set").mkdir()
    Image.fromarray(PIXELS[1]).save(tmp_path / "set" / "inside.png")
    paths = ["inside.png", "../outside.png", str(tmp_path / "outside.png"), None] * 3
    cells = pa.array([{"bytes": None, "path": path} for path in paths], STRUCT)
    one_file(tmp_path, table(range(12), image=cells))
    source = opened(tmp_path)
    assert np.array_equal(source.load("images/00000", max_pixels=LIMIT).pixels, PIXELS[1])
    for row in (1, 2):
        with pytest.raises(UnusableImageError, match="leads out of the data set's folder"):
            source.load(f"images/{row:05d}", max_pixels=LIMIT)
    with pytest.raises(UnusableImageError, match="a row without a picture"):
        source.load("images/00003", max_pixels=LIMIT)


def test_a_name_needs_the_package_and_the_network(tmp_path: Path) -> None:
    error = refusal(tmp_path, "hf:nobody/nothing")
    installed = "cannot be read from the Hub" in error.given
    missing = "is not installed" in error.given and "synthlift[hub]" in error.remedy
    assert installed or missing
    for path in ("./nothing here", "./nothing", "../nothing"):
        error = refusal(tmp_path, f"hf:{path}")
        assert error.given == f"there is no file or folder '{path}'"


def test_folders_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "set" / "x.png")
    assert refusal(tmp_path).remedy == "for a folder of images, leave out 'hf:'"
    (tmp_path / "set" / "x.parquet").write_bytes(b"PAR1 damaged")
    assert "'hf:./set' cannot be read" in str(refusal(tmp_path))
    one_file(tmp_path, pa.table({"label": [0, 1]}))
    assert "has no column of images" in str(refusal(tmp_path))


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    one_file(tmp_path, table(range(12)))
    first = opened(tmp_path).fingerprint
    assert opened(tmp_path).fingerprint == first
    one_file(tmp_path, table(range(11, -1, -1)))
    assert opened(tmp_path).fingerprint != first


def test_fingerprint_follows_the_columns(tmp_path: Path) -> None:
    one_file(tmp_path, table(range(12), site=[0, 1, 2] * 4, patient=[r // 2 for r in range(12)]))
    asked: list[dict[str, Any]] = [
        {},
        {"group": "patient"},
        {"label": "site"},
        {"attributes": ("site",)},
    ]
    assert len({opened(tmp_path, **one).fingerprint for one in asked}) == len(asked)
