from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlift.data.designs import Design
from synthlift.data.subsampling import draw_sizes
from synthlift.store import digest
from tests.unit.data.splitting import (
    Columns,
    assert_whole,
    classes,
    images,
    parts_by_draw,
    per_class,
    refusal,
    split,
)

# ── draws ─────────────────────────────────────────────────────────────────────────────────────


def test_few_labels_and_an_unlabelled_pool() -> None:
    data = classes({"a": 100, "b": 50})
    design, table = split(data, labels_per_class=9, draws=3)
    assert (design.letter, design.reason) == (
        "B",
        "redrawn, since each training set is subsampled from the pool",
    )
    draws = parts_by_draw(table)
    assert len({frozenset(n for n, p in parts.items() if p == "train") for parts in draws}) == 3
    for parts in draws:
        assert per_class(data, parts, "train") == [9, 9]
        assert per_class(data, parts, "validation") == [1, 1]
        assert per_class(data, parts, "test") == [20, 10]
        assert per_class(data, parts, "unlabelled") == [70, 30]
        assert per_class(data, parts, "pool") == [0, 0]
    assert refusal(data, labels_per_class=38).given == (
        "class 'b' has 40 groups outside the test set, but a draw needs 38 to train on and 4 to "
        "validate with"
    )


@pytest.mark.parametrize(
    ("fraction", "train", "validation"),
    [
        (0.1, [7, 3], [1, 1]),
        (0.5, [36, 18], [4, 2]),
        (1.0, [72, 36], [8, 4]),
        (0.001, [1, 1], [1, 1]),
    ],
)
def test_fraction_of_the_pool(fraction: float, train: list[int], validation: list[int]) -> None:
    data = classes({"a": 100, "b": 50})
    for parts in parts_by_draw(split(data, fraction=fraction, draws=2)[1]):
        assert per_class(data, parts, "train") == train
        assert per_class(data, parts, "validation") == validation
        rest = [80 - train[0] - validation[0], 40 - train[1] - validation[1]]
        assert per_class(data, parts, "pool") == rest


def test_long_tail_by_ratio_is_as_large_as_the_pool_allows() -> None:
    """CIFAR-10 LT with its own test set: n_max · 100^(−k/9) of 500 a class, a tenth to choose."""
    names = [f"class {k}" for k in range(10)]
    data = images({"train": dict.fromkeys(names, 500), "test": dict.fromkeys(names, 100)})
    design, table = split(data, long_tail={"ratio": 100}, draws=2)
    assert (design.long_tail, design.long_tail_ratio) == (None, (None, 100.0))
    for parts in parts_by_draw(table):
        train = per_class(data, parts, "train")
        assert train == [round(450 * 100 ** (-k / 9)) for k in range(10)]
        assert train[0] + per_class(data, parts, "validation")[0] == 500
        assert per_class(data, parts, "test") == [100] * 10


def test_long_tail_is_held_down_by_the_class_that_can_give_least() -> None:
    # Class b has 20 groups outside the test set, 18 of them to train on: a tenth of class a's,
    # where 185 is the most that rounds down.
    data = classes({"a": 1000, "b": 25})
    parts = parts_by_draw(split(data, long_tail={"ratio": 10})[1])[0]
    assert per_class(data, parts, "train") == [185, 18]
    asked = parts_by_draw(split(data, long_tail={"ratio": 10, "largest": 90})[1])[0]
    assert per_class(data, asked, "train") == [90, 9]
    smallest = parts_by_draw(split(data, long_tail={"smallest": 4})[1])[0]
    assert per_class(data, smallest, "train") == [720, 4]


def test_long_tail_that_leaves_a_class_with_nothing() -> None:
    error = refusal(classes({"a": 60, "b": 60}), long_tail={"ratio": 1000})
    assert error.given == (
        "a long tail with ratio 1000 from 43 training groups of class 'a' leaves class 'b' with "
        "none"
    )
    assert error.remedy == "lower data.split.long_tail.ratio, or bring more images"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(2, 400), min_size=1, max_size=6),
    st.floats(1, 300),
    st.floats(0.05, 0.5),
    st.booleans(),
)
def test_the_largest_tail_fits_and_no_larger_one_does(
    pool: list[int], ratio: float, validation: float, validate: bool
) -> None:
    design = Design("redrawn", 0.2, validation, 1, 1, 2, long_tail_ratio=(None, ratio))
    names, room = [str(k) for k in range(len(pool))], np.array(pool)

    def fits(largest: int | None) -> bool:
        asked = replace(design, long_tail_ratio=(largest, ratio))
        try:
            train, held = draw_sizes(asked, room, names, validate=validate)
        except Exception:
            return False
        assert (train + held <= room).all()
        assert validate == bool(held.any())
        return True

    if fits(None):
        largest = int(draw_sizes(design, room, names, validate=validate)[0][0])
        assert fits(largest)
        assert not fits(largest + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(6, 40), min_size=2),
    st.sampled_from(
        [
            {"fraction": 0.3},
            {"labels_per_class": 2},
            {"long_tail": {"ratio": 2}},
            {"long_tail": {"ratio": 3, "largest": 3}},
        ]
    ),
    st.integers(0, 99),
    st.randoms(use_true_random=False),
)
def test_draws_are_whole_and_stable_under_row_order(
    counts: dict[str, int], section: dict[str, Any], seed: int, random: Any
) -> None:
    data = images({"": counts}, per_group=2)
    del data["parts"]
    order = list(range(len(data["ids"])))
    random.shuffle(order)
    shuffled = {name: [column[i] for i in order] for name, column in data.items()}
    first, second = (split(d, seed, **section, draws=2)[1] for d in (data, shuffled))
    assert np.array_equal(first.part, second.part)
    assert np.array_equal(first.id, second.id)
    for parts in parts_by_draw(first):
        assert_whole(data, parts)
        assert min(per_class(data, parts, "train")) >= 1
        assert min(per_class(data, parts, "validation")) >= 1
        assert ("unlabelled" in parts.values()) == ("labels_per_class" in section)


@pytest.mark.parametrize("kind", ["fixed", "cross_validated"])
def test_few_labels_belong_to_the_redrawn_design(kind: str) -> None:
    error = refusal(classes({"a": 30, "b": 30}), design=kind, labels_per_class=5)
    assert error.given == f"data.split subsamples its draws, but its design is {kind}"
    assert error.remedy == (
        "set data.split.design to redrawn, or remove fraction and labels_per_class"
    )


def patients() -> Columns:
    """120 patients with 4 images each, of up to three classes."""
    rng = np.random.default_rng(0)
    data: Columns = {"ids": [], "labels": [], "groups": []}
    for patient in range(120):
        for i, label in enumerate(rng.choice(["a", "b", "c"], size=4, p=[0.6, 0.3, 0.1])):
            data["ids"].append(f"{patient}/{i}")
            data["labels"].append(str(label))
            data["groups"].append(f"patient {patient}")
    return data


@pytest.mark.parametrize(
    ("section", "config", "table"),
    [
        ({"design": "fixed"}, "e55e9c7c4b9bd7d3", "117cb4d4b45ec131"),
        ({"design": "redrawn"}, "ca1fece444d353af", "0ec885aea980e8bf"),
        ({}, "7db3b744f757eda9", "5d3e7c0a9bc3b89e"),
        ({"per_class": 7, "draws": 3}, "075f7dc4628afaa4", "0256241e8f589aac"),
        (
            {"long_tail": {"largest": 30, "smallest": 3}},
            "7ce58051db5b9063",
            "8043f605489f0a07",
        ),
        (
            {"folds": 3, "repeats": 4, "validation": 0.3},
            "c2bad4f843c8a764",
            "e7f70cb60f014872",
        ),
    ],
)
def test_studies_keep_their_keys_and_splits(
    section: dict[str, Any], config: str, table: str
) -> None:
    """As computed before given splits, strata and further subsampling existed."""
    design, found = split(patients(), 11, **section)
    assert digest(design.config())[:16] == config
    assert digest([found.draw.tolist(), found.id.tolist(), found.part.tolist()])[:16] == table


# ── strata ────────────────────────────────────────────────────────────────────────────────────


@st.composite
def cells(draw: st.DrawFn) -> Columns:
    """Groups of one image in 2 or 3 classes × 2 or 3 values; some cells are nearly empty."""
    data: Columns = {"ids": [], "labels": [], "groups": [], "attributes": {"sex": []}}
    for k in range(draw(st.integers(2, 3))):
        for v in range(draw(st.integers(2, 3))):
            for i in range(draw(st.integers(0 if v else 4, 20))):
                data["ids"].append(f"{k}/{v}/{i}")
                data["labels"].append(f"class {k}")
                data["groups"].append(f"{k}/{v}/{i}")
                data["attributes"]["sex"].append(f"value {v}")
    return data


def by_cell(data: Columns, parts: dict[str, str]) -> dict[tuple[str, str], Counter[str]]:
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    values = data["attributes"]["sex"]
    for name, label, value in zip(data["ids"], data["labels"], values, strict=True):
        found[label, value][parts[name]] += 1
    return found


@settings(max_examples=60, deadline=None)
@given(cells(), st.integers(0, 99), st.floats(0.1, 0.5))
def test_cells_keep_their_share_of_their_class(data: Columns, seed: int, share: float) -> None:
    section = {"design": "fixed", "test": share}
    plain = parts_by_draw(split(data, seed, **section)[1])[0]
    parts = parts_by_draw(split(data, seed, **section, stratify=["sex"])[1])[0]
    found = by_cell(data, parts)
    sizes: Counter[str] = Counter(data["labels"])
    for part in ("test", "validation"):
        # A class gets what it gets without strata; its cells share that, to rounding.
        assert per_class(data, parts, part) == per_class(data, plain, part)
    for (label, value), counts in found.items():
        total = sum(counts.values())
        tested = sum(found[cell]["test"] for cell in found if cell[0] == label)
        if total >= 3:
            assert abs(counts["test"] - tested * total / sizes[label]) < 1, (label, value)


@settings(max_examples=60, deadline=None)
@given(cells(), st.integers(0, 99), st.integers(2, 4))
def test_folds_are_even_in_every_cell_and_class(data: Columns, seed: int, folds: int) -> None:
    design, table = split(data, seed, folds=folds, repeats=1, stratify=["sex"])
    tested = [by_cell(data, parts) for parts in parts_by_draw(table)]
    assert design.stratify == ("sex",)
    for cell, counts in tested[0].items():
        if sum(counts.values()) >= 3:
            sizes = [found[cell]["test"] for found in tested]
            assert max(sizes) - min(sizes) <= 1
    for label in sorted(set(data["labels"])):
        sizes = [sum(f[c]["test"] for c in f if c[0] == label) for f in tested]
        assert max(sizes) - min(sizes) <= 1


@settings(max_examples=40, deadline=None)
@given(cells(), st.integers(0, 99))
def test_draws_are_even_in_every_cell(data: Columns, seed: int) -> None:
    _, table = split(data, seed, design="redrawn", draws=2, stratify=["sex"])
    for parts in parts_by_draw(table):
        found = by_cell(data, parts)
        for label in sorted(set(data["labels"])):
            mine = {cell: counts for cell, counts in found.items() if cell[0] == label}
            pool = {c: sum(n.values()) - n["test"] for c, n in mine.items()}
            trained = sum(n["train"] for n in mine.values())
            for cell, counts in mine.items():
                if sum(counts.values()) >= 3:
                    share = trained * pool[cell] / sum(pool.values())
                    assert abs(counts["train"] - share) < 1


def test_strata_hold_where_chance_would_not() -> None:
    """Without strata the share of a value in the test set wanders; with them it cannot."""
    data: Columns = {"ids": [], "labels": [], "groups": [], "attributes": {"sex": [], "site": []}}
    for i in range(400):
        name = f"{i:03d}"
        data["ids"].append(name)
        data["groups"].append(name)
        data["labels"].append("ab"[i % 2])
        data["attributes"]["sex"].append("mf"[i // 2 % 2])
        data["attributes"]["site"].append("xy"[i // 4 % 2])
    cell_of = dict(
        zip(
            data["ids"],
            zip(data["labels"], *data["attributes"].values(), strict=True),
            strict=True,
        )
    )
    spread = {}
    for name, stratify in (("plain", []), ("one", ["sex"]), ("both", ["sex", "site"])):
        worst = 0
        for seed in range(10):
            parts = parts_by_draw(split(data, seed, design="fixed", stratify=stratify)[1])[0]
            counts = Counter(cell_of[n] for n, part in parts.items() if part == "test")
            assert sum(counts.values()) == 80
            worst = max(worst, max(abs(counts[c] - 10) for c in set(cell_of.values())))
        spread[name] = worst
    assert spread["both"] == 0
    assert spread["both"] < spread["one"] <= spread["plain"]


@pytest.mark.parametrize("section", [{"design": "fixed"}, {"folds": 5, "repeats": 1}])
def test_groups_of_several_cells_stay_whole_and_near_their_share(section: dict[str, Any]) -> None:
    """Patients of three classes and both values: every cell and class within one group of 20 %."""
    data = patients()
    values = np.random.default_rng(1).choice(["m", "f"], size=480).tolist()
    data["attributes"] = {"sex": values}
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for label, value, group in zip(data["labels"], values, data["groups"], strict=True):
        groups[label, value].add(group)
        groups[(label,)].add(group)
    for seed in range(3):
        for parts in parts_by_draw(split(data, seed, **section, stratify=["sex"])[1]):
            assert_whole(data, parts)
            part_of = dict(zip(data["groups"], (parts[n] for n in data["ids"]), strict=True))
            for found in groups.values():
                tested = sum(part_of[group] == "test" for group in found)
                assert abs(tested - 0.2 * len(found)) <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["fixed", "redrawn", "cross_validated"]))
def test_strata_of_mixed_groups_keep_the_rules(seed: int, kind: str) -> None:
    """Row order, whole groups, and every class in training, whatever the groups hold."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 120))
    data: Columns = {
        "ids": [f"{i:03d}" for i in range(n)],
        "labels": [f"class {k}" for k in rng.integers(0, 3, n)],
        "groups": [f"patient {k}" for k in rng.integers(0, int(rng.integers(10, 30)), n)],
        "attributes": {"sex": [f"value {k}" for k in rng.integers(0, 3, n)]},
    }
    section: dict[str, Any] = {"design": kind, "repeats": 1, "draws": 2, "stratify": ["sex"]}
    order = rng.permutation(n).tolist()
    shuffled: Columns = {name: [data[name][i] for i in order] for name in list(data)[:3]}
    shuffled["attributes"] = {"sex": [data["attributes"]["sex"][i] for i in order]}
    first, second = split(data, seed, **section)[1], split(shuffled, seed, **section)[1]
    assert np.array_equal(first.part, second.part)
    for parts in parts_by_draw(first):
        assert_whole(data, parts)
        assert min(per_class(data, parts, "train")) >= 1
        assert min(per_class(data, parts, "test")) >= 1
