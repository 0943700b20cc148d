from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthlift.data import kept, stages
from synthlift.data.contract import Where
from synthlift.data.designs import choose_design
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import Asked, read_rows, usable
from synthlift.data.sizes import resize
from synthlift.data.sources import open_source
from synthlift.errors import LeakageError, StageError
from synthlift.spec.data import Split
from synthlift.store import Artefact, StageRequest, Store
from synthlift.store.images import DataKeys, locked_test, read_part
from synthlift.types import UInt8

LIMIT = 40_000


@dataclass(frozen=True)
class Data:
    """What the driver holds after the four stages."""

    read: Artefact
    keys: DataKeys


def picture(seed: int, height: int = 20, width: int = 24) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pets(root: Path) -> Path:
    for k, name in enumerate(("cat", "dog")):
        for i in range(8):
            save(root / name / f"{i}.png", picture(100 * k + i))
    return root


def compute(store: Store, request: StageRequest) -> Artefact:
    store.compute(request)
    return store.open(request.key)


def run_all(store: Store, folder: Path, *, size: int = 16, channels: int = 3) -> Data:
    source = open_source(Where(str(folder), str(Path("/"))))
    read = compute(store, stages.read_request(source, Asked(LIMIT)))
    inventory = compute(store, stages.inventory_request(read)).key
    pixels = compute(
        store,
        stages.pixels_request(
            inventory, read=read, source=source, size=size, fit="pad", channels=channels
        ),
    ).key
    rows = read_rows(store.open(inventory).path("inventory.parquet"))
    labels, groups = [row.label for row in rows], [row.group for row in rows]
    design = choose_design(Split(folds=4), labels=labels, groups=groups)
    split = compute(store, stages.split_request(inventory, design=design, seed=7)).key
    return Data(read, {"inventory": inventory, "pixels": pixels, "split": split})


def test_folder_becomes_inventory_pixels_and_split(tmp_path: Path) -> None:
    folder = pets(tmp_path / "pets")
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "9.png")
    shutil.copy(folder / "cat" / "1.png", folder / "dog" / "same.png")
    Image.fromarray(picture(0)).save(folder / "cat" / "recoded.bmp")
    (folder / "dog" / "cut.png").write_bytes((folder / "dog" / "0.png").read_bytes()[:300])
    (folder / "dog" / "text.jpg").write_text("no image")
    save(folder / "dog" / "huge.png", np.zeros((201, 200), np.uint8))
    (folder / "dog" / "list.csv").write_text("a,b")
    store = Store(tmp_path / "store")
    data = run_all(store, folder)

    summary = data.read.summary
    assert summary["read"] == 22
    assert summary["usable"] == 15
    assert summary["classes"] == {"cat": 7, "dog": 8}
    assert summary["ignored"] == {".csv": 1}
    assert summary["excluded"] == {
        "duplicate": 2,
        "same image under different labels": 2,
        "truncated": 1,
        "too large": 1,
        "unreadable": 1,
    }
    assert summary["excluded_examples"]["too large"] == [
        "dog/huge.png (too large: more than 40,000 pixels)"
    ]
    rows = read_rows(data.read.path("inventory.parquet"))
    reasons = {row.id: row.reason for row in rows if row.status == "excluded"}
    assert reasons == {
        "cat/9.png": "duplicate: of cat/0.png",
        "cat/recoded.bmp": "duplicate: of cat/0.png",
        "cat/1.png": "same image under different labels: cat, dog",
        "dog/same.png": "same image under different labels: cat, dog",
        "dog/cut.png": "truncated: the file ends before the image does",
        "dog/huge.png": "too large: more than 40,000 pixels",
        "dog/text.jpg": "unreadable: not an image in a known format",
    }
    names = ", ".join(pq.read_table(data.read.path("inventory.parquet")).column_names)
    assert names == (
        "id, label, group, path, sha256, width, height, channels, mode, bits, status, reason, "
        "attributes, part, mask"
    )


def test_pixels_belong_to_their_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = run_all(store, pets(tmp_path / "pets"))
    pixels = np.load(store.open(data.keys["pixels"]).path("pixels.npy"))
    rows = usable(read_rows(store.open(data.keys["inventory"]).path("inventory.parquet")))
    assert pixels.shape == (16, 16, 16, 3)
    for i, row in enumerate(rows):
        seed = 100 * (row.label == "dog") + int(row.id.split("/")[1].removesuffix(".png"))
        assert np.array_equal(pixels[i], resize(picture(seed), size=16, fit="pad", channels=3))
        assert row.sha256 == pixel_hash(picture(seed))
        assert (row.width, row.height, row.mode, row.bits) == (24, 20, "RGB", 8)


def test_parts_are_read_and_the_test_is_locked(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = run_all(store, pets(tmp_path / "pets"))
    summary = store.open(data.keys["split"]).summary
    assert (summary["design"], summary["folds"], summary["draws"]) == ("cross_validated", 4, 8)
    content = {pixel_hash(picture(100 * k + i)) for k in (0, 1) for i in range(8)}
    tested: set[str] = set()
    for draw in range(8):
        train = read_part(store, data.keys, draw=draw, part="train")
        validation = read_part(store, data.keys, draw=draw, part="validation")
        lock = locked_test(store, data.keys, draw=draw)
        ids = [set(part.ids.tolist()) for part in (train, validation, lock)]
        assert len(set.union(*ids)) == sum(map(len, ids)) == 16
        assert train.counts().tolist() == list(summary["train_per_class"][draw].values())
        tested |= set(lock.hashes.tolist())
        with pytest.raises(LeakageError):
            _ = lock.labels
    assert tested == content


def test_keys_follow_content_not_place_or_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = run_all(store, pets(tmp_path / "pets"))
    moved = pets(tmp_path / "elsewhere" / "animals")
    os.utime(moved / "cat" / "0.png", ns=(5, 5))
    (moved / "dog" / "broken.png").write_bytes(b"?")
    second = run_all(store, moved)
    assert second.keys == first.keys
    assert second.read.key != first.read.key
    assert second.read.summary["excluded"] == {"unreadable": 1}

    save(moved / "cat" / "new.png", picture(999))
    third = run_all(store, moved)
    assert not set(third.keys.values()) & set(first.keys.values())


def test_unchanged_folder_is_not_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = pets(tmp_path / "pets")
    source = open_source(Where(str(folder), str(tmp_path)))
    assert store.compute(stages.read_request(source, Asked(LIMIT))) == "computed"
    again = open_source(Where("pets", str(tmp_path)))
    assert store.compute(stages.read_request(again, Asked(LIMIT))) == "present"


def test_images_without_their_classes_are_another_reading(tmp_path: Path) -> None:
    folder = pets(tmp_path / "pets")
    labelled, without = (
        stages.read_request(
            open_source(Where(str(folder), str(tmp_path), labelled=known)), Asked(LIMIT)
        )
        for known in (True, False)
    )
    assert labelled.key != without.key
    assert "labelled" not in labelled.config


def test_results_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pets(tmp_path / "pets")
    hashes = []
    for threads in (1, 4):
        monkeypatch.setattr(os, "cpu_count", lambda n=threads: n)
        store = Store(tmp_path / f"store{threads}")
        data = run_all(store, folder)
        hashes.append([store.open(str(key)).record["files"] for key in data.keys.values()])
    assert hashes[0] == hashes[1]


def test_file_that_changes_between_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGEST_IMAGE", 0)  # as for large images, which are read twice
    store = Store(tmp_path / "store")
    folder = pets(tmp_path / "pets")
    source = open_source(Where(str(folder), str(tmp_path)))
    read = compute(store, stages.read_request(source, Asked(LIMIT)))
    inventory = compute(store, stages.inventory_request(read)).key
    request = stages.pixels_request(
        inventory, read=read, source=source, size=16, fit="pad", channels=3
    )
    save(folder / "dog" / "3.png", picture(5000))
    with pytest.raises(StageError) as caught:
        store.compute(request)
    assert str(caught.value) == (
        "'dog/3.png' changed while the study ran: it shows another picture than when it was "
        "read; run the same command again"
    )
    (folder / "dog" / "3.png").unlink()
    with pytest.raises(StageError, match=r"^'dog/3.png' changed while the study ran: unreadable"):
        store.compute(request)
    assert not store.has(request.key)
    with pytest.raises(StageError, match="changed while it was being read; run again"):
        store.compute(stages.read_request(source, Asked(LIMIT - 1)))


def test_12_bit_images_share_one_white(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for k, name in enumerate(("ill", "well")):
        for i in range(4):
            values = np.full((9, 9), 100 * i + 1000 * k, np.uint16)
            values[0, 0] = 4000 if (k, i) == (1, 3) else 7
            save(folder / name / f"{i}.png", values)
    store = Store(tmp_path / "store")
    data = run_all(store, folder, size=8, channels=1)
    assert data.read.summary["white"] == 4095
    assert data.read.summary["grey"] is True
    assert data.read.summary["notes"] == [
        "8 16-bit grey images scaled to 8 bits",
        "16-bit grey: value 4095 became white, 0 black",
    ]
    pixels = np.load(store.open(data.keys["pixels"]).path("pixels.npy"))
    assert pixels[:, 4, 4, 0].tolist() == [
        round(255 * (100 * i + 1000 * k) / 4095) for k in (0, 1) for i in range(4)
    ]


def test_conversions_are_counted_in_words(tmp_path: Path) -> None:
    folder = pets(tmp_path / "pets")
    for i in range(2):
        Image.fromarray(picture(700 + i)).quantize(16).save(folder / "cat" / f"p{i}.png")
    Image.fromarray(picture(800)[:, :, 0]).save(folder / "dog" / "grey.png")
    summary = run_all(Store(tmp_path / "store"), folder).read.summary
    assert summary["notes"] == ["2 palette images expanded to their colours"]
    assert (summary["grey"], summary["grey_images"]) == (False, 1)
    assert summary["size_quartiles"]["width"] == [24.0] * 5


def test_digits_through_the_stages(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    source = open_source(Where("sklearn:digits", str(tmp_path)))
    read = compute(store, stages.read_request(source, Asked(LIMIT)))
    assert (read.summary["read"], read.summary["usable"]) == (1797, 1797)
    inventory = compute(store, stages.inventory_request(read)).key
    request = stages.pixels_request(
        inventory, read=read, source=source, size=8, fit="pad", channels=1
    )
    pixels = np.load(compute(store, request).path("pixels.npy"))
    assert pixels.shape == (1797, 8, 8, 1)
    assert pixels.max() == 255
