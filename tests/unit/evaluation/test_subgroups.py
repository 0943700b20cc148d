"""Results within the values of an attribute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from synthlift.evaluation.outcome import Outcome, evaluate_study
from synthlift.evaluation.plan import EvaluationPlan, PlannedArm
from synthlift.evaluation.predictions import Predictions, concatenate

TableMaker = Callable[..., Predictions]
REPLICATES, FITS = 10, 5
RIVAL, MIXED = "augmented", "mixed@1"
SITES = np.array(["arm"] * 60 + ["face"] * 40 + ["hand"] * 4 + [""] * 16)


def arrays(*, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n] and right/wrong [2, R, n]: the generative arm gains on faces only."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, len(SITES))
    chance = np.where(SITES == "face", 0.3, 0.7)
    ease = rng.random(len(SITES))
    noise = rng.normal(0, 0.05, (2, REPLICATES, len(SITES)))
    gain = np.array([0.0, lift])[:, None, None] * (SITES == "face")
    return labels, (ease + noise < chance + gain).astype(float)


def outcome(make_table: TableMaker, *, lift: float = 0.5, folds: bool = False) -> Outcome:
    labels, scores = arrays(lift=lift)
    design = "fixed"
    if folds:
        design = "cross_validated"
        pieces = [np.arange(len(SITES)) % REPLICATES == fold for fold in range(REPLICATES)]
        tables = []
        for fold, piece in enumerate(pieces):
            one = make_table(
                scores[:, fold : fold + 1, piece],
                labels[piece],
                names=[RIVAL, MIXED],
                classes=3,
                folds=np.array([fold]),
                images=np.flatnonzero(piece),
            )
            tables.append(one)
        table = concatenate(tables)
    else:
        table = make_table(scores, labels, names=[RIVAL, MIXED], classes=3, fits=FITS)
    plan = EvaluationPlan(
        design=design,  # type: ignore[arg-type]
        arms=[PlannedArm(RIVAL, "rival"), PlannedArm(MIXED, "generative", multiple=1)],
        generative=MIXED,
        rival=RIVAL,
        attributes={"site": {f"test-{i}": site for i, site in enumerate(SITES)}},
    )
    return evaluate_study(table, plan)


def test_a_gain_is_found_where_it_is_and_nowhere_else(make_table: TableMaker) -> None:
    found = {one.value: one for one in outcome(make_table).subgroups}
    assert list(found) == ["arm", "face", "hand", "missing"]
    assert found["face"].word == "helps"
    assert found["arm"].word in ("equivalent", "no_detectable_effect")
    assert found["hand"].word == "too_small"
    assert found["hand"].contrast is None
    assert found["hand"].rival.method == "Wilson, test groups"
    assert [one.test_images for one in found.values()] == [60, 40, 4, 16]


def test_figures_are_those_of_the_images_alone(make_table: TableMaker) -> None:
    _, scores = arrays(lift=0.5)
    found = {one.value: one for one in outcome(make_table).subgroups}
    for site in ("arm", "face", "missing"):
        mask = ("" if site == "missing" else site) == SITES
        expected = scores[1][:, mask].mean() - scores[0][:, mask].mean()
        contrast = found[site].contrast
        assert contrast is not None
        assert contrast.difference.value == pytest.approx(expected, abs=1e-9)
        assert found[site].rival.value == pytest.approx(scores[0][:, mask].mean(), abs=1e-9)
    # With differences between images only, the interval comes near a paired t over images.
    paired = (scores[1] - scores[0])[:, SITES == "face"].mean(axis=0)
    face = found["face"].contrast
    assert face is not None
    assert face.standard_error == pytest.approx(stats.sem(paired), rel=0.2)


def test_p_values_are_adjusted_within_the_attribute(make_table: TableMaker) -> None:
    large = [one.contrast for one in outcome(make_table).subgroups if one.contrast]
    raw = [one.p_value for one in large]
    assert [one.p_holm for one in large] == pytest.approx(multipletests(raw, method="holm")[1])


def test_the_gap_between_values_is_said_for_both_arms(make_table: TableMaker) -> None:
    (gap,) = outcome(make_table).gaps
    assert (gap.attribute, gap.worst_with_rival) == ("site", "face")
    assert gap.gap_generative < gap.gap_rival
    assert gap.worst_accuracy_generative > gap.worst_accuracy_rival


def test_each_models_own_worst_value_has_an_interval(make_table: TableMaker) -> None:
    labels, scores = arrays(lift=0.5)
    (gap,) = outcome(make_table).gaps
    change = gap.worst_change
    assert change is not None
    assert change.low is not None
    assert change.high is not None
    large = [SITES == "arm", SITES == "face", SITES == ""]

    def worst(rows: np.ndarray) -> float:
        drawn = [[[one[rows][m[rows]].mean() for m in large] for one in arm] for arm in scores]
        least = np.min(drawn, axis=2).mean(axis=1)
        return float(least[1] - least[0])

    assert change.value == pytest.approx(worst(np.arange(len(labels))), abs=1e-9)
    rng = np.random.default_rng(0)
    again = [
        worst(
            np.concatenate(
                [rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in range(3)]
            )
        )
        for _ in range(400)
    ]
    half = (change.high - change.low) / 2
    assert half == pytest.approx(1.98 * np.std(again), rel=0.25)
    (crossed,) = outcome(make_table, folds=True).gaps
    assert crossed.worst_change is not None
    assert "folds" in crossed.worst_change.method


def test_cross_validation_compares_subgroups_over_folds(make_table: TableMaker) -> None:
    found = {one.value: one for one in outcome(make_table, folds=True).subgroups}
    assert found["face"].word == "helps"
    assert found["face"].contrast is not None
    assert "folds" in found["face"].contrast.difference.method
    assert found["hand"].word == "too_small"


def test_subgroups_never_move_the_verdict(make_table: TableMaker) -> None:
    labels, scores = arrays(lift=0.5)
    table = make_table(scores, labels, names=[RIVAL, MIXED], classes=3, fits=FITS)
    arms = [PlannedArm(RIVAL, "rival"), PlannedArm(MIXED, "generative", multiple=1)]
    bare = EvaluationPlan(design="fixed", arms=arms, generative=MIXED, rival=RIVAL)
    assert evaluate_study(table, bare).verdict == outcome(make_table).verdict
