from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.selection import (
    best_multiple,
    best_rival,
    choose_multiple,
    enough_to_select,
    highest,
    validation_scores,
)

TableMaker = Callable[..., Predictions]
NAMES = ("real", "augmented", "mixed@1", "mixed@2")


def scores(rates: tuple[float, ...], *, replicates: int = 10, n: int = 90) -> np.ndarray:
    """Right/wrong [arms, R, n] with common image difficulty and given mean rates."""
    rng = np.random.default_rng(0)
    ease = rng.uniform(size=(1, 1, n))
    own = 0.8 * ease + 0.2 * rng.uniform(size=(len(rates), replicates, n))
    return np.stack(
        [one < np.quantile(one, rate) for one, rate in zip(own, rates, strict=True)]
    ).astype(float)


LABELS = np.tile(np.arange(3), 30)


def validation(make_table: TableMaker, rates: tuple[float, ...]) -> Predictions:
    return make_table(
        scores(rates), LABELS, names=NAMES, classes=3, fits=5, evaluation_set="validation"
    )


def test_best_rival_is_the_highest_and_the_first_wins_a_tie(make_table: TableMaker) -> None:
    table = validation(make_table, (0.6, 0.7, 0.9, 0.9))
    choice = best_rival(table, rivals=["real", "augmented"], metric="accuracy")
    assert choice.arm == "augmented"
    assert choice.values["augmented"] == pytest.approx(0.7, abs=0.01)
    assert highest([0.5, 0.7, 0.7]) == 1


@pytest.mark.parametrize(
    ("rates", "arm", "recommended"),
    [
        ((0.6, 0.7, 0.9, 0.9), "mixed@1", "mixed@1"),
        ((0.6, 0.7, 0.75, 0.95), "mixed@2", "mixed@2"),
        ((0.6, 0.9, 0.7, 0.8), "mixed@2", "augmented"),
    ],
)
def test_best_multiple(
    make_table: TableMaker, rates: tuple[float, ...], arm: str, recommended: str
) -> None:
    table = validation(make_table, rates)
    choice = best_multiple(
        table,
        rival="augmented",
        candidates={"mixed@1": 1, "mixed@2": 2},
        metric="balanced_accuracy",
    )
    assert (choice.arm, choice.recommended) == (arm, recommended)
    assert recommended in choice.reason


def test_one_standard_error_rule_by_hand() -> None:
    values = [0.80, 0.83, 0.84, 0.845]
    assert choose_multiple([0, 1, 2, 5], values, lambda *_: 0.012) == (2, 2)
    assert choose_multiple([0, 1, 2, 5], values, lambda *_: 0.020) == (1, 1)
    assert choose_multiple([0, 1, 2, 5], values, lambda *_: 0.050) == (1, 0)
    # Of two arms with the same multiple the better one is taken.
    assert choose_multiple([0, 1, 1], [0.8, 0.83, 0.84], lambda *_: 0.02) == (2, 2)


def test_validation_sets_of_draws_and_folds_may_differ(make_table: TableMaker) -> None:
    right = scores((0.7, 0.9), replicates=4)
    parts = [
        make_table(
            right[:, [r]],
            LABELS,
            names=NAMES[:2],
            classes=3,
            evaluation_set="validation",
            images=np.arange(90) + 1000 * r,
        ).table
        for r in range(4)
    ]
    import pyarrow as pa

    from synthlift.evaluation.predictions import check

    joined = pa.concat_tables(parts)
    draw = pa.array(np.repeat(np.arange(4), 180))
    for column in ("replicate", "fold"):
        joined = joined.set_column(joined.column_names.index("replicate"), "replicate", draw)
        joined = joined.set_column(joined.column_names.index(column), column, draw)
        table = check(joined, classes=["class 0", "class 1", "class 2"])
        found = validation_scores(table, arms=NAMES[:2])
        assert found.rows == 4
        assert best_rival(table, rivals=NAMES[:2], metric="accuracy").arm == "augmented"
        difference = found.interval({"augmented": 1.0, "real": -1.0}, "accuracy")
        assert difference.value == pytest.approx(0.2, abs=0.02)


def test_twenty_groups_in_every_class_are_enough() -> None:
    assert enough_to_select(np.array([20, 31]))
    assert not enough_to_select(np.array([19, 500]))
