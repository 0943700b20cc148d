"""Near-duplicates join one group; attributes are read off the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from synthlift.data.contract import Where
from synthlift.data.designs import choose_design
from synthlift.data.inventory import Asked, Inventory, take_inventory
from synthlift.data.parting import Parting
from synthlift.data.published import open_split
from synthlift.data.sources import open_source
from synthlift.spec.data import Data, Split
from synthlift.study.places import asked_of

SIDE = 48


def pieces(count: int) -> list[Image.Image]:
    """Different pieces of two photographs that come with scikit-learn."""
    photos = [Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")]
    found = []
    for number in range(count):
        photo, place = photos[number % 2], number // 2
        left, top = 60 * (place % 9), 150 + 60 * (place // 9)
        found.append(photo.crop((left, top, left + SIDE, top + SIDE)))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 pictures in two classes; 00 again brighter, 01 again mirrored, 02 again as JPEG."""
    images = pieces(40)
    for number, image in enumerate(images):
        place = tmp_path / "pets" / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number:02}.png")
    brighter = np.clip(np.asarray(images[0], np.int16) + 25, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(tmp_path / "pets" / "dog" / "00-again.png")
    images[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        tmp_path / "pets" / "cat" / "01-again.png"
    )
    images[2].save(tmp_path / "pets" / "dog" / "02-again.jpg", quality=70)
    return tmp_path / "pets"


def inventory(folder: Path, asked: Asked) -> Inventory:
    source = open_source(Where(str(folder), "/"))
    return take_inventory(source, asked, progress=lambda *_: None)


def test_pictures_that_are_alike_join_one_group(folder: Path) -> None:
    found = inventory(folder, Asked(10_000, alike=True))
    groups = {row.id: row.group for row in found.rows}
    for name in ("dog/00", "cat/01", "dog/02"):
        again = next(one for one in groups if one.startswith(f"{name}-again"))
        assert groups[again] == groups[f"{name}.png"]
    assert len(set(groups.values())) == 40
    assert any("3 pairs of near-duplicates found: 3 groups joined" in n for n in found.notes)
    assert {row.status for row in found.rows} == {"ok"}


def test_they_are_left_alone_where_that_is_asked_for(folder: Path) -> None:
    found = inventory(folder, Asked(10_000))
    assert len({row.group for row in found.rows}) == 43
    assert found.notes == ()


def test_a_training_copy_of_a_test_picture_is_left_out(folder: Path) -> None:
    again = list(folder.glob("*/*-again.*"))
    for part, paths in (("test", again), ("train", sorted(set(folder.glob("*/*")) - set(again)))):
        for path in paths:
            target = folder.parent / "given" / part / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    found = inventory(folder.parent / "given", Asked(10_000, alike=True))
    left_out = {row.id: row.reason for row in found.rows if row.status != "ok"}
    assert set(left_out) == {"train/dog/00.png", "train/cat/01.png", "train/dog/02.png"}
    assert all("near-duplicate across given parts: of test/" in why for why in left_out.values())


@pytest.mark.parametrize(
    ("split", "left_out", "letter"),
    [
        (Split(file="split.csv"), {"dog/00-again.png", "cat/01.png"}, "A"),
        (Split(test_where={"site": ("B",)}), {"dog/00-again.png", "cat/01.png"}, "A"),
        # Each site is tested once; of copies in several, those in the first by name stay.
        (Split(leave_one_out="site"), {"dog/00.png", "cat/01-again.png"}, "C"),
    ],
)
def test_a_copy_across_parts_that_the_study_fixes_is_left_out(
    folder: Path, split: Split, left_out: set[str], letter: str
) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    tested = {"dog/00.png", "cat/01-again.png", "dog/02.png", "dog/02-again.jpg", "cat/03.png"}
    file, table = folder.parent / "split.csv", folder.parent / "sites.csv"
    parts = [f"{name},{'test' if name in tested else 'train'}" for name in names]
    file.write_text("\n".join(["id,part", *parts]))
    sites = [f"{name},{'B' if name in tested else 'A'}" for name in names]
    table.write_text("\n".join(["path,site", *sites]))
    where = Where(str(folder), "/", metadata=str(table), attributes=("site",))
    asked = asked_of(Data(split=split), base=folder.parent)
    assert Asked.from_json(asked.as_json(), split=str(file)) == asked
    rows = take_inventory(open_source(where), asked, progress=lambda *_: None).rows
    assert {row.id for row in rows if row.reason} == left_out
    groups = {row.id: row.group for row in rows}
    assert groups["dog/02.png"] == groups["dog/02-again.jpg"]
    used = [row for row in rows if row.status == "ok"]
    ids = [row.id for row in used]
    design = choose_design(
        split,
        labels=[row.label for row in used],
        groups=[row.group for row in used],
        ids=ids,
        attributes={"site": [row.attributes["site"] for row in used]},
        published=open_split(file, ids=ids, unusable=left_out) if split.file else None,
    )
    assert design.letter == letter


def test_parts_that_are_to_be_ignored_keep_no_copy_out(folder: Path) -> None:
    (folder.parent / "given").mkdir()
    folder.rename(folder.parent / "given" / "train")
    test = folder.parent / "given" / "test" / "dog"
    test.mkdir(parents=True)
    (folder.parent / "given" / "train" / "dog" / "00-again.png").rename(test / "00-again.png")
    asked = Asked(10_000, alike=True, parting=Parting(given=False))
    rows = inventory(folder.parent / "given", asked).rows
    assert {row.status for row in rows} == {"ok"}
    groups = {row.id: row.group for row in rows}
    assert groups["test/dog/00-again.png"] == groups["train/dog/00.png"]


def test_tiny_pictures_are_never_called_alike(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "tiny" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((8, 8), 10 * number + (100 if name == "a" else 0), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "tiny" / name / f"{number}.png")
    found = inventory(tmp_path / "tiny", Asked(10_000, alike=True))
    assert len({row.group for row in found.rows}) == 8


def test_attributes_are_read_off_the_pixels(tmp_path: Path) -> None:
    for number in range(12):
        colour = (200, 25, 30) if number % 2 else (25, 60, 200)
        place = tmp_path / "plain" / ("a" if number % 3 else "b")
        place.mkdir(parents=True, exist_ok=True)
        dimmed = tuple(max(0, channel - 4 * number) for channel in colour)
        Image.new("RGB", (20, 20), dimmed).save(place / f"{number:02}.png")
    found = inventory(tmp_path / "plain", Asked(10_000, derived=("brightness", "background")))
    words = {row.id: row.attributes for row in found.rows}
    assert {one["background"] for one in words.values()} == {"red", "blue"}
    assert sorted({one["brightness"] for one in words.values()}) == ["bright", "dark", "medium"]


def test_joining_never_leaves_a_class_without_enough_groups(tmp_path: Path) -> None:
    photo = pieces(2)
    for name, image in zip(("a", "b"), photo, strict=True):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in range(3):
            brighter = np.minimum(np.asarray(image), 235) + np.uint8(5 * number)
            Image.fromarray(brighter).save(tmp_path / "few" / name / f"{number}.png")
    found = inventory(tmp_path / "few", Asked(10_000, alike=True))
    for name in ("a", "b"):
        assert len({row.group for row in found.rows if row.label == name}) >= 3
    assert any("fewer than 3 groups" in note for note in found.notes)
