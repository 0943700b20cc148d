from __future__ import annotations

import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from synthlift.data.grouping import (
    drop_training_copies,
    joined_groups,
    stem_groups,
    suspected_groups,
)

PATIENTS = [f"{'ill' if p % 3 else 'well'}/P{p:03d}_{i}.png" for p in range(30) for i in range(3)]


# ── file names ────────────────────────────────────────────────────────────────────────────────


def test_patients_are_suspected_with_the_option_that_groups_them() -> None:
    found = suspected_groups(PATIENTS)
    assert found is not None
    assert (found.images, found.stems) == (90, 30)
    assert found.warning == (
        "90 images share 30 stems, such as ill/P001_0.png, ill/P001_1.png, ill/P001_2.png: "
        "they may show one patient or object, whose images must not be torn apart"
    )
    assert found.option == "--set data.group=stem"
    assert len(set(stem_groups(PATIENTS))) == 30
    shuffled = random.Random(0).sample(PATIENTS, len(PATIENTS))
    assert suspected_groups(shuffled) == found


@pytest.mark.parametrize(
    "names",
    [
        [f"lesion{k}-{side}.jpg" for k in range(20) for side in "ab"],
        [f"site/{k:05d}_{eye}.tif" for k in range(20) for eye in ("OD", "OS")],
        [f"{k}-{i}.png" for k in range(20) for i in range(4)],
        [*PATIENTS, *(f"well/{k}.png" for k in range(200))],
    ],
)
def test_other_names_that_repeat(names: list[str]) -> None:
    assert suspected_groups(names) is not None


@pytest.mark.parametrize(
    "names",
    [
        [f"cat/img_{i:04d}.png" for i in range(500)],
        [f"{c}/{c}_{i:03d}.png" for c in ("rose", "tulip", "daisy") for i in range(100)],
        [f"n{c:08d}/n{c:08d}_{i}.JPEG" for c in range(20) for i in range(50)],
        [f"{c}/{i:04d}.jpg" for c in "abcdefghijkl" for i in range(50)],
        [f"ISIC_{i:07d}.jpg" for i in range(500)],
        [f"run1_{i:03d}.png" for i in range(500)],
        [f"2024_{k:02d}/x{k:02d}_{i}.png" for k in range(9) for i in range(5)],
        [f"a{i:05d}.png" for i in range(500)] + [f"a{i:05d}_1.png" for i in range(500)],
        [*PATIENTS, *(f"well/{k}.png" for k in range(400))],
        [],
    ],
)
def test_counters_and_few_repeats_are_not_suspected(names: list[str]) -> None:
    assert suspected_groups(names) is None


def test_stems_group_across_folders_and_with_the_bare_stem() -> None:
    names = ["cat/P1_1.png", "dog/P1-b.png", "dog/P1.png", "cat/001.png", "dog/001.png", "a/_1.png"]
    assert stem_groups(names) == ["P1", "P1", "P1", "cat/001.png", "dog/001.png", "a/_1.png"]
    assert stem_groups(["x/a_b_1.png", "x/a_b_2.png", "x/a_c.png"]) == ["a_b", "a_b", "a"]


def test_mere_prefixes_do_not_gather_images() -> None:
    names = [f"img_{i:03d}.png" for i in range(100)]
    assert stem_groups(names) == names
    few = [f"anna_{i}.png" for i in range(5)] + [f"bert_{i}.png" for i in range(5)]
    assert stem_groups(few) == ["anna"] * 5 + ["bert"] * 5


def test_real_names(real_data: Callable[[str], Path]) -> None:
    """Sketches of PACS were drawn from the same photographs; HAM10000's names are counters."""
    found = {}
    for name in ("pacs", "ham10000"):
        with tarfile.open(real_data(f"{name}.tar.gz")) as packed:
            found[name] = [path for path in packed.getnames() if path.endswith(".jpg")]
    assert suspected_groups(found["ham10000"]) is None
    suspicion = suspected_groups(found["pacs"])
    assert suspicion is not None
    assert suspicion.stems > 300
    groups = dict(zip(found["pacs"], stem_groups(found["pacs"]), strict=True))
    drawn = [name for name in found["pacs"] if "/n02503517_8901-" in name]
    assert {groups[name] for name in drawn} == {"n02503517_8901"}
    assert groups["pacs/images/cartoon/giraffe/pic_119.jpg"].endswith("pic_119.jpg")


# ── pictures found to be alike ────────────────────────────────────────────────────────────────


def test_duplicates_join_what_their_groups_hold() -> None:
    groups = ["p1", "p1", "p2", "p3", "p3", "p4"]
    found = joined_groups(groups, [(1, 2), (5, 4)])
    assert found.groups == ["p1", "p1", "p1", "p3", "p3", "p3"]
    assert (found.joined, found.largest, found.too_large) == (2, 2, False)
    assert joined_groups(groups, []).groups == groups
    assert joined_groups([], []).groups == []


def test_a_chain_of_duplicates_over_two_hundredths_is_too_large() -> None:
    groups = [str(i) for i in range(1000)]
    chain = [(i, i + 1) for i in range(19)]
    found = joined_groups(groups, chain)
    assert (found.largest, found.too_large) == (20, False)
    assert joined_groups(groups, [*chain, (19, 20)]).too_large
    # A few copies in a small set are no chain; neither are large declared groups that touch.
    assert not joined_groups(groups[:20], [(0, 1), (1, 2)]).too_large
    assert not joined_groups(["a"] * 500 + ["b"] * 500, [(0, 999)]).too_large


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_joined_groups_are_the_finest_that_keep_pairs_and_groups_together(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(1, 25))
    groups = [f"g{data.draw(st.integers(0, 12))}" for _ in range(n)]
    number = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), max_size=12))
    edges = [*pairs, *((i, groups.index(group)) for i, group in enumerate(groups))]
    rows, columns = zip(*edges, strict=True)
    graph = coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(n, n))
    set_of = connected_components(graph, directed=False)[1].tolist()
    found = joined_groups(groups, pairs).groups
    expected = {frozenset(i for i in range(n) if set_of[i] == k) for k in set(set_of)}
    made = {frozenset(i for i in range(n) if found[i] == name) for name in set(found)}
    assert made == expected
    order = data.draw(st.permutations(range(n)))
    place = {old: new for new, old in enumerate(order)}
    moved = joined_groups(
        [groups[old] for old in order], [(place[j], place[i]) for i, j in reversed(pairs)]
    )
    assert [moved.groups[place[i]] for i in range(n)] == found


def test_copies_across_given_parts_lose_the_training_one() -> None:
    parts = ["train", "test", "train", "validation", "train", "", "test", "train"]
    # 0 copies a test image, 2 a validation image, 3 a test image, 4 and 5 each other.
    pairs = [(0, 1), (2, 3), (3, 6), (4, 5)]
    assert drop_training_copies([parts], pairs) == [0, 2, 3]
    assert drop_training_copies([parts], [(1, 0)]) == [0]
    assert drop_training_copies([parts], []) == []
    assert drop_training_copies([], pairs) == []


def test_copies_under_several_values_that_are_left_out_in_turn_stay_under_one() -> None:
    values = ["photo", "art", "art", "sketch", "photo"]
    draws = [["test" if own == value else "" for own in values] for value in set(values)]
    assert drop_training_copies(draws, [(0, 1), (1, 2)]) == [0]
    assert drop_training_copies(draws, [(3, 4)]) in ([3], [4])
    # One test set in all draws: the copies that are never tested go.
    redrawn = [["test", "train", "pool"], ["test", "pool", "train"]]
    assert drop_training_copies(redrawn, [(0, 1), (0, 2)]) == [1, 2]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_crosses_after_dropping_and_no_test_image_goes(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 25))
    parts = [data.draw(st.sampled_from(["train", "validation", "test"])) for _ in range(n)]
    number = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(number, number), max_size=15))
    dropped = set(drop_training_copies([parts], pairs))
    assert all(parts[i] != "test" for i in dropped)
    for i, j in pairs:
        assert parts[i] == parts[j] or i in dropped or j in dropped
    kept = [i for i in range(n) if i not in dropped]
    place = {old: new for new, old in enumerate(kept)}
    left = [(place[i], place[j]) for i, j in pairs if i in place and j in place]
    joined = joined_groups([str(i) for i in kept], left).groups
    for group in set(joined):
        assert len({parts[i] for i, name in zip(kept, joined, strict=True) if name == group}) == 1
