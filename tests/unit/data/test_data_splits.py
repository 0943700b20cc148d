from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlift.data.designs import Design, choose_design, groups_per_class
from synthlift.data.splits import (
    SplitTable,
    content_hash,
    count_parts,
    make_split,
)
from synthlift.data.subsampling import long_tail_counts
from synthlift.errors import InputError
from synthlift.spec.data import LongTail, Split

Rows = tuple[list[str], list[str], list[str]]
DESIGNS = ("fixed", "redrawn", "cross_validated")


def rows(counts: dict[str, int], *, images_per_group: int = 1) -> Rows:
    """Ids, labels and groups; class by class."""
    ids, labels, groups = [], [], []
    for name, n in counts.items():
        for i in range(n):
            ids.append(f"{name}/{i:05d}")
            labels.append(name)
            groups.append(f"{name}-{i // images_per_group}")
    return ids, labels, groups


def split(data: Rows, seed: int = 0, **section: Any) -> tuple[Design, SplitTable]:
    ids, labels, groups = data
    design = choose_design(Split(**section), labels=labels, groups=groups)
    return design, make_split(design, ids=ids, labels=labels, groups=groups, seed=seed)


def parts_by_draw(table: SplitTable) -> list[dict[str, str]]:
    draws: dict[int, dict[str, str]] = defaultdict(dict)
    for draw, name, part in zip(table.draw, table.id, table.part, strict=True):
        assert name not in draws[int(draw)], "an image has two parts"
        draws[int(draw)][str(name)] = str(part)
    return [draws[i] for i in range(len(draws))]


def group_counts(data: Rows, parts: dict[str, str]) -> dict[str, dict[str, int]]:
    """Groups by part and class, counted independently of the code under test."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, label, group in zip(*data, strict=True):
        found[parts[name]][label].add(group)
    return {part: {c: len(g) for c, g in cells.items()} for part, cells in found.items()}


@st.composite
def data_sets(draw: st.DrawFn, mixed: bool = False) -> Rows:
    """2 to 4 classes of 3 to 25 groups with 1 to 4 images; groups of several classes if mixed."""
    ids, labels, groups = [], [], []
    for k in range(draw(st.integers(2, 4))):
        for g in range(draw(st.integers(3, 25))):
            for i in range(draw(st.integers(1, 4))):
                ids.append(f"{k}/{g}/{i}")
                labels.append(f"class {k}")
                groups.append(f"group {g}" if mixed and g % 2 else f"group {k}.{g}")
    return ids, labels, groups


@settings(max_examples=40, deadline=None)
@given(data_sets(mixed=True), st.sampled_from(DESIGNS), st.integers(0, 99))
def test_groups_stay_whole_whatever_they_hold(data: Rows, kind: str, seed: int) -> None:
    design, table = split(data, seed, design=kind)
    group_of = dict(zip(data[0], data[2], strict=True))
    draws = parts_by_draw(table)
    assert len(draws) == design.draws
    for parts in draws:
        assert set(parts) == set(data[0])
        seen: dict[str, set[str]] = defaultdict(set)
        for name, part in parts.items():
            seen[group_of[name]].add(part)
        assert all(len(found) == 1 for found in seen.values())


@settings(max_examples=40, deadline=None)
@given(data_sets(mixed=True), st.sampled_from(DESIGNS), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(data: Rows, kind: str, random: Any) -> None:
    order = list(range(len(data[0])))
    random.shuffle(order)
    shuffled = tuple([column[i] for i in order] for column in data)
    first = split(data, 3, design=kind)
    second = split((shuffled[0], shuffled[1], shuffled[2]), 3, design=kind)
    assert first[0] == second[0]
    for name in ("draw", "id", "part"):
        assert np.array_equal(getattr(first[1], name), getattr(second[1], name))


@settings(max_examples=60, deadline=None)
@given(data_sets(), st.sampled_from(DESIGNS), st.integers(0, 99))
def test_every_class_is_in_every_part(data: Rows, kind: str, seed: int) -> None:
    for parts in parts_by_draw(split(data, seed, design=kind)[1]):
        found = group_counts(data, parts)
        for part in ("train", "validation", "test"):
            assert set(found[part]) == set(data[1]), (part, found)


@settings(max_examples=60, deadline=None)
@given(data_sets(), st.integers(0, 99), st.floats(0.05, 0.6), st.floats(0.05, 0.5))
def test_fixed_shares_are_exact_to_rounding(
    data: Rows, seed: int, test: float, validation: float
) -> None:
    _, table = split(data, seed, design="fixed", test=test, validation=validation)
    found = group_counts(data, parts_by_draw(table)[0])
    for name, n in groups_per_class(data[1], data[2]).items():
        tested = max(1, min(round(test * n), n - 2))
        rest = n - tested
        assert found["test"][name] == tested
        assert found["validation"][name] == max(1, min(round(validation * rest), rest - 1))


@settings(max_examples=40, deadline=None)
@given(data_sets(), st.integers(0, 99), st.integers(2, 6))
def test_folds_are_disjoint_complete_and_even(data: Rows, seed: int, folds: int) -> None:
    design, table = split(data, seed, design="cross_validated", folds=folds, repeats=2)
    draws = parts_by_draw(table)
    counts = groups_per_class(data[1], data[2])
    assert design.folds == min(folds, *counts.values())
    for repeat in range(2):
        tested = []
        for fold in range(design.folds):
            parts = draws[repeat * design.folds + fold]
            tested += [name for name, part in parts.items() if part == "test"]
            for name, n in counts.items():
                share = n / design.folds
                assert (
                    int(share) <= group_counts(data, parts)["test"][name] <= -(-n // design.folds)
                )
        assert sorted(tested) == sorted(data[0])


@settings(max_examples=40, deadline=None)
@given(data_sets(mixed=True), st.integers(0, 99))
def test_mixed_groups_leave_every_class_something_to_train_on(data: Rows, seed: int) -> None:
    for parts in parts_by_draw(split(data, seed, design="fixed")[1]):
        assert set(group_counts(data, parts)["train"]) == set(data[1])


def test_two_folds_of_three_groups_train_before_they_validate() -> None:
    data = rows({"a": 3, "b": 30})
    for parts in parts_by_draw(split(data, design="cross_validated", folds=2)[1]):
        found = group_counts(data, parts)
        assert found["train"]["a"] == 1
        assert found["test"]["a"] + found["validation"].get("a", 0) == 2


def patients() -> Rows:
    """120 patients with 4 images each, of up to three classes."""
    rng = np.random.default_rng(0)
    ids, labels, groups = [], [], []
    for patient in range(120):
        for i, label in enumerate(rng.choice(["a", "b", "c"], size=4, p=[0.6, 0.3, 0.1])):
            ids.append(f"{patient}/{i}")
            labels.append(str(label))
            groups.append(f"patient {patient}")
    return ids, labels, groups


def test_folds_stay_even_with_patients_of_several_classes() -> None:
    data = patients()
    counts = groups_per_class(data[1], data[2])
    for parts in parts_by_draw(split(data, 5, design="cross_validated")[1]):
        for name, n in group_counts(data, parts)["test"].items():
            assert abs(n - counts[name] / 5) <= 2


@pytest.mark.parametrize("seed", range(5))
def test_shares_hold_with_patients_of_several_classes(seed: int) -> None:
    data = patients()
    found = group_counts(data, parts_by_draw(split(data, seed, design="fixed")[1])[0])
    for name, n in groups_per_class(data[1], data[2]).items():
        assert abs(found["test"][name] - 0.2 * n) <= 1


@pytest.mark.parametrize("seed", range(8))
def test_overlapping_classes_keep_groups_to_train_and_choose_with(seed: int) -> None:
    # Any two of these classes share two of four groups, so that one test group each is too much.
    holds = {"v": "123", "x": "234", "y": "134", "z": "124"}
    cells = [(label, group) for label, groups in holds.items() for group in groups]
    data = (["".join(cell) for cell in cells], [c for c, _ in cells], [g for _, g in cells])
    found = group_counts(data, parts_by_draw(split(data, seed, design="fixed")[1])[0])
    assert all(3 - found["test"].get(name, 0) >= 2 for name in holds)


def test_seeds_and_repeats_differ_and_repeat_themselves() -> None:
    data = rows({"a": 40, "b": 30})
    first = split(data, 1)[1]
    assert np.array_equal(first.part, split(data, 1)[1].part)
    assert not np.array_equal(first.part, split(data, 2)[1].part)
    draws = parts_by_draw(first)
    tests = [{n for n, part in parts.items() if part == "test"} for parts in draws]
    assert len(tests) == 10
    assert len({frozenset(test) for test in tests}) == 10


def test_long_tail_profile() -> None:
    assert long_tail_counts(10, 40, 3).tolist() == [40, 30, 22, 17, 13, 9, 7, 5, 4, 3]
    assert long_tail_counts(2, 50, 50).tolist() == [50, 50]
    assert long_tail_counts(1, 9, 3).tolist() == [9]


def test_redrawn_training_sets_follow_the_tail_beside_one_locked_test() -> None:
    data = rows({str(k): 180 for k in range(10)})
    tail = LongTail(largest=40, smallest=3)
    design, table = split(data, design="auto", long_tail=tail, draws=5)
    assert (design.letter, design.draws) == ("B", 5)
    draws = parts_by_draw(table)
    tests = {frozenset(n for n, p in parts.items() if p == "test") for parts in draws}
    trains = {frozenset(n for n, p in parts.items() if p == "train") for parts in draws}
    assert (len(tests), len(trains)) == (1, 5)
    expected = [40, 30, 22, 17, 13, 9, 7, 5, 4, 3]
    for parts in draws:
        found = group_counts(data, parts)
        assert list(found["train"].values()) == expected
        assert list(found["test"].values()) == [36] * 10
        # A tenth of train + validation: 4.4, 3.3, 2.4, 1.9, 1.4, 1, 0.8, 0.6, 0.4, 0.3.
        assert list(found["validation"].values()) == [4, 3, 2, 2, 1, 1, 1, 1, 1, 1]
        assert sum(found["pool"].values()) == 1800 - 360 - 150 - 17


def test_redrawn_without_subsampling_takes_half_the_pool() -> None:
    data = rows({"a": 100, "b": 50})
    for parts in parts_by_draw(split(data, design="redrawn", draws=3)[1]):
        found = group_counts(data, parts)
        assert found["train"] == {"a": 36, "b": 18}
        assert found["validation"] == {"a": 4, "b": 2}
        assert found["pool"] == {"a": 40, "b": 20}


def test_per_class_counts_groups_not_images() -> None:
    data = rows({"a": 120, "b": 90}, images_per_group=3)
    for parts in parts_by_draw(split(data, per_class=10, draws=2)[1]):
        assert group_counts(data, parts)["train"] == {"a": 10, "b": 10}
        assert sum(part == "train" for part in parts.values()) == 60


def test_draw_larger_than_the_pool() -> None:
    data = rows({"a": 50, "b": 20})
    with pytest.raises(InputError) as caught:
        split(data, per_class=16)
    assert str(caught.value) == (
        "class 'b' has 16 groups outside the test set, but a draw needs 16 to train on and 2 to "
        "validate with\n"
        "  Rule: every draw of the redrawn design is taken without replacement from what the "
        "test set leaves\n"
        "  Remedy: lower data.split.long_tail, data.split.per_class or data.split.test"
    )


@pytest.mark.parametrize(
    ("counts", "section", "letter", "reason"),
    [
        ({"a": 1500, "b": 1499}, {}, "C", "cross-validated, since 2,999 images are below 3,000"),
        (
            {"a": 1500, "b": 1500},
            {},
            "A",
            "fixed, since there are 3,000 images and at least 300 test groups in every class",
        ),
        (
            {"a": 3000, "b": 140},
            {},
            "C",
            "cross-validated, since class 'b' would have only 28 test groups, below 30",
        ),
        ({"a": 9, "b": 9}, {"design": "fixed"}, "A", "as asked for"),
        (
            {"a": 50, "b": 4},
            {},
            "C",
            (
                "cross-validated, since 54 images are below 3,000; 4 folds instead of 5, since "
                "class 'b' has only 4 groups"
            ),
        ),
        (
            {"a": 50, "b": 50},
            {"per_class": 5},
            "B",
            "redrawn, since each training set is subsampled from the pool",
        ),
    ],
)
def test_design_and_reason(
    counts: dict[str, int], section: dict[str, Any], letter: str, reason: str
) -> None:
    _, labels, groups = rows(counts)
    design = choose_design(Split(**section), labels=labels, groups=groups)
    assert (design.letter, design.reason) == (letter, reason)
    restored = Design.from_config(design.config())
    assert restored.config() == design.config()


def test_class_with_too_few_groups() -> None:
    _, labels, groups = rows({"a": 30, "b": 8}, images_per_group=4)
    with pytest.raises(InputError) as caught:
        choose_design(Split(), labels=labels, groups=groups)
    assert caught.value.given == "too few usable groups: 'b' has 2"


@pytest.mark.parametrize("kind", ["fixed", "cross_validated"])
def test_subsampling_belongs_to_the_redrawn_design(kind: str) -> None:
    _, labels, groups = rows({"a": 30, "b": 30})
    section = Split.model_validate({"design": kind, "per_class": 5})
    with pytest.raises(InputError) as caught:
        choose_design(section, labels=labels, groups=groups)
    assert str(caught.value) == (
        f"data.split subsamples its draws, but its design is {kind}\n"
        "  Rule: long_tail and per_class belong to the redrawn design, which draws training sets "
        "from a pool\n"
        "  Remedy: set data.split.design to redrawn, or remove long_tail and per_class"
    )


def test_counts_by_draw_part_and_class() -> None:
    data = rows({"a": 12, "b": 9}, images_per_group=3)
    _, table = split(data, design="fixed")
    counts = count_parts(
        table,
        label_of=dict(zip(data[0], data[1], strict=True)),
        group_of=dict(zip(data[0], data[2], strict=True)),
    )
    assert counts["groups"] == [
        {
            "train": {"a": 2, "b": 1},
            "validation": {"a": 1, "b": 1},
            "test": {"a": 1, "b": 1},
            "pool": {"a": 0, "b": 0},
        }
    ]
    assert counts["images"][0]["train"] == {"a": 6, "b": 3}


def test_content_hash_ignores_order_only() -> None:
    assert content_hash(["x", "y"]) == content_hash(["y", "x"]) != content_hash(["x", "y", "y"])


def test_large_sets_are_split_quickly() -> None:
    import time

    data = rows({str(k): 6000 for k in range(10)})
    began = time.perf_counter()
    split(data, design="fixed")
    assert time.perf_counter() - began < 10
