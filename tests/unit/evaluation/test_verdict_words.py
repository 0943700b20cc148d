from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.verdict import exploratory_reasons, judge, judge_adjusted, worth_having
from synthlift.evaluation.words import decimals, detail, sentence


def interval(value: float, error: float, df: float = 1e6) -> Interval:
    return Interval(value, error, df, "crossed components, t")


@pytest.mark.parametrize(
    ("value", "error", "word"),
    [
        (0.03, 0.01, "helps"),
        (-0.03, 0.01, "harms"),
        (0.0, 0.003, "equivalent"),
        (0.006, 0.002, "helps_less_than_margin"),
        (-0.006, 0.002, "harms_less_than_margin"),
        (0.0, 0.01, "no_detectable_effect"),
        (0.011, 0.002, "helps"),  # excludes 0, and reaches beyond the margin
        (0.0, 0.0058, "no_detectable_effect"),  # 90 % inside the margin, 92 % not
    ],
)
def test_rules_in_their_order(value: float, error: float, word: str) -> None:
    assert judge(interval(value, error), margin=0.01) == word


@given(st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.floats(3, 500), st.floats(0.001, 0.1))
def test_verdicts_mirror_and_never_contradict_their_interval(
    value: float, error: float, df: float, margin: float
) -> None:
    one = interval(value, error, df)
    word, mirrored = judge(one, margin=margin), judge(interval(-value, error, df), margin=margin)
    swap = {"helps": "harms", "harms": "helps"}
    start, _, rest = word.partition("_")
    assert mirrored == "_".join(filter(None, [swap.get(start, start), rest]))
    low, high = one.bounds()
    assert word.startswith("helps") == (low > 0)
    assert word.startswith("harms") == (high < 0)
    assert not worth_having(one, margin=margin) or word == "helps"
    text = sentence(word, one, metric="accuracy", margin=margin)
    assert text.endswith(".")
    assert "nan" not in text


def test_worth_having_needs_the_whole_interval() -> None:
    assert worth_having(interval(0.05, 0.01), margin=0.02)
    assert not worth_having(interval(0.03, 0.01), margin=0.02)


def test_adjusted_rules() -> None:
    assert judge_adjusted(0.1, p_adjusted=0.01, p_equivalent=1) == "helps"
    assert judge_adjusted(-0.1, p_adjusted=0.01, p_equivalent=1) == "harms"
    assert judge_adjusted(0.1, p_adjusted=0.06, p_equivalent=1) == "no_detectable_effect"
    assert judge_adjusted(0.0, p_adjusted=1, p_equivalent=0.039) == "equivalent"
    assert judge_adjusted(0.0, p_adjusted=1, p_equivalent=0.041) == "no_detectable_effect"
    assert judge_adjusted(0.001, p_adjusted=0.01, p_equivalent=0.01) == "helps_less_than_margin"


@pytest.mark.parametrize(
    ("metric", "value", "error", "text"),
    [
        (
            "balanced_accuracy",
            0.03,
            0.0102,
            (
                "With synthetic images in training, 3 more of 100 images, spread evenly over the "
                "classes, are right (1 to 5)."
            ),
        ),
        (
            "accuracy",
            -0.04,
            0.0102,
            (
                "With synthetic images in training, 4 fewer of 100 images like those tested are "
                "right (2 to 6)."
            ),
        ),
        (
            "accuracy",
            0.006,
            0.002,
            (
                "With synthetic images in training, 0.6 more of 100 images like those tested are "
                "right (0.2 to 1.0) – less than the 1 that would matter."
            ),
        ),
        (
            "macro_f1",
            0.05,
            0.01,
            "With synthetic images in training, macro F1 rises by 5 points (3 to 7).",
        ),
        (
            "auroc",
            -0.05,
            0.01,
            "With synthetic images in training, AUROC falls by 5 points (3 to 7).",
        ),
        (
            "balanced_accuracy",
            0.001,
            0.003,
            (
                "No difference that matters: with synthetic images in training, between 0.4 fewer "
                "and 0.6 more of 100 images, spread evenly over the classes, are right (92 % "
                "interval), inside the margin of 1."
            ),
        ),
        (
            "accuracy",
            0.005,
            0.0102,
            (
                "No effect was detected: with synthetic images in training, between 1 fewer and 2 "
                "more of 100 images like those tested are right. An effect of 3 would have been "
                "found in four of five such studies."
            ),
        ),
        (
            "macro_f1",
            0.005,
            0.0102,
            (
                "No effect was detected: with synthetic images in training, macro F1 changes by "
                "between -1 and +2 points. An effect of 3 points would have been found in four of "
                "five such studies."
            ),
        ),
    ],
)
def test_sentences(metric: str, value: float, error: float, text: str) -> None:
    one = interval(value, error)
    assert sentence(judge(one, margin=0.01), one, metric=metric, margin=0.01) == text


def test_detail_names_everything() -> None:
    text = detail(
        interval(0.03, 0.01, 20), arm="mixed@1", rival="real", metric="accuracy", margin=0.01
    )
    assert text.startswith("Accuracy of 'mixed@1' minus 'real': +3.0 points (95 % interval +0.9")
    for part in ("p = 0.0071", "Margin: 1.", "Minimal detectable effect: 2.9.", "20.0 degrees"):
        assert part in text


def test_numbers_never_vanish_by_rounding() -> None:
    assert decimals([3.1, 1.2, 5.4]) == ["3", "1", "5"]
    assert decimals([3.1, 0.3, 5.4]) == ["3.1", "0.3", "5.4"]
    assert decimals([0.31, 0.02, 0.6]) == ["0.31", "0.02", "0.60"]
    assert decimals([3.1, 2.9, 3.3]) == ["3.1", "2.9", "3.3"]


def test_too_few_fits_or_replicates_are_exploratory() -> None:
    assert exploratory_reasons(rows=5, row_name="generator fit", replicates=10) == []
    reasons = exploratory_reasons(
        rows=4, row_name="generator fit", replicates=8, further=["second study"]
    )
    assert reasons == [
        "4 generator fits; a verdict needs at least 5",
        "8 replicates; a verdict needs at least 10",
        "second study",
    ]
    one = exploratory_reasons(rows=1, row_name="generator fit", replicates=10)
    assert one == ["1 generator fit; a verdict needs at least 5"]
    pool = exploratory_reasons(rows=4, row_name="replicate", replicates=4)
    assert pool == ["4 replicates; a verdict needs at least 10"]
