from __future__ import annotations

import numpy as np

from synthlift.data.integrity import category, count_by_category, find_duplicates, pixel_hash


def test_hash_knows_shape_and_values() -> None:
    flat = np.arange(12, dtype=np.uint8)
    shapes = [(3, 4, 1), (4, 3, 1), (2, 2, 3), (1, 12, 1)]
    hashes = {pixel_hash(flat.reshape(shape)) for shape in shapes}
    assert len(hashes) == 4
    turned = flat.reshape(4, 3).T[:, :, None]
    assert pixel_hash(turned) == pixel_hash(np.ascontiguousarray(turned))
    assert pixel_hash(turned) != pixel_hash(flat.reshape(3, 4, 1))


def test_first_copy_stays_and_disagreeing_copies_all_go() -> None:
    reasons = find_duplicates(
        ["b/2", "a/3", "a/1", "a/2", "b/1", "b/3"],
        labels=["b", "a", "a", "a", "b", "b"],
        hashes=["same", "dup", "dup", "same", "alone", "same"],
    )
    assert reasons == {
        "a/3": "duplicate: of a/1",
        "a/2": "same image under different labels: a, b",
        "b/2": "same image under different labels: a, b",
        "b/3": "same image under different labels: a, b",
    }
    assert category("duplicate: of a: b.png") == "duplicate"
    assert count_by_category(reasons.values()) == {
        "same image under different labels": 3,
        "duplicate": 1,
    }
