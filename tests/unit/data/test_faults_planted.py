"""Planted faults (METHOD, issue "any image data"): each kind is found among real images.

Recall: share of the planted faults that are found. False alarms: share of the images without a
planted fault that are flagged; for label errors, share of the images whose label is right.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from synthlift.data.faults.features import simple_features
from synthlift.data.faults.labels import likely_label_errors
from synthlift.data.faults.leaks import conflicts, leaks
from synthlift.data.faults.near_duplicates import (
    NearDuplicates,
    components,
    near_duplicates,
    tightened,
)
from synthlift.types import Int64, UInt8

BASE, EXACT, NEAR, SWAPPED, SEEDS = 330, 10, 20, 30, 3
Edit = Callable[[UInt8, np.random.Generator], UInt8]


def crop(image: UInt8, rng: np.random.Generator) -> UInt8:
    height, width = image.shape[:2]
    share = rng.uniform(0.9, 0.95)
    tall, wide = round(height * share), round(width * share)
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    cut = Image.fromarray(image[top : top + tall, left : left + wide].squeeze())
    return np.asarray(cut.resize((width, height), Image.Resampling.BICUBIC)).reshape(image.shape)


def jpeg(image: UInt8, rng: np.random.Generator) -> UInt8:
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "JPEG", quality=int(rng.integers(40, 80)))
    return np.asarray(Image.open(stream)).reshape(image.shape)


def brighten(image: UInt8, rng: np.random.Generator) -> UInt8:
    brighter: UInt8 = np.clip(image * rng.choice([0.7, 0.8, 1.2, 1.3]), 0, 255).astype(np.uint8)
    return brighter


def flip(image: UInt8, rng: np.random.Generator) -> UInt8:
    return np.ascontiguousarray(image[:, ::-1])


@dataclass(frozen=True)
class Planted:
    """Base images, then 10 exact copies, 20 near-copies, and a test image's copy in train."""

    pixels: UInt8
    labels: Int64
    true: Int64
    sources: Int64
    parts: tuple[str, ...]


def plant(pixels: UInt8, labels: Int64, *, edits: tuple[Edit, ...], seed: int) -> Planted:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(pixels))[:BASE])
    base, true = pixels[rows], labels[rows]
    order = rng.permutation(BASE)
    sources, swapped = order[: EXACT + NEAR + 1], order[-SWAPPED:]
    tested = rng.random(BASE) < 0.3
    tested[sources[-1]] = True
    copies = [base[source] for source in sources[:EXACT]]
    for k, source in enumerate(sources[EXACT:]):
        copies.append(edits[k % len(edits)](base[source], rng))
    true = np.concatenate([true, true[sources]])
    given = true.copy()
    classes = int(labels.max()) + 1
    given[swapped] = (true[swapped] + rng.integers(1, classes, SWAPPED)) % classes
    parts = ["test" if t else "train" for t in [*tested, *tested[sources[:-1]], False]]
    everything = np.concatenate([base, np.stack(copies)])
    return Planted(everything, given, true, sources, tuple(parts))


def check_duplicates(planted: Planted) -> NearDuplicates:
    found = near_duplicates(planted.pixels)
    assert tightened(found, count=len(planted.pixels)) == found, "no component is too large"
    pairs = {(pair.first, pair.second): pair.kind for pair in found.pairs}
    copies = [pairs.get((int(s), BASE + k)) for k, s in enumerate(planted.sources)]
    assert copies[:EXACT].count("exact") >= 0.95 * EXACT
    near = copies[EXACT : EXACT + NEAR]
    assert len(near) - near.count(None) >= 0.8 * NEAR, near
    involved = {row for pair in found.pairs for row in (pair.first, pair.second)}
    clean = set(range(BASE)) - set(planted.sources.tolist())
    assert len(involved & clean) <= 0.05 * len(clean)
    return found


def check_leak(planted: Planted, found: NearDuplicates) -> None:
    crossing = leaks(found.pairs, parts=planted.parts)
    last = len(planted.pixels) - 1
    (planted_leak,) = [leak for leak in crossing if last in leak.rows]
    assert planted_leak.parts == ("train", "test")
    assert last in planted_leak.dropped
    assert int(planted.sources[-1]) not in planted_leak.dropped
    assert sum(len(leak.rows) for leak in crossing) <= 0.05 * BASE


def judge_labels(planted: Planted, found: NearDuplicates) -> tuple[float, float]:
    groups = components(found.pairs, count=len(planted.pixels)).astype(str)
    errors = likely_label_errors(
        simple_features(planted.pixels), labels=planted.labels, groups=groups.tolist()
    )
    wrong = planted.labels != planted.true
    flagged = np.isin(np.arange(len(wrong)), [suspect.row for suspect in errors.suspects])
    return float(flagged[wrong].mean()), float(flagged[~wrong].mean())


def images_of(archive: Path, classes: tuple[str, ...], most: int) -> tuple[UInt8, Int64]:
    """The first images of each class; the class is the innermost folder."""
    pixels: dict[str, list[UInt8]] = {name: [] for name in classes}
    with tarfile.open(archive) as files:
        for member in files:
            own = pixels.get(Path(member.name).parent.name)
            stream = files.extractfile(member)
            if stream is not None and own is not None and len(own) < most:
                own.append(np.asarray(Image.open(stream).convert("RGB")))
            if min(map(len, pixels.values())) == most:
                break
    labels = np.repeat(np.arange(len(classes)), [len(p) for p in pixels.values()])
    return np.concatenate([np.stack(p) for p in pixels.values()]), labels


@pytest.mark.parametrize("seeds", [1, pytest.param(SEEDS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("archive", "classes"),
    [("flowers.tar.gz", ("rose", "sunflower")), ("cifar10.tar.gz", ("frog", "ship"))],
)
def test_planted_faults_are_found_among_photographs(
    archive: str, classes: tuple[str, ...], seeds: int, real_data: Callable[[str], Path]
) -> None:
    pixels, labels = images_of(real_data(archive), classes, 300)
    judged = []
    for seed in range(seeds):
        planted = plant(pixels, labels, edits=(crop, jpeg, brighten, flip), seed=seed)
        found = check_duplicates(planted)
        check_leak(planted, found)
        judged.append(judge_labels(planted, found))
    recall, alarms = np.mean(judged, axis=0)
    assert recall >= 0.6, judged
    assert alarms <= 0.05, judged


def test_where_classes_are_hard_to_tell_the_share_that_is_found_is_estimated(
    real_data: Callable[[str], Path],
) -> None:
    names = ("daisy", "dandelion", "rose", "sunflower", "tulip")
    pixels, labels = images_of(real_data("flowers.tar.gz"), names, 120)
    features, groups = simple_features(pixels), [str(row) for row in range(len(labels))]
    judged = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        wrong = np.isin(np.arange(len(labels)), rng.permutation(len(labels))[: 2 * SWAPPED])
        given = np.where(wrong, (labels + rng.integers(1, 5, len(labels))) % 5, labels)
        errors = likely_label_errors(features, labels=given, groups=groups)
        flagged = np.isin(np.arange(len(wrong)), [suspect.row for suspect in errors.suspects])
        assert flagged[wrong].mean() == pytest.approx(errors.found_share, abs=0.1)
        assert errors.wrong_share == pytest.approx(wrong.mean(), abs=0.05)
        judged.append(flagged[~wrong].mean())
    assert np.mean(judged) <= 0.05, judged


def test_planted_faults_are_found_among_digits() -> None:
    digits = load_digits()
    pixels = (digits.images * 15.9).astype(np.uint8)[..., None]
    # Of 8 pixels, cropping and compression leave too little to tell a copy from another digit.
    planted = plant(pixels, digits.target.astype(np.int64), edits=(brighten, flip), seed=0)
    found = check_duplicates(planted)
    check_leak(planted, found)
    recall, alarms = judge_labels(planted, found)
    assert recall >= 0.6
    assert alarms <= 0.05


def test_one_picture_under_two_labels_is_a_conflict() -> None:
    digits = load_digits()
    pixels = (digits.images[:100] * 15.9).astype(np.uint8)[..., None]
    found = near_duplicates(np.concatenate([pixels, pixels[:2], pixels[2:3, :, ::-1]]))
    labels = [str(k) for k in digits.target[:100]]
    labels += [labels[0], "another", "another"]
    assert [(p.first, p.second, p.kind) for p in conflicts(found.pairs, labels=labels)] == [
        (1, 101, "exact"),
        (2, 102, "near"),
    ]
    labels[101] = ""
    assert [p.second for p in conflicts(found.pairs, labels=labels)] == [102]
