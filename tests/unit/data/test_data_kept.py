"""Small images are decoded once: what was kept is what would be decoded again."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthlift.data import kept, stages
from synthlift.data.contract import Where
from synthlift.data.inventory import Asked, read_rows
from synthlift.data.kept import KEPT, hash_images, kept_images
from synthlift.data.sources import open_source
from synthlift.store import Artefact, Store
from synthlift.store.files import hash_file
from synthlift.store.images import PIXELS
from synthlift.types import UInt8

SIZES = [(9, 7), (16, 16), (40, 30), (12, 20)]


def _folder(root: Path) -> Path:
    """Colour and grey images of several sizes, a repeat, a broken file."""
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(8):
            width, height = SIZES[number % 4]
            shape = (height, width, 3) if number % 3 else (height, width)
            pixels = random.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    shutil.copy(root / "cat" / "1.png", root / "cat" / "again.png")
    (root / "dog" / "broken.png").write_bytes(b"nothing")
    return root


def _read(store: Store, folder: Path) -> Artefact:
    source = open_source(Where(str(folder), str(folder)))
    request = stages.read_request(source, Asked(10_000))
    store.compute(request)
    return store.open(request.key)


def _pixels(store: Store, folder: Path, read: Artefact, *, size: int = 16) -> UInt8:
    listing = stages.inventory_request(read)
    store.compute(listing)
    source = open_source(Where(str(folder), str(folder)))
    request = stages.pixels_request(
        listing.key, read=read, source=source, size=size, fit="pad", channels=3
    )
    store.compute(request)
    found: UInt8 = np.load(store.open(request.key).path(PIXELS))
    return found


LIMITS = {
    "everything kept": {},
    "small ones": {"LARGEST_IMAGE": 700},
    "no more room": {"MOST_BYTES": 3000},
    "nothing": {"LARGEST_IMAGE": 0},
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("size", [8, 16, 50])
def test_pixels_do_not_depend_on_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int], size: int
) -> None:
    folder = _folder(tmp_path / "images")
    plain = Store(tmp_path / "plain")
    with monkeypatch.context() as patch:
        patch.setattr(kept, "LARGEST_IMAGE", 0)
        wanted = _pixels(plain, folder, _read(plain, folder), size=size)
    for name, value in limits.items():
        monkeypatch.setattr(kept, name, value)
    store = Store(tmp_path / "store")
    read = _read(store, folder)
    np.testing.assert_array_equal(_pixels(store, folder, read, size=size), wanted)
    images = kept_images(read)
    assert (KEPT in read.record["files"]) == bool(images)
    assert all(image.size <= kept.LARGEST_IMAGE for image in images.values())
    assert sum(image.size for image in images.values()) <= kept.MOST_BYTES
    count = {"everything kept": 17, "nothing": 0}.get(
        next(name for name in LIMITS if LIMITS[name] == limits)
    )
    assert len(images) == count if count is not None else 0 < len(images) < 17


def test_kept_images_need_no_files_any_more(tmp_path: Path) -> None:
    folder, store = _folder(tmp_path / "images"), Store(tmp_path / "store")
    read = _read(store, folder)
    listing = stages.inventory_request(read)
    store.compute(listing)
    source = open_source(Where(str(folder), str(folder)))
    request = stages.pixels_request(
        listing.key, read=read, source=source, size=16, fit="pad", channels=3
    )
    shutil.rmtree(folder)
    assert store.compute(request) == "computed"


def test_without_the_reading_images_are_decoded_again(tmp_path: Path) -> None:
    folder, store = _folder(tmp_path / "images"), Store(tmp_path / "store")
    read = _read(store, folder)
    wanted = _pixels(store, folder, read)
    other = Store(tmp_path / "other")
    moved = stages.inventory_request(read)
    shutil.copytree(store.folder(moved.key), other.folder(moved.key))
    np.testing.assert_array_equal(_pixels(other, folder, read), wanted)


def test_images_that_were_scaled_anew_are_not_kept(tmp_path: Path) -> None:
    for label, value in (("dark", 900), ("light", 4000)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((9, 9), value + number, np.uint16)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    store = Store(tmp_path / "store")
    read = _read(store, tmp_path / "images")
    assert read.summary["white"] == 4095
    assert KEPT not in read.record["files"]
    assert _pixels(store, tmp_path / "images", read, size=9).max() == round(4002 / 4095 * 255)


# ── images that have their size already ───────────────────────────────────────────────────────


def _squares(root: Path, *, grey: bool = False) -> Path:
    """Eight different images of 16 × 16 pixels."""
    random = np.random.default_rng(1)
    for number in range(8):
        path = root / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (16, 16) if grey else (16, 16, 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return root


def _both(store: Store, folder: Path, *, size: int = 16) -> tuple[Artefact, Artefact]:
    """The reading and the pixels, committed."""
    read = _read(store, folder)
    listing = stages.inventory_request(read)
    store.compute(listing)
    source = open_source(Where(str(folder), str(folder)))
    request = stages.pixels_request(
        listing.key, read=read, source=source, size=size, fit="pad", channels=3
    )
    store.compute(request)
    return read, store.open(request.key)


def _hash(path: Path, recorded: str) -> str:
    return hash_images(path) if recorded.startswith("images-sha256:") else hash_file(path)


def _require_right(folder: Path, read: Artefact, pixels: Artefact) -> None:
    rows = [row for row in read_rows(read.path("inventory.parquet")) if row.status == "ok"]
    wanted = [np.asarray(Image.open(folder / row.path).convert("RGB")) for row in rows]
    np.testing.assert_array_equal(np.load(pixels.path(PIXELS)), wanted)
    for artefact in (read, pixels):
        for name, digest in artefact.record["files"].items():
            assert digest == _hash(artefact.path(name), digest)


def test_images_of_the_size_are_there_once(tmp_path: Path) -> None:
    folder = _squares(tmp_path / "images")
    read, pixels = _both(Store(tmp_path / "store"), folder)
    assert pixels.path(PIXELS).samefile(read.path(KEPT))
    _require_right(folder, read, pixels)
    shutil.rmtree(read.folder)  # each lasts without the other
    assert np.load(pixels.path(PIXELS)).shape == (8, 16, 16, 3)


def test_without_hard_links_they_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    folder = _squares(tmp_path / "images")
    monkeypatch.setattr(os, "link", refuse)
    read, pixels = _both(Store(tmp_path / "store"), folder)
    assert not pixels.path(PIXELS).samefile(read.path(KEPT))
    _require_right(folder, read, pixels)


def _repeat(folder: Path) -> None:
    shutil.copy(folder / "cat" / "1.png", folder / "cat" / "again.png")


def _break(folder: Path) -> None:
    (folder / "cat" / "broken.png").write_bytes(b"nothing")


@pytest.mark.parametrize("change", [_repeat, _break])
def test_what_is_left_out_is_in_no_pixels(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = _squares(tmp_path / "images")
    change(folder)
    read, pixels = _both(Store(tmp_path / "store"), folder)
    assert read.summary["usable"] == 8
    _require_right(folder, read, pixels)


def test_other_sizes_and_grey_images_are_brought_to_what_is_asked(tmp_path: Path) -> None:
    wide = _squares(tmp_path / "wide")
    Image.new("RGB", (17, 16), "red").save(wide / "cat" / "wide.png")
    grey = _squares(tmp_path / "grey", grey=True)
    for folder, size in ((wide, 16), (grey, 16), (_squares(tmp_path / "small"), 8)):
        read, pixels = _both(Store(tmp_path / "store"), folder, size=size)
        assert not pixels.path(PIXELS).samefile(read.path(KEPT))
        assert np.load(pixels.path(PIXELS)).shape == (read.summary["usable"], size, size, 3)
        digest = read.record["files"][KEPT]
        assert digest == _hash(read.path(KEPT), digest)
    _require_right(grey, *_both(Store(tmp_path / "store"), grey))
