from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from synthlift.data.faults.alignment import align, edge_correlation, inverted
from synthlift.data.faults.leaks import Leak, leaks
from synthlift.data.faults.near_duplicates import (
    LOOSEST,
    NearDuplicates,
    Pair,
    components,
    near_duplicates,
    tightened,
)
from synthlift.data.faults.perceptual import (
    VARIANTS,
    best_of_each,
    look_alikes,
    thumbnails,
    turn,
)
from synthlift.types import Float32, UInt8


def drawn(count: int, *, side: int = 32, channels: int = 3, seed: int = 0) -> UInt8:
    """Smooth random pictures, no two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    out = np.zeros((count, side, side, channels))
    for image in out:
        for _ in range(12):
            fy, fx, phase, size = rng.uniform((0, 0, 0, 0.2), (6, 6, 6.3, 1))
            wave = np.cos(6.3 * (fy * y + fx * x) + phase)
            image += size * wave[..., None] * rng.uniform(0.5, 1, channels)
    low, high = out.min(axis=(1, 2, 3), keepdims=True), out.max(axis=(1, 2, 3), keepdims=True)
    scaled: UInt8 = ((out - low) / (high - low) * 255).astype(np.uint8)
    return scaled


def rows_of(found: NearDuplicates) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in found.pairs]


@pytest.mark.parametrize("turned", range(8))
@pytest.mark.parametrize("count", [20, 150])
def test_every_flip_and_quarter_turn_is_found(turned: int, count: int) -> None:
    images = drawn(count)
    copy = np.rot90(images[7][:, ::-1] if turned >= 4 else images[7], turned % 4)
    copy = np.clip(copy * 0.7 + 20, 0, 255).astype(np.uint8)
    found = near_duplicates(np.concatenate([images, copy[None]]))
    assert rows_of(found) == [(7, count)]
    assert found.pairs[0].kind == "near"
    assert found.pairs[0].distance < 0.05


def test_grey_images_of_any_size_are_compared() -> None:
    images = drawn(40, side=50, channels=1)
    found = near_duplicates(np.concatenate([images, images[3:4] // 2 + 40, images[5:6]]))
    assert [(p.first, p.second, p.kind) for p in found.pairs] == [
        (3, 40, "near"),
        (5, 41, "exact"),
    ]
    assert thumbnails(images).shape == (40, 32, 32)


def test_exact_copies_are_joined_to_the_first_only() -> None:
    images = drawn(30)
    flipped = np.ascontiguousarray(images[2:3, :, ::-1])
    found = near_duplicates(np.concatenate([images, images[2:3], images[2:3], flipped]))
    assert [(p.first, p.second, p.kind) for p in found.pairs] == [
        (2, 30, "exact"),
        (2, 31, "exact"),
        (2, 32, "near"),
    ]
    by_name = near_duplicates(images[:3], hashes=["a", "b", "a"])
    assert by_name.pairs == (Pair(0, 2, 0.0, "exact"),)


def test_images_without_structure_are_no_copies_of_each_other() -> None:
    noise = np.random.default_rng(0).integers(0, 3, (5, 32, 32, 3))
    blank = (np.arange(5)[:, None, None, None] * 40 + noise).astype(np.uint8)
    assert near_duplicates(np.concatenate([drawn(20), blank])).pairs == ()
    assert near_duplicates(drawn(1)).pairs == ()
    assert near_duplicates(np.zeros((0, 32, 32, 3), np.uint8)).pairs == ()


def test_the_order_of_files_changes_nothing() -> None:
    images = drawn(120)
    copies = np.clip(images[:20, ::-1] * 1.2, 0, 255).astype(np.uint8)
    everything = np.concatenate([images, copies])
    order = np.random.default_rng(1).permutation(len(everything))
    plain, shuffled = near_duplicates(everything), near_duplicates(everything[order])
    back = {tuple(sorted(order[list(p[:2])].tolist())): p.distance for p in shuffled.pairs}
    assert back.keys() == set(rows_of(plain))
    assert [back[p.first, p.second] for p in plain.pairs] == pytest.approx(
        [p.distance for p in plain.pairs], abs=1e-3
    )


def test_small_digits_make_the_threshold_strict() -> None:
    digits = (load_digits().images[:400] * 15.9).astype(np.uint8)[..., None]
    found = near_duplicates(digits)
    assert found.threshold < LOOSEST / 4
    assert len(found.pairs) <= 4
    assert len(near_duplicates(digits, threshold=LOOSEST).pairs) > 200


def test_alignment_recovers_scale_and_shift() -> None:
    large = drawn(8, side=64)[..., 0].astype(np.float32)
    y, x = np.arange(32) * 1.8 + 3, np.arange(32) * 1.8 + 1
    crop = large[:, y.astype(int)][:, :, x.astype(int)]
    whole = large[:, ::2, ::2]
    found = align(crop, whole, steps=12)
    assert found[:, :2].mean(axis=0) == pytest.approx([0.9, 0.9], abs=0.03)
    assert float(edge_correlation(crop, whole, found).min()) > 0.85
    nothing = np.tile(np.array([1, 1, 0, 0], np.float32), (8, 1))
    assert float(edge_correlation(crop, whole, nothing).max()) < 0.8
    assert inverted(inverted(found)) == pytest.approx(found, abs=1e-5)


def test_turning_undoes_nothing_twice() -> None:
    images = np.arange(2 * 9, dtype=np.float32).reshape(2, 3, 3)
    seen: list[Float32] = [turn(images, np.full(2, v)) for v in range(len(VARIANTS))]
    assert len({image.tobytes() for image in seen}) == 8
    for v, (transpose, _, _) in enumerate(VARIANTS):
        if not transpose:
            assert (turn(seen[v], np.full(2, v)) == images).all()


def test_the_tiles_miss_no_pair() -> None:
    # More images than a tile is wide: copies lie in other tiles than their originals.
    grey = np.random.default_rng(0).integers(0, 256, (2600, 8, 8), dtype=np.uint8)
    grey = grey.repeat(4, axis=1).repeat(4, axis=2)
    grey[2500:] = grey[:100]
    candidates = look_alikes(grey)
    pairs = set(zip(candidates.first.tolist(), candidates.second.tolist(), strict=True))
    assert {(k, 2500 + k) for k in range(100)} <= pairs
    assert (candidates.first < candidates.second).all()


pair_lists = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from([0.05, 0.1, 0.2, 0.28])),
    max_size=20,
)


def as_pairs(drawn_pairs: list[tuple[int, int, float]]) -> tuple[Pair, ...]:
    unique = {(min(a, b), max(a, b)): d for a, b, d in drawn_pairs if a != b}
    return tuple(sorted(Pair(a, b, d, "near") for (a, b), d in unique.items()))


@given(pair_lists)
@settings(max_examples=60)
def test_components_are_what_walking_reaches(found: list[tuple[int, int, float]]) -> None:
    pairs = as_pairs(found)
    label = components(pairs, count=12)
    expected = list(range(12))
    for _ in range(12):
        for pair in pairs:
            low = min(expected[pair.first], expected[pair.second])
            expected[pair.first] = expected[pair.second] = low
    assert label.tolist() == expected


def sizes_of(pairs: Iterable[Pair]) -> dict[int, int]:
    return dict(Counter(components(list(pairs), count=12).tolist()))


@given(pair_lists, st.sampled_from([0.1, 0.25, 0.5]))
@settings(max_examples=60)
def test_tightening_keeps_as_much_of_each_component_as_the_share_allows(
    found: list[tuple[int, int, float]], share: float
) -> None:
    before = NearDuplicates(as_pairs(found), 0.28)
    after = tightened(before, count=12, share=share)
    limit = max(2, share * 12)
    assert max(sizes_of(after.pairs).values()) <= limit
    label = components(before.pairs, count=12)
    for root, size in sizes_of(before.pairs).items():
        own = [pair for pair in before.pairs if label[pair.first] == root]
        kept = [pair for pair in after.pairs if label[pair.first] == root]
        if size <= limit:
            assert kept == own, "what fits is left alone, whatever other components are like"
            continue
        furthest = max((pair.distance for pair in kept), default=0)
        assert kept == [pair for pair in own if pair.distance <= furthest]
        least = min(pair.distance for pair in own if pair not in kept)
        more = sizes_of(pair for pair in own if pair.distance <= least)
        assert max(more.values()) > limit


@given(pair_lists, st.integers(1, 3))
@settings(max_examples=60)
def test_best_of_each_keeps_the_best_of_every_row(
    found: list[tuple[int, int, float]], count: int
) -> None:
    pairs = as_pairs(found)
    first, second, value = (np.array([p[k] for p in pairs]) for k in range(3))
    kept = best_of_each(
        first.astype(np.intp), second.astype(np.intp), value.astype(np.float32), count=count
    )
    expected = set()
    for row in range(12):
        own = [p for p in pairs if row in p[:2]]
        own.sort(key=lambda p: (-np.float32(p.distance), p.first + p.second - row))
        expected |= {p[:2] for p in own[:count]}
    assert [pairs[k][:2] for k in kept] == sorted(expected)


def test_the_training_copy_goes() -> None:
    pairs = [Pair(0, 1, 0.0, "exact"), Pair(1, 4, 0.1, "near"), Pair(2, 3, 0.1, "near")]
    parts = ["train", "test", "train", "validation", "validation", ""]
    assert leaks(pairs, parts=parts) == [
        Leak((0, 1, 4), ("train", "validation", "test"), (0, 4)),
        Leak((2, 3), ("train", "validation"), (2,)),
    ]
    assert leaks([Pair(0, 2, 0.0, "exact"), Pair(1, 5, 0.0, "exact")], parts=parts) == []
