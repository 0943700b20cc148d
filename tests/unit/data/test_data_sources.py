from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.errors import InputError

LAYOUT = "a source is a folder with one sub-folder a class, with that class's images inside it"


def draw(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 5), value, np.uint8)).save(path)


def fill(root: Path, **classes: int) -> Path:
    for k, (name, n) in enumerate(classes.items()):
        for i in range(n):
            draw(root / name / f"{i}.png", 16 * k + i)
    return root


def refusal(source: str, base: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_source(Where(source, str(base)))
    return str(caught.value)


def test_folder_lists_nested_images_and_counts_what_it_ignores(tmp_path: Path) -> None:
    root = fill(tmp_path / "pets", cat=3, dog=3)
    draw(root / "cat" / "kittens" / "old" / "x.PNG", 99)
    for junk in ("cat/notes.txt", "cat/Thumbs.db", ".hidden/x.png", "dog/.x.png", "labels.csv"):
        (root / junk).parent.mkdir(exist_ok=True)
        (root / junk).write_bytes(b"junk")
    (root / "dog" / "README").write_bytes(b"junk")
    draw(root / "stray.png", 7)
    found = open_source(Where("pets", str(tmp_path)))
    assert [item.id for item in found.items] == [
        *(f"cat/{i}.png" for i in range(3)),
        "cat/kittens/old/x.PNG",
        *(f"dog/{i}.png" for i in range(3)),
    ]
    assert Counter(item.label for item in found.items) == {"cat": 4, "dog": 3}
    assert all(item.group == item.id == item.path for item in found.items)
    assert found.ignored == {
        ".csv": 1,
        ".txt": 1,
        "images outside any class folder": 1,
        "no extension": 1,
    }
    assert found.load("dog/1.png", max_pixels=100).pixels[0, 0, 0] == 17


def test_fingerprint_follows_content_times_and_place(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", x=3, y=3)
    first = open_source(Where("a", str(tmp_path))).fingerprint
    assert open_source(Where(str(root), str(Path("/")))).fingerprint == first
    os.utime(root / "x" / "0.png", ns=(1, 1))
    touched = open_source(Where("a", str(tmp_path))).fingerprint
    shutil.copytree(root, tmp_path / "b")
    draw(root / "x" / "new.png", 200)
    added = open_source(Where("a", str(tmp_path))).fingerprint
    copied = open_source(Where("b", str(tmp_path))).fingerprint
    # Moving a folder changes no file's times; other data may since lie in its old place.
    (tmp_path / "b").rename(tmp_path / "c")
    moved = open_source(Where("c", str(tmp_path))).fingerprint
    assert len({first, touched, added, copied, moved}) == 5


def test_links_may_lead_back_up_or_nowhere(tmp_path: Path) -> None:
    root = fill(tmp_path / "pets", cat=3, dog=3)
    (root / "cat" / "up").symlink_to(root / "cat")
    (root / "cat" / "gone.png").symlink_to(root / "missing.png")
    items = open_source(Where("pets", str(tmp_path))).items
    assert Counter(item.label for item in items) == {"cat": 4, "dog": 3}


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    root = fill(tmp_path / "pets", cat=3, dog=3)
    os.mkfifo(root / "cat" / "pipe.png")
    found = open_source(Where("pets", str(tmp_path)))
    assert (len(found.items), found.ignored) == (6, {".png": 1})


def test_digits_are_scaled_and_named(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    found = open_source(Where("sklearn:digits", str(tmp_path)))
    raw = load_digits()
    assert len(found.items) == 1797
    assert found.items[3].id == "digits/0003"
    assert [item.label for item in found.items] == [str(t) for t in raw.target]
    pixels = found.load("digits/0003", max_pixels=1).pixels
    assert pixels.shape == (8, 8, 1)
    assert pixels.dtype == np.uint8
    expected = [[round(float(v) * 255 / 16) for v in line] for line in raw.images[3]]
    assert pixels[:, :, 0].tolist() == expected


def test_missing_folder(tmp_path: Path) -> None:
    assert refusal("nowhere", tmp_path) == (
        f"there is no folder 'nowhere'\n  Rule: {LAYOUT}\n"
        f"  Remedy: check the spelling; it was looked for at {tmp_path}/nowhere"
    )


def test_file_instead_of_folder(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK")
    assert refusal("pets.zip", tmp_path) == (
        f"'pets.zip' is a file, not a folder\n  Rule: {LAYOUT}\n"
        "  Remedy: unpack archives first and give the folder"
    )


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    assert refusal("pets", tmp_path) == (
        f"the folder 'pets' is empty: no sub-folder, no image\n  Rule: {LAYOUT}\n"
        "  Remedy: give the folder that holds the class folders"
    )


def test_images_without_classes(tmp_path: Path) -> None:
    draw(tmp_path / "pets" / "x.png", 1)
    assert refusal("pets", tmp_path) == (
        f"'pets' holds images but no sub-folders, so that no image has a class\n  Rule: {LAYOUT}\n"
        "  Remedy: sort the images into one sub-folder a class"
    )


def test_one_class(tmp_path: Path) -> None:
    fill(tmp_path / "pets", cat=5)
    assert refusal("pets", tmp_path) == (
        "'pets' holds one class only: 'cat'\n"
        "  Rule: a classifier needs at least two classes: one sub-folder a class, with that "
        "class's images inside it\n"
        "  Remedy: add the folder of another class, or give the folder above"
    )


def test_class_without_images(tmp_path: Path) -> None:
    root = fill(tmp_path / "pets", cat=5)
    (root / "dog").mkdir()
    (root / "dog" / "1.heic").write_bytes(b"?")
    assert refusal("pets", tmp_path) == (
        "the class folder 'dog' in 'pets' holds no image (found besides: .heic)\n"
        "  Rule: every sub-folder is a class and holds its images\n"
        "  Remedy: add its images, or move the folder elsewhere"
    )


def test_class_with_too_few_images(tmp_path: Path) -> None:
    fill(tmp_path / "pets", cat=5, dog=2)
    assert refusal("pets", tmp_path) == (
        "too few usable images: 'dog' has 2\n"
        "  Rule: a class needs at least 3 images: one each to train on, to choose with and to "
        "test on\n"
        "  Remedy: add images to the class, merge it with another, or move its folder elsewhere; "
        "`synthlift inspect` lists what was left out and why"
    )
    assert len(open_source(Where("pets", str(tmp_path)), strict=False).items) == 7


def test_parts_of_a_split_without_classes(tmp_path: Path) -> None:
    fill(tmp_path / "cifar", train=3, test=3)
    assert refusal("cifar", tmp_path) == (
        "'cifar/test' holds images but no sub-folders, so that no image has a class\n"
        f"  Rule: {LAYOUT}\n"
        "  Remedy: sort the images into one sub-folder a class"
    )


def test_unknown_embedded_source(tmp_path: Path) -> None:
    assert refusal("sklearn:digit", tmp_path) == (
        "unknown source 'sklearn:digit' – did you mean 'sklearn:digits'?\n"
        "  Rule: the embedded data sets are called sklearn:digits, embedded:leaves, "
        "embedded:drawings, embedded:coloured-digits, embedded:coloured-digits-other-half\n"
        "  Remedy: write sklearn:digits, or give a folder with one sub-folder a class"
    )


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that an ordinary user may enter, and the rights of one (root may read anything)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(before)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
@pytest.mark.parametrize("closed", ["pets", "pets/dog"])
def test_no_permission(unprivileged: Path, closed: str) -> None:
    user = os.geteuid()
    os.seteuid(os.getuid())
    fill(unprivileged / "pets", cat=3, dog=3)
    (unprivileged / closed).chmod(0)
    os.seteuid(user)
    shown = "pets" if closed == "pets" else unprivileged / closed
    assert refusal("pets", unprivileged) == (
        f"no permission to read '{shown}'\n"
        "  Rule: the folder, its class folders and their images must be readable\n"
        f"  Remedy: allow it (`chmod -R u+rX '{shown}'`), or run as a user who may read it"
    )


def test_parts_of_a_split_are_kept_with_their_classes(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        fill(tmp_path / "pets" / part, cat=3, dog=3)
    items = open_source(Where("pets", str(tmp_path))).items
    assert Counter(item.label for item in items) == {"cat": 9, "dog": 9}
    assert Counter(item.part for item in items) == {"train": 6, "validation": 6, "test": 6}
    assert all(
        item.id.startswith({"validation": "val"}.get(item.part, item.part)) for item in items
    )


def test_folders_without_images_beside_the_parts_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path / "pets" / "train", cat=3, dog=3)
    fill(tmp_path / "pets" / "test", cat=1, dog=2)
    notes = tmp_path / "pets" / "annotations" / "cat.xml"
    notes.parent.mkdir()
    notes.write_text("<x/>")
    found = open_source(Where("pets", str(tmp_path)))
    assert Counter(item.part for item in found.items) == {"train": 6, "test": 3}
    assert found.ignored == {".xml": 1}
    assert list(found.notes) == ["without images, so that they are no parts: 'annotations'"]
    draw(tmp_path / "pets" / "annotations" / "0.png", 9)
    again = open_source(Where("pets", str(tmp_path)), strict=False)
    assert Counter(item.label for item in again.items) == {"train": 6, "test": 3, "annotations": 1}
    (said,) = again.notes
    assert said == (
        "taken for classes, not for parts of a split, since 'annotations' beside them holds images "
        "too: 'test', 'train'; if they are parts, move the other folders elsewhere"
    )


def test_without_labels_any_layout_will_do(tmp_path: Path) -> None:
    draw(tmp_path / "pile" / "a.png", 1)
    draw(tmp_path / "pile" / "deep" / "b.png", 2)
    items = open_source(Where("pile", str(tmp_path), labelled=False)).items
    assert [(item.id, item.label) for item in items] == [("a.png", ""), ("deep/b.png", "")]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("images", "masks"), "'images' beside 'masks'"),
        (("JPEGImages", "Annotations", "SegmentationClass"), "'JPEGImages' beside 'Annotations'"),
        (("train/images", "train/labels", "valid/images", "valid/labels"), "'images' beside"),
    ],
)
def test_images_beside_masks_or_boxes_are_no_classes(
    tmp_path: Path, folders: tuple[str, ...], said: str
) -> None:
    for k, name in enumerate(folders):
        draw(tmp_path / "set" / name / "0.png", k)
        (tmp_path / "set" / name / "0.txt").write_text("0 .5 .5 .1 .1")
    text = refusal("set", tmp_path)
    assert said in text
    assert "segmentation and detection data are not read" in text


def test_a_class_may_be_called_labels(tmp_path: Path) -> None:
    fill(tmp_path / "set", labels=3, images=3, posters=3)
    assert len(open_source(Where("set", str(tmp_path))).items) == 9


def test_the_embedded_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source = open_source(Where(source="sklearn:digits", base="."))
    bunch = load_digits()
    assert [item.label for item in source.items] == [str(label) for label in bunch.target]
    for row in (0, 700, 1796):
        pixels = source.load(source.items[row].path, max_pixels=64).pixels[:, :, 0]
        assert np.array_equal(pixels, np.rint(bunch.images[row] * 255 / 16).astype(np.uint8))
