"""Realism: figures against independent references, floors, and what they must tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from synthlift.types import Float32, Int64
from synthlift.vision.quality import (
    MOST,
    Quality,
    cmmd,
    density_coverage,
    kernel_distance,
    matched_rows,
    measure_quality,
    precision_recall,
    told_apart,
)


def cloud(count: int, *, shift: float = 0.0, seed: int = 0, size: int = 6) -> Float32:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, size)) + shift).astype(np.float32)


def test_kernel_distance_is_the_unbiased_estimate_of_its_definition() -> None:
    x, y = cloud(40), cloud(30, shift=0.5, seed=1)
    kernel = {
        name: polynomial_kernel(a.astype(float), b.astype(float), degree=3, gamma=1 / 6, coef0=1)
        for name, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y))
    }
    off = {
        name: kernel[name][~np.eye(len(kernel[name]), dtype=bool)].mean() for name in ("xx", "yy")
    }
    wanted = off["xx"] + off["yy"] - 2 * kernel["xy"].mean()
    assert kernel_distance(x, y) == pytest.approx(wanted, rel=1e-9)


def test_kernel_distance_of_equal_distributions_is_zero_on_average() -> None:
    found = [kernel_distance(cloud(60, seed=s), cloud(50, seed=1000 + s)) for s in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60)
    assert min(found) < 0 < max(found)


def test_neighbourhood_measures_agree_with_their_definitions() -> None:
    images, real = cloud(50, shift=0.3), cloud(70, seed=1)

    def radii(points: Float32, k: int) -> np.ndarray:
        found, _ = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)
        return np.asarray(found[:, -1])

    apart = np.linalg.norm(images[:, None].astype(float) - real[None].astype(float), axis=2)
    precision = (apart <= radii(real, 3)[None]).any(axis=1).mean()
    recall = (radii(images, 3)[None] >= apart.T).any(axis=1).mean()
    assert precision_recall(images, real=real) == pytest.approx((precision, recall))
    inside = apart <= radii(real, 5)[None]
    assert density_coverage(images, real=real) == pytest.approx(
        (inside.sum() / (5 * len(images)), inside.any(axis=0).mean())
    )


def test_equal_distributions_cannot_be_told_apart_and_shifted_ones_can() -> None:
    assert told_apart(cloud(300), cloud(300, seed=1)) == pytest.approx(0.5, abs=0.08)
    assert told_apart(cloud(300), cloud(100, seed=1)) == pytest.approx(0.5, abs=0.1)
    assert told_apart(cloud(300), cloud(300, seed=1, shift=3)) > 0.95


def digits() -> tuple[Float32, Int64]:
    found = load_digits()
    # The file lists one writer after the other, who can be told apart.
    rows = np.random.default_rng(0).permutation(len(found.target))
    return (found.data / 16).astype(np.float32)[rows], found.target.astype(np.int64)[rows]


def judged(generated: Float32, labels: Int64) -> Quality:
    pixels, target = digits()
    found = measure_quality(
        generated,
        labels,
        train=pixels[:600],
        train_labels=target[:600],
        held_out=pixels[600:1100],
        held_out_labels=target[600:1100],
    )
    assert found is not None
    return found


def test_new_real_images_are_as_good_as_the_floor() -> None:
    pixels, target = digits()
    found = judged(pixels[1100:], target[1100:])
    assert found.generated.kid == pytest.approx(found.floor.kid, abs=0.05)
    assert found.generated.cas == pytest.approx(found.floor.cas, abs=0.04)
    assert found.generated.coverage == pytest.approx(found.floor.coverage, abs=0.08)
    assert found.generated.told_apart < 0.6


def test_each_fault_shows_where_it_should() -> None:
    pixels, target = digits()
    rng = np.random.default_rng(0)
    sound = judged(pixels[1100:], target[1100:]).generated
    noisy = pixels[1100:] + rng.normal(0, 0.4, (697, 64)).astype(np.float32)
    noised = judged(noisy, target[1100:]).generated
    assert noised.kid > sound.kid + 0.02
    assert noised.precision < sound.precision / 2
    lighter = judged(pixels[1100:] * 0.7, target[1100:]).generated
    assert lighter.told_apart > sound.told_apart + 0.2
    first = {label: pixels[1100:][target[1100:] == label][0] for label in range(10)}
    alike = np.stack([first[label] for label in target[1100:].tolist()])
    collapsed = judged(alike, target[1100:]).generated
    assert collapsed.precision > 0.5
    assert collapsed.recall < 0.1
    assert collapsed.coverage < sound.coverage / 3
    shuffled = judged(pixels[1100:], rng.permutation(target[1100:])).generated
    assert shuffled.cas < 0.3
    assert sound.cas > 0.85


def test_both_sides_are_drawn_in_the_proportions_of_held_out_images() -> None:
    generated = np.repeat([0, 1, 2], [100, 100, 5])
    train = np.repeat([0, 1, 3], [200, 60, 10])
    held_out = np.repeat([0, 1, 2], [40, 20, 10])
    mine, theirs, real = matched_rows(generated, train=train, held_out=held_out, seed=0)
    assert np.bincount(generated[mine]).tolist() == [100, 50]
    assert np.bincount(train[theirs]).tolist() == [100, 50]
    assert np.bincount(held_out[real]).tolist() == [40, 20]
    again = matched_rows(generated, train=train, held_out=held_out, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip((mine, theirs, real), again, strict=True))


def test_no_side_is_larger_than_what_fits_in_memory() -> None:
    many = np.zeros(3 * MOST, np.int64)
    assert {len(rows) for rows in matched_rows(many, train=many, held_out=many, seed=0)} == {MOST}


def test_too_few_images_are_not_measured() -> None:
    few = cloud(9)
    labels = np.zeros(9, np.int64)
    assert (
        measure_quality(
            few,
            labels,
            train=few,
            train_labels=labels,
            held_out=few,
            held_out_labels=labels,
        )
        is None
    )


def unit(count: int, *, seed: int, shift: float = 0.0) -> Float32:
    """Embeddings of length 1."""
    drawn = cloud(count, seed=seed) + np.float32(shift)
    found: Float32 = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


def test_cmmd_is_the_authors_estimate_of_its_definition() -> None:
    from sklearn.metrics.pairwise import rbf_kernel

    x, y = unit(40, seed=0), unit(30, seed=1, shift=0.5)
    a, b, gamma = x.astype(np.float64), y.astype(np.float64), 1 / (2 * 10**2)
    within = [rbf_kernel(z, gamma=gamma).mean() for z in (a, b)]
    between = rbf_kernel(a, b, gamma=gamma).mean()
    assert cmmd(x, y) == pytest.approx(1000 * (sum(within) - 2 * between), rel=1e-5)
    assert cmmd(x, x) == pytest.approx(0, abs=1e-9)


def test_cmmd_tells_a_gap_from_its_floor() -> None:
    floor = cmmd(unit(100, seed=2), unit(100, seed=3))
    assert floor > 0
    assert cmmd(unit(100, seed=4), unit(100, seed=3)) < 2 * floor
    assert cmmd(unit(100, seed=4, shift=1), unit(100, seed=3)) > 5 * floor
    assert cmmd(unit(400, seed=2), unit(400, seed=3)) < floor / 2  # the fewer, the larger
