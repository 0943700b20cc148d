from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.data.contract import Source, Where
from synthlift.data.decode import UnusableImageError
from synthlift.data.readers.npz_arrays import Rows, list_members
from synthlift.data.sources import open_source
from synthlift.errors import InputError

LIMIT = 1_000_000
RNG = np.random.default_rng(0)


def grey(n: int, height: int = 7, width: int = 5) -> np.ndarray:
    return RNG.integers(0, 256, (n, height, width), dtype=np.uint8)


def opened(tmp_path: Path, **more: Any) -> Source:
    return open_source(Where("x.npz", str(tmp_path), **more))


def refusal(tmp_path: Path, **arrays: Any) -> InputError:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError) as caught:
        opened(tmp_path)
    return caught.value


def test_medmnist_file(real_data: Callable[[str], Path]) -> None:
    path = real_data("pneumoniamnist.npz")
    source = open_source(Where(path.name, str(path.parent)))
    parts = Counter(item.part for item in source.items)
    assert parts == {"train": 3882, "validation": 524, "test": 624}
    assert {item.label for item in source.items} == {"0", "1"}
    assert source.items[0].id == "test/00000"
    with np.load(path) as arrays:
        for name, row in (("train", 3881), ("test", 17), ("val", 523)):
            part = {"val": "validation"}.get(name, name)
            found = source.load(f"{part}/{row:05d}", max_pixels=LIMIT)
            assert np.array_equal(found.pixels[:, :, 0], arrays[f"{name}_images"][row])
            label = next(i.label for i in source.items if i.id == f"{part}/{row:05d}")
            assert label == str(arrays[f"{name}_labels"][row, 0])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("x", "y"), ("X", "Y"), ("data", "target")],
)
def test_arrays_without_parts(
    tmp_path: Path, save: Callable[..., None], images: str, labels: str
) -> None:
    values, classes = grey(9), np.arange(9) % 3
    save(tmp_path / "x.npz", **{images: values, labels: classes})
    source = opened(tmp_path)
    assert [item.id for item in source.items] == [f"images/{i:05d}" for i in range(9)]
    assert [item.label for item in source.items] == [str(k) for k in classes]
    assert {item.part for item in source.items} == {""}
    for i, item in enumerate(source.items):
        assert np.array_equal(source.load(item.path, max_pixels=35).pixels[:, :, 0], values[i])
    with pytest.raises(UnusableImageError, match="more than 34 pixels"):
        source.load("images/00000", max_pixels=34)


def test_keras_names_and_colour(tmp_path: Path) -> None:
    train = RNG.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "x.npz",
        x_train=train,
        y_train=np.array([[0]] * 3 + [[1]] * 3),
        x_test=train[:3].transpose(0, 3, 1, 2),
        y_test=np.array([0.0, 1.0, 1.0]),
        class_names=np.array(["cat", "dog"]),
    )
    source = opened(tmp_path)
    assert [item.label for item in source.items] == ["cat", "dog", "dog"] + ["cat"] * 3 + [
        "dog"
    ] * 3
    assert Counter(item.part for item in source.items) == {"train": 6, "test": 3}
    # [N, 3, H, W] is recognised.
    for row in range(3):
        first = source.load(f"test/{row:05d}", max_pixels=LIMIT).pixels
        assert np.array_equal(first, train[row])
        assert np.array_equal(source.load(f"train/{row:05d}", max_pixels=LIMIT).pixels, first)


def test_one_part_alone_is_no_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", train_images=grey(6), train_labels=np.arange(6) % 2)
    assert {item.part for item in opened(tmp_path).items} == {""}


@pytest.mark.parametrize("dtype", [np.uint16, np.dtype(">u2")])
def test_16_bit_images(tmp_path: Path, dtype: Any) -> None:
    values = RNG.integers(0, 4096, (6, 3, 3)).astype(dtype)
    np.savez(tmp_path / "x.npz", images=values, labels=np.arange(6) % 2)
    found = opened(tmp_path).load("images/00004", max_pixels=LIMIT, white=4095)
    assert np.array_equal(found.pixels[:, :, 0], np.rint(values[4] * (255 / 4095)))
    assert (found.bits, found.peak) == (16, int(values[4].max()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_between_0_and_1_are_scaled_and_noted(tmp_path: Path, dtype: Any) -> None:
    values = np.linspace(0, 1, 6 * 9).reshape(6, 3, 3).astype(dtype)
    np.savez(tmp_path / "x.npz", images=values, labels=np.arange(6) % 2)
    source = opened(tmp_path)
    assert source.notes == [f"images: {np.dtype(dtype)} in [0, 1], scaled to 0 … 255"]
    found = source.load("images/00003", max_pixels=LIMIT).pixels[:, :, 0]
    assert np.array_equal(found, np.rint(values[3].astype(float) * 255))


@pytest.mark.parametrize("value", [-0.001, 1.001, 255.0, np.nan, np.inf])
def test_other_floats_are_refused(tmp_path: Path, value: float) -> None:
    values = np.full((6, 3, 3), 0.5)
    values[5, 2, 2] = value
    error = refusal(tmp_path, images=values, labels=np.arange(6) % 2)
    assert error.given.startswith("'images' in 'x.npz' is float64 with values from ")
    assert error.rule.startswith("floats lie in [0, 1]")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_pickled_arrays_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("images", "labels", "further"):
        arrays: dict[str, Any] = {"images": grey(6), "labels": np.arange(6) % 2}
        arrays[name] = np.array([Bomb()] * 6, dtype=object)
        error = refusal(tmp_path, **arrays)
        assert error.given == f"'{name}' in 'x.npz' holds pickled Python objects"
        assert "never opened" in error.rule
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="holds pickled Python objects"):
        opened(tmp_path)
    (tmp_path / "x.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"'x\.npz' cannot be read as an \.npz file"):
        opened(tmp_path)
    assert not Path("unpickled").exists()


def test_several_labels_an_image(tmp_path: Path) -> None:
    error = refusal(tmp_path, images=grey(6), labels=RNG.integers(0, 2, (6, 14)))
    assert error.given == "'labels' in 'x.npz' has shape [6, 14]: several labels an image"
    assert error.rule == "an image has one class; multi-label data are not supported"


def test_other_bad_files(tmp_path: Path) -> None:
    labels = np.arange(6) % 2
    assert "numbers with fractions, such as 0.5" in str(
        refusal(tmp_path, images=grey(6), labels=labels / 2)
    )
    assert "has shape [5] beside 6 images" in str(
        refusal(tmp_path, images=grey(6), labels=labels[:5])
    )
    assert "is int64" in str(refusal(tmp_path, images=grey(6).astype(int), labels=labels))
    assert "has shape [6, 8, 8, 8]" in str(
        refusal(tmp_path, images=np.zeros((6, 8, 8, 8), np.uint8), labels=labels)
    )
    assert "holds no array of images; found: arr_0 [6, 7, 5]" in str(
        refusal(tmp_path, arr_0=grey(6))
    )
    assert "but no labels for them" in str(refusal(tmp_path, images=grey(6)))
    assert "two arrays of the same images: images, x" in str(
        refusal(tmp_path, images=grey(6), x=grey(6), labels=labels)
    )
    assert "holds one class only: '0'" in str(
        refusal(tmp_path, images=grey(6), labels=np.zeros(6, int))
    )
    assert "holds classes 0 to 2, and 'class_names' 2 names" in str(
        refusal(tmp_path, images=grey(6), labels=np.arange(6) % 3, class_names=["a", "b"])
    )
    assert "Fortran order" in str(
        refusal(tmp_path, images=np.asfortranarray(grey(6)), labels=labels)
    )
    assert "too few usable images: 'b' has 1" in str(
        refusal(tmp_path, images=grey(6), labels=np.array(["a"] * 5 + ["b"]))
    )


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=grey(600), labels=np.arange(600) % 2)
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cannot be read as an \.npz file"):
        opened(tmp_path)
    damaged = bytearray(data)
    damaged[5000:5100] = bytes(100)
    (tmp_path / "x.npz").write_bytes(bytes(damaged))
    with pytest.raises(UnusableImageError, match="damaged image data"):
        opened(tmp_path).load("images/00599", max_pixels=LIMIT)
    (tmp_path / "x.npz").unlink()
    with pytest.raises(InputError, match=r"there is no f"):
        opened(tmp_path)


def test_group_attributes_and_label_by_name(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        train_images=grey(4),
        train_labels=np.zeros(4, int),
        train_species=np.array(["cat", "dog"] * 2),
        train_patient=np.array([7, 7, 8, 8]),
        train_age=np.array([1.5, np.nan, 3.0, 4.0]),
        test_images=grey(4),
        test_labels=np.zeros(4, int),
        test_species=np.array([b"cat", b"dog"] * 2),
        test_patient=np.array([9, 9, 9, 9]),
        test_age=np.array([1, 2, 3, 4]),
    )
    source = opened(tmp_path, label="species", group="patient", attributes=("age",))
    by_id = {item.id: item for item in source.items}
    assert by_id["train/00001"].label == by_id["test/00003"].label == "dog"
    assert [item.group for item in source.items] == ["9"] * 4 + ["7", "7", "8", "8"]
    assert [by_id[f"train/0000{i}"].attributes["age"] for i in range(4)] == ["1.5", "", "3", "4"]
    with pytest.raises(InputError, match=r"has no column 'pateint' – did you mean 'patient'\?"):
        opened(tmp_path, label="species", group="pateint")


@pytest.mark.parametrize(
    "patient", [np.array([7, 7, np.nan, np.nan, 8, 8]), np.array(["7", "7", "", " ", "8", "8"])]
)
def test_images_without_a_group_are_groups_of_their_own(tmp_path: Path, patient: Any) -> None:
    np.savez(tmp_path / "x.npz", images=grey(6), labels=np.arange(6) % 2, patient=patient)
    source = opened(tmp_path, group="patient")
    alone = ["images/00002", "images/00003"]
    assert [item.group for item in source.items] == ["7", "7", *alone, "8", "8"]
    assert source.notes == [
        "2 images without a value in 'patient': each is taken for a group of its own"
    ]
    assert not opened(tmp_path).notes


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_image_without_a_class_is_refused(tmp_path: Path, empty: str) -> None:
    labels = np.array(["cat", "dog", empty] * 2)
    error = refusal(tmp_path, images=grey(6), labels=labels)
    assert error.given == "2 rows of 'labels' in 'x.npz' without a class, such as 2, 5"
    names = {"labels": np.arange(6) % 3, "class_names": np.array(["cat", "dog", empty])}
    assert "without a class" in refusal(tmp_path, images=grey(6), **names).given
    assert len(opened(tmp_path, labelled=False).items) == 6


def test_space_around_a_word_is_none_of_it(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz",
        images=grey(6),
        labels=["cat ", "cat", "cat", " dog", "dog", "dog"],
        patient=["P1", "P1 ", " P1"] * 2,
        site=["n", "n ", " n"] * 2,
    )
    found = opened(tmp_path, group="patient", attributes=("site",)).items
    assert [item.label for item in found] == ["cat"] * 3 + ["dog"] * 3
    assert {item.group for item in found} == {"P1"}
    assert {item.attributes["site"] for item in found} == {"n"}


def test_unlabelled_pool_needs_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=grey(4))
    assert [item.label for item in opened(tmp_path, labelled=False).items] == [""] * 4


def test_fingerprint_follows_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=grey(6), labels=np.arange(6) % 2)
    first = opened(tmp_path).fingerprint
    assert opened(tmp_path).fingerprint == first
    np.savez(tmp_path / "x.npz", images=grey(6), labels=np.arange(6) % 2)
    assert opened(tmp_path).fingerprint != first


def test_fingerprint_follows_the_columns(tmp_path: Path) -> None:
    labels, site, patient = np.arange(6) % 2, np.arange(6) // 3, np.arange(6) // 2
    np.savez(tmp_path / "x.npz", images=grey(6), labels=labels, site=site, patient=patient)
    asked: list[dict[str, Any]] = [
        {},
        {"group": "patient"},
        {"label": "site"},
        {"attributes": ("site",)},
    ]
    assert len({opened(tmp_path, **one).fingerprint for one in asked}) == len(asked)


@given(order=st.lists(st.integers(0, 49), max_size=30), block=st.integers(1, 500))
def test_rows_in_any_order_are_those_of_the_array(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], block: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "rows"
    folder.mkdir(exist_ok=True)
    values = np.arange(50 * 12, dtype=np.uint16).reshape(50, 3, 4)
    other = values[::-1] + 1
    np.savez_compressed(folder / "x.npz", a=values, b=other)
    members = list_members(folder / "x.npz", "x.npz")
    rows = Rows(folder / "x.npz", block_bytes=block)
    for row in order:
        assert np.array_equal(rows.row(members["a"], row), values[row])
        assert np.array_equal(rows.row(members["b"], row), other[row])


def test_memory_stays_bounded_and_reading_in_order_decompresses_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.zeros((3000, 64, 64), np.uint8)
    values[:, 0, 0] = np.arange(3000) % 251
    np.savez_compressed(tmp_path / "x.npz", images=values, labels=np.arange(3000) % 2)
    member = list_members(tmp_path / "x.npz", "x.npz")["images"]
    del values
    opens = []
    plain = zipfile.ZipFile.open

    def count(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
        opens.append(name)
        return plain(archive, name)

    monkeypatch.setattr(zipfile.ZipFile, "open", count)
    rows = Rows(tmp_path / "x.npz", block_bytes=2**17)
    tracemalloc.start()
    for row in range(3000):
        assert rows.row(member, row)[0, 0] == row % 251
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20  # of 12 MiB
    assert len(opens) == 1
