from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift.data import stages
from synthlift.data.contract import Source, Where
from synthlift.data.decode import UnusableImageError
from synthlift.data.inventory import Asked, read_rows
from synthlift.data.masks import read_mask
from synthlift.data.sizes import Fit, resize, resize_mask
from synthlift.data.sources import open_source
from synthlift.errors import InputError, StageError
from synthlift.store import Artefact, StageRequest, Store
from synthlift.types import UInt8

LIMIT = 1_000_000
RNG = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)


def picture(height: int = 12, width: int = 20) -> UInt8:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def spot(height: int = 12, width: int = 20) -> UInt8:
    mask = np.zeros((height, width), np.uint8)
    mask[RNG.integers(0, height), RNG.integers(0, width)] = 255
    return mask


def parts(root: Path, mask_name: str = "{}.png") -> Path:
    """Images of two classes below images/, and masks of all but the first below masks/."""
    for name in ("crack", "free"):
        for i in range(4):
            save(root / "images" / name / f"{i}.jpg", picture())
            if i:
                save(root / "masks" / name / mask_name.format(i), spot())
    return root


def opened(base: Path, *, source: str = "images", masks: str = "masks", **more: Any) -> Source:
    return open_source(Where(source, str(base), masks=masks), **more)


def refusal(base: Path, **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(base, **more)
    return caught.value


def compute(store: Store, request: StageRequest) -> Artefact:
    store.compute(request)
    return store.open(request.key)


def masks_of(store: Store, source: Source, *, size: int = 8, fit: Fit = "pad") -> Artefact:
    read = compute(store, stages.read_request(source, Asked(LIMIT)))
    inventory = compute(store, stages.inventory_request(read)).key
    request = stages.masks_request(inventory, read=read, source=source, size=size, fit=fit)
    return compute(store, request)


@pytest.mark.parametrize("mask_name", ["{}.png", "{}_mask.png", "{}.jpg", "{}_mask.tif", "{}.BMP"])
def test_masks_are_found_by_place_and_name(tmp_path: Path, mask_name: str) -> None:
    parts(tmp_path, mask_name)
    save(tmp_path / "masks" / "free" / "of_nothing.png", spot())
    source = opened(tmp_path)
    found = {item.id: item.mask for item in source.items}
    assert found["crack/0.jpg"] == found["free/0.jpg"] == ""
    assert found["crack/3.jpg"] == f"crack/{mask_name.format(3)}"
    assert list(source.notes) == [
        "masks from 'masks': 6 images have one, 2 have none",
        "1 pictures in 'masks' belong to no image",
    ]
    mask = source.load_mask(found["free/2.jpg"])
    assert np.array_equal(mask, read_mask(tmp_path / "masks" / "free" / mask_name.format(2)))
    assert source.load("free/2.jpg", max_pixels=LIMIT).pixels.shape == (12, 20, 3)
    assert source.file("free/2.jpg") == tmp_path / "images" / "free" / "2.jpg"


def test_masks_among_the_images(tmp_path: Path) -> None:
    """As in BUSI: ``benign (1).png`` beside ``benign (1)_mask.png`` and ``…_mask_1.png``."""
    for name in ("benign", "normal"):
        for i in range(4):
            save(tmp_path / "busi" / name / f"{name} ({i}).png", picture())
            save(tmp_path / "busi" / name / f"{name} ({i})_mask.png", spot())
    save(tmp_path / "busi" / "benign" / "benign (2)_mask_1.png", spot())
    save(tmp_path / "busi" / "benign" / "left_mask.png", picture())  # no mask: there is no "left"
    source = opened(tmp_path, source="busi", masks="busi")
    assert len(source.items) == 9
    found = {item.id: item.mask for item in source.items}
    assert found["benign/benign (2).png"] == "benign/benign (2)_mask.png"
    assert found["benign/left_mask.png"] == ""
    assert "9 masks lay among the images and were not taken for such" in source.notes


def test_a_mask_folder_beside_the_classes_is_no_class(tmp_path: Path) -> None:
    for name in ("crack", "free"):
        for i in range(3):
            save(tmp_path / "set" / name / f"{i}.png", picture())
            save(tmp_path / "set" / "masks" / name / f"{i}.png", spot())
    source = opened(tmp_path, source="set", masks="set/masks")
    assert {item.label for item in source.items} == {"crack", "free"}
    assert [item.mask for item in source.items] == [item.id for item in source.items]


def test_masks_of_another_size(tmp_path: Path) -> None:
    parts(tmp_path)
    for name in ("crack", "free"):
        for i in (1, 2, 3):
            save(tmp_path / "masks" / name / f"{i}.png", spot(20, 12))
    error = refusal(tmp_path)
    assert error.given == (
        "6 masks have another size than their image: "
        + ", ".join(
            f"{name} (12 × 20, image 20 × 12)"
            for name in ("crack/1.jpg", "crack/2.jpg", "crack/3.jpg", "free/1.jpg", "free/2.jpg")
        )
        + " and 1 more"
    )
    assert error.rule.startswith("a mask has the size of its image")
    assert len(opened(tmp_path, strict=False).items) == 8


def test_sizes_are_compared_as_shown(tmp_path: Path) -> None:
    parts(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "images" / "crack" / "1.jpg", picture(20, 12), exif=exif)
    assert opened(tmp_path).items[1].mask == "crack/1.png"


def test_sizes_are_compared_from_headers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    assert len(opened(tmp_path).items) == 8


def test_folders_that_hold_no_masks(tmp_path: Path) -> None:
    parts(tmp_path)
    assert "there is no folder 'maks'" in str(refusal(tmp_path, masks="maks"))
    save(tmp_path / "other" / "a" / "1.png", spot())
    assert refusal(tmp_path, masks="other").given == (
        "none of 8 images has a mask in 'other' (1 pictures)"
    )
    assert "none of 8 images has a mask" in str(refusal(tmp_path, masks="images"))


def test_several_masks_and_damaged_ones(tmp_path: Path) -> None:
    parts(tmp_path)
    save(tmp_path / "masks" / "crack" / "1.bmp", spot())
    assert refusal(tmp_path).given == (
        "1 images have several masks in 'masks': crack/1.jpg (crack/1.bmp, crack/1.png)"
    )
    (tmp_path / "masks" / "crack" / "1.bmp").unlink()
    (tmp_path / "masks" / "crack" / "1.png").write_bytes(b"no picture")
    assert refusal(tmp_path).given == (
        "1 masks cannot be read: 1.png (unreadable: not an image in a known format)"
    )


def test_the_fingerprint_follows_the_masks(tmp_path: Path) -> None:
    parts(tmp_path)
    first = opened(tmp_path).fingerprint
    assert opened(tmp_path).fingerprint == first
    save(tmp_path / "masks" / "crack" / "1.png", 255 - spot())
    assert opened(tmp_path).fingerprint != first


def test_small_region_numbers_of_16_bit_masks_survive(tmp_path: Path) -> None:
    save(tmp_path / "x.png", np.array([[0, 1, 2, 255, 300, 65535]], np.uint16))
    assert read_mask(tmp_path / "x.png").tolist() == [[0, 1, 2, 255, 255, 255]]
    save(tmp_path / "y.png", np.array([[True, False]]))
    assert read_mask(tmp_path / "y.png").tolist() == [[255, 0]]


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize(("height", "width"), [(40, 90), (90, 40), (33, 33), (10, 24)])
def test_a_mask_lies_where_its_object_does(fit: Fit, height: int, width: int) -> None:
    image = np.zeros((height, width, 1), np.uint8)
    image[height // 4 : height // 2, width // 3 : 2 * width // 3] = 255
    small = resize(image, size=32, fit=fit, channels=1)[:, :, 0]
    mask = resize_mask(image[:, :, 0], size=32, fit=fit)
    assert mask.shape == (32, 32)
    assert set(np.unique(mask)) == {0, 255}
    for axis in (0, 1):
        weight, extent = small.sum(axis=axis) / 255, (mask > 0).sum(axis=axis)
        places = np.arange(32)
        # Nearest neighbour rounds each border to a whole pixel.
        assert abs(weight @ places / weight.sum() - extent @ places / extent.sum()) < 0.5
        assert abs((weight > weight.max() / 2).sum() - (extent > 0).sum()) <= 1


def test_padding_is_background(tmp_path: Path) -> None:
    mask = resize_mask(np.full((4, 8), 7, np.uint8), size=8, fit="pad")
    assert mask.tolist() == [[0] * 8] * 2 + [[7] * 8] * 4 + [[0] * 8] * 2


def test_stage_writes_masks_in_the_order_of_the_pixels(tmp_path: Path) -> None:
    parts(tmp_path)
    save(tmp_path / "images" / "crack" / "00.jpg", picture())
    (tmp_path / "images" / "free" / "2.jpg").write_bytes(b"damaged")
    store = Store(tmp_path / "store")
    found = masks_of(store, opened(tmp_path))
    written = np.load(found.path("masks.npy"))
    names = ["crack/0.jpg", "crack/00.jpg", *(f"crack/{i}.jpg" for i in (1, 2, 3))]
    names += [f"free/{i}.jpg" for i in (0, 1, 3)]
    assert written.shape == (8, 8, 8)
    assert found.summary == {
        "shape": [8, 8, 8],
        "without": ["crack/0.jpg", "crack/00.jpg", "free/0.jpg"],
    }
    for row, name in enumerate(names):
        path = (tmp_path / "masks" / name).with_suffix(".png")
        if path.exists():
            expected = resize_mask(read_mask(path), size=8, fit="pad")
            assert np.array_equal(written[row], expected)
        else:
            assert not written[row].any()


def test_key_follows_what_the_masks_show(tmp_path: Path) -> None:
    parts(tmp_path / "a")
    store = Store(tmp_path / "store")
    first = masks_of(store, opened(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert masks_of(store, opened(tmp_path / "b")).key == first.key
    path = tmp_path / "b" / "masks" / "crack" / "1.png"
    save(path, 255 - read_mask(path))
    changed = masks_of(store, opened(tmp_path / "b"))
    assert changed.key != first.key
    assert not np.array_equal(np.load(changed.path("masks.npy")), np.load(first.path("masks.npy")))


def test_a_mask_that_changes_during_the_study_stops_it(tmp_path: Path) -> None:
    parts(tmp_path)
    store = Store(tmp_path / "store")
    source = opened(tmp_path)
    read = compute(store, stages.read_request(source, Asked(LIMIT)))
    inventory = compute(store, stages.inventory_request(read)).key
    path = tmp_path / "masks" / "crack" / "1.png"
    save(path, 255 - read_mask(path))
    request = stages.masks_request(inventory, read=read, source=source, size=8, fit="pad")
    with pytest.raises(StageError, match="a mask changed while the study ran"):
        store.compute(request)


def test_a_mask_damaged_past_its_header_counts_as_none(tmp_path: Path) -> None:
    parts(tmp_path)
    path = tmp_path / "masks" / "crack" / "1.png"
    path.write_bytes(path.read_bytes()[:45])
    store = Store(tmp_path / "store")
    found = masks_of(store, opened(tmp_path))
    assert found.summary["without"] == ["crack/0.jpg", "crack/1.jpg", "free/0.jpg"]


def test_magnetic_tiles(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    with tarfile.open(real_data("magnetic_tile.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "magnetic_tile"
    source = opened(root)
    assert list(source.notes) == ["masks from 'masks': 1,344 images have one, none is without"]
    found = masks_of(Store(tmp_path / "store"), source, size=32)
    masks = np.load(found.path("masks.npy"), mmap_mode="r")
    assert masks.shape == (found.summary["shape"][0], 32, 32)
    assert found.summary["without"] == []
    record = Store(tmp_path / "store").open(found.record["inputs"]["inventory"])
    rows = read_rows(record.path("inventory.parquet"))
    labels = np.array([row.label for row in rows])
    shown = masks.any(axis=(1, 2))
    assert not shown[labels == "free"].any()
    mask_of = {item.id: item.mask for item in source.items}
    marked = np.array([source.load_mask(mask_of[row.id]).any() for row in rows])
    # 119 flawed tiles have an empty mask; a few flaws are smaller than the pixels that are kept.
    assert not shown[~marked].any()
    assert 0.9 < shown[marked].mean() < 1


def test_text_to_image_pool(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    with tarfile.open(real_data("t2i_pool.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = open_source(Where("t2i_pool", str(tmp_path)))
    assert len(source.items) == 597
    assert len({item.label for item in source.items}) == 6
    assert source.load(source.items[0].path, max_pixels=LIMIT).pixels.shape == (224, 224, 3)
    pool = open_source(Where("t2i_pool", str(tmp_path), labelled=False))
    assert [item.id for item in pool.items] == [item.id for item in source.items]
    assert {item.label for item in pool.items} == {""}


# ── transparency ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [255, 7, 0])
def test_what_is_transparent_in_a_mask_is_background(tmp_path: Path, value: int) -> None:
    """White, or of some value, or black: the object is what is drawn."""
    marked = np.zeros((8, 10), dtype=bool)
    marked[2:5, 3:7] = True
    drawn = np.zeros((8, 10, 4), np.uint8)
    drawn[marked] = (value, value, value, 255)
    save(tmp_path / "colours.png", drawn)
    save(tmp_path / "grey.png", drawn[:, :, 2:])
    palette = Image.fromarray(marked.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, *[value] * 3, *[0] * 750])
    palette.save(tmp_path / "palette.png", transparency=0)
    for name in ("colours", "grey", "palette"):
        mask = read_mask(tmp_path / f"{name}.png")
        assert np.array_equal(mask > 0, marked), name
        assert set(mask[marked]) == {value or 255}


def test_transparent_masks_with_soft_rims_and_without_an_object(tmp_path: Path) -> None:
    drawn = np.zeros((4, 4, 4), np.uint8)
    save(tmp_path / "empty.png", drawn)
    assert not read_mask(tmp_path / "empty.png").any()
    drawn[1, 1:3] = (0, 0, 0, 255), (0, 0, 0, 90)  # a black object whose edge is smoothed
    save(tmp_path / "soft.png", drawn)
    assert np.argwhere(read_mask(tmp_path / "soft.png")).tolist() == [[1, 1], [1, 2]]
    drawn[3, 3] = (255, 255, 255, 255)  # with white beside it, black is background again
    save(tmp_path / "both.png", drawn)
    assert np.argwhere(read_mask(tmp_path / "both.png")).tolist() == [[3, 3]]
    drawn[3, 3] = (255, 0, 0, 255)
    save(tmp_path / "red.png", drawn)
    with pytest.raises(UnusableImageError, match="a colour picture"):
        read_mask(tmp_path / "red.png")
