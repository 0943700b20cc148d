"""Which images of a pool resemble which class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from synthlift.spec.arms import ArmSpec, expand_arms
from synthlift.spec.targets import Cell
from synthlift.study.modelling import Retrieved
from synthlift.study.stages.retrieval import (
    NEIGHBOURS,
    Likeness,
    nearest_of_each,
    resemblance,
)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_resemblance_is_that_of_a_plain_loop(seed: int, rare: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([0] * 9 + [1] * rare + [3] * 7)
    train = rng.normal(size=(len(labels), 4)).astype(np.float32)
    pool = rng.normal(size=(13, 4)).astype(np.float32)
    found = resemblance(pool, references=train, labels=labels, classes=4)
    for row, query in enumerate(pool.astype(np.float64)):
        distances = np.linalg.norm(train.astype(np.float64) - query, axis=1)
        means = {
            k: np.sort(distances[labels == k])[:NEIGHBOURS].mean() for k in set(labels.tolist())
        }
        best = min(means, key=lambda k: (means[k], k))
        assert found.labels[row] == best
        assert found.distance[row] == pytest.approx(means[best])
        assert found.agrees[row] == (labels[distances.argmin()] == best)


def test_a_class_of_one_image_is_resembled_where_it_is_nearest() -> None:
    labels = np.array([0] * 20 + [1])
    train = np.concatenate([np.random.default_rng(0).normal(size=(20, 3)), [[9, 9, 9]]])
    found = resemblance(
        np.full((1, 3), 8.5, np.float32),
        references=train.astype(np.float32),
        labels=labels,
        classes=2,
    )
    assert found.labels.tolist() == [1]
    assert found.agrees.all()


def test_the_nearest_come_first_ties_by_name_and_none_twice() -> None:
    found = Likeness(
        labels=np.array([0, 1, 0, 0, 1, 0]),
        distance=np.array([2.0, 1.0, 1.0, 2.0, 0.5, 0.1]),
        agrees=np.array([True, True, True, True, True, False]),
    )
    ids = np.array(["f", "e", "d", "a", "b", "c"])
    assert ids[nearest_of_each(found, ids, most=[2, 5])].tolist() == ["d", "a", "b", "e"]
    rows = nearest_of_each(found, ids, most=[9, 9])
    assert len(set(rows.tolist())) == len(rows) == 5
    assert not len(nearest_of_each(found, ids, most=[0, 0]))


def test_smaller_multiples_are_nested_in_larger_ones() -> None:
    stock = Retrieved("retrieve-x", (4, 0, 2))
    assert stock.manifest({Cell(0): 2, Cell(1): 3, Cell(2): 5}) == [
        {"chunk": "retrieve-x", "label": 0, "rows": [0, 1]},
        {"chunk": "retrieve-x", "label": 2, "rows": [4, 5]},
    ]


def test_arms_that_retrieve_are_rivals_one_a_multiple() -> None:
    spec = ArmSpec.model_validate(
        {"kind": "retrieval", "multiples": [0.5, 2], "target": "fill_to_largest"}
    )
    arms = expand_arms([spec], generators=[])
    assert [arm.name for arm in arms] == [
        "retrieval-fill_to_largest@0.5",
        "retrieval-fill_to_largest@2",
    ]
    assert {arm.role for arm in arms} == {"rival"}
    assert not any(arm.uses_synthetic or arm.synthetic_multiple for arm in arms)


@pytest.mark.parametrize(
    "wrong",
    [
        {"generator": "flow"},
        {"recipes": ["plain"]},
        {"curated": False},
        {"target": "hard_cases"},
        {"target": {"cells": ["label", "sex"]}},
        {"posing": "fresh"},
        {"multiples": [0]},
    ],
)
def test_what_means_nothing_to_retrieval_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ArmSpec.model_validate({"kind": "retrieval", **wrong})
