"""The shared contracts: what can be read, and what raises LeakageError."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from synthlift.errors import LeakageError
from synthlift.rows import as_positions
from synthlift.types import GuardedPixels, ImageSet, LockedTest, UInt8


@pytest.fixture(scope="module")
def pixels() -> UInt8:
    images: UInt8 = (load_digits().images[:20] * 15).astype(np.uint8)[..., np.newaxis]
    images.setflags(write=False)
    return images


@pytest.fixture
def images(pixels: UInt8) -> ImageSet:
    """Rows 0 to 9 of a larger array in which rows 10 to 19 are the locked test."""
    labels = load_digits().target[:10].astype(np.int64)
    names = np.array([f"image-{row}" for row in range(10)])
    return ImageSet(
        ids=names,
        labels=labels,
        groups=np.array([f"patient-{row // 2}" for row in range(10)]),
        classes=tuple("0123456789"),
        source=GuardedPixels(pixels, np.arange(10)),
        attributes={"site": np.array(["left", "right"] * 5)},
    )


@pytest.fixture
def lock() -> LockedTest:
    names = np.array([f"image-{row}" for row in range(10, 20)])
    return LockedTest(ids=names, groups=names, hashes=names)


# ── guarded pixels ────────────────────────────────────────────────────────────────────────────


def test_allowed_rows_are_read_in_the_order_that_was_asked(pixels: UInt8) -> None:
    guarded = GuardedPixels(pixels, np.array([4, 2, 7]))
    assert guarded.shape == (3, 8, 8, 1)
    assert np.array_equal(guarded.read(np.array([2, 0, 0])), pixels[[7, 4, 4]])
    assert guarded.read(np.array([], dtype=np.intp)).shape == (0, 8, 8, 1)


@pytest.mark.parametrize("row", [3, 10, -1, 2**40])
def test_no_other_row_can_be_read(pixels: UInt8, row: int) -> None:
    guarded = GuardedPixels(pixels, np.array([4, 2, 7]))
    with pytest.raises(LeakageError):
        guarded.read(np.array([0, row]))


def test_what_was_read_is_a_copy(pixels: UInt8) -> None:
    guarded = GuardedPixels(pixels, np.arange(3))
    first = guarded.read(np.array([0]))
    first[:] = 255
    assert np.array_equal(guarded.read(np.array([0])), pixels[:1])


def test_no_attribute_leads_to_the_other_rows(pixels: UInt8) -> None:
    guarded = GuardedPixels(pixels, np.arange(3))
    reachable = [getattr(guarded, name) for name in vars(guarded)]
    assert not any(isinstance(value, np.ndarray) for value in reachable)


def test_changing_the_list_of_allowed_rows_afterwards_changes_nothing(pixels: UInt8) -> None:
    allowed = np.arange(3)
    guarded = GuardedPixels(pixels, allowed)
    allowed[:] = 15
    assert np.array_equal(guarded.read(np.arange(3)), pixels[:3])


def test_masks_are_masks_and_not_rows_zero_and_one(pixels: UInt8) -> None:
    mask = np.zeros(20, dtype=bool)
    mask[[5, 9]] = True
    assert np.array_equal(GuardedPixels(pixels, mask).read(np.arange(2)), pixels[[5, 9]])
    assert as_positions(mask, length=20).tolist() == [5, 9]
    with pytest.raises(AssertionError, match="a mask of"):
        as_positions(mask, length=19)
    with pytest.raises(AssertionError, match="not whole numbers"):
        as_positions(np.array([0.5]), length=3)


# ── image sets ────────────────────────────────────────────────────────────────────────────────


def test_a_subset_keeps_rows_together_and_cannot_grow_back(images: ImageSet) -> None:
    part = images.subset(np.array([8, 1]))
    assert part.ids.tolist() == ["image-8", "image-1"]
    assert part.groups.tolist() == ["patient-4", "patient-0"]
    assert part.attributes["site"].tolist() == ["left", "right"]
    assert np.array_equal(part.pixels(), images.pixels(np.array([8, 1])))
    with pytest.raises(LeakageError):
        part.pixels(np.array([2]))


def test_a_subset_by_mask_is_the_same(images: ImageSet) -> None:
    mask = images.labels >= 5
    assert np.array_equal(images.subset(mask).labels, images.labels[mask])
    assert np.array_equal(images.pixels(mask), images.pixels(np.flatnonzero(mask)))


def test_an_empty_subset_has_a_shape(images: ImageSet) -> None:
    empty = images.subset(np.array([], dtype=np.intp))
    assert len(empty) == 0
    assert empty.pixels().shape == (0, 8, 8, 1)
    assert empty.counts().tolist() == [0] * 10


def test_counts_leave_unlabelled_images_out() -> None:
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    images = ImageSet.from_arrays(pixels, [0, 2, 2, -1], ["a", "b", "c"])
    assert images.counts().tolist() == [1, 0, 2]
    assert images.image_shape == (2, 2, 3)
    assert images.groups.tolist() == images.ids.tolist() == ["0", "1", "2", "3"]


def test_the_test_rows_are_out_of_reach_of_an_image_set(images: ImageSet) -> None:
    reach: list[Callable[[], Any]] = [
        lambda: images.pixels(np.array([10])),
        lambda: images.pixels(np.array([-1])),
        lambda: images.source.read(np.arange(20)),
        lambda: images.subset(np.array([0, 15])),
    ]
    for attempt in reach:
        with pytest.raises(LeakageError):
            attempt()
    with pytest.raises(AttributeError):
        images.source = None  # type: ignore[misc, assignment]


# ── the lock ──────────────────────────────────────────────────────────────────────────────────


def test_a_lock_shows_ids_groups_and_hashes(lock: LockedTest) -> None:
    assert len(lock) == 10
    assert lock.ids[0] == lock.groups[0] == lock.hashes[0] == "image-10"


REACHES: list[Callable[[Any], Any]] = [
    lambda lock: lock.pixels(),
    lambda lock: lock.labels,
    lambda lock: lock.source,
    lambda lock: lock.subset([0]),
    lambda lock: lock.counts(),
    lambda lock: lock.attributes,
    lambda lock: lock._pixels,
    lambda lock: lock.anything_else,
    lambda lock: lock[0],
    lambda lock: list(lock),
    lambda lock: next(iter(lock)),
    lambda lock: "image-10" in lock,
    lambda lock: np.asarray(lock),
    lambda lock: setattr(lock, "ids", np.array([])),
    lambda lock: setattr(lock, "pixels", np.zeros(1)),
    lambda lock: delattr(lock, "ids"),
]


@pytest.mark.parametrize("reach", REACHES)
def test_reaching_for_more_is_leakage(lock: LockedTest, reach: Callable[[Any], Any]) -> None:
    with pytest.raises(LeakageError):
        reach(lock)
    assert len(lock) == 10


def test_the_columns_of_a_lock_cannot_be_written(lock: LockedTest) -> None:
    for column in (lock.ids, lock.groups, lock.hashes):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = "other"


def test_a_lock_owns_its_columns() -> None:
    ids = np.array(["a", "b"])
    lock = LockedTest(ids=ids, groups=ids, hashes=ids)
    ids[0] = "changed"
    assert lock.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "travel", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_lock_stays_locked_on_its_way_to_a_worker(
    lock: LockedTest, travel: Callable[[LockedTest], Any]
) -> None:
    arrived = travel(lock)
    assert arrived.ids.tolist() == lock.ids.tolist()
    with pytest.raises(LeakageError):
        _ = arrived.labels
