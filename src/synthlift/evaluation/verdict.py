"""The rules that turn an interval into a verdict (METHOD §4)."""

from __future__ import annotations

from collections.abc import Sequence

from synthlift.evaluation.intervals import Interval
from synthlift.spec.results import EQUIVALENCE_LEVEL, VerdictWord

# Of each of the two one-sided tests that prove equivalence.
EQUIVALENCE_TEST_LEVEL = (1 - EQUIVALENCE_LEVEL) / 2
MINIMUM_ROWS = 5
MINIMUM_REPLICATES = 10
MINIMUM_GROUPS = 10


def judge(interval: Interval, *, margin: float) -> VerdictWord:
    """Apply the verdict's rules in their order.

    1. 92 % interval inside ±margin → equivalent (TOST at 4 %, Schuirmann 1987), or, when the 95 %
       interval also excludes 0, helps / harms by less than the margin;
    2. 95 % interval above 0 → helps, below 0 → harms;
    3. else no detectable effect.

    Not the customary 90 %: the rival that validation prefers is partly a lucky one, which shifts
    the estimate slightly. With TOST at 5 % a true difference of just the margin was called smaller
    than the margin in up to 5.8 % of simulated studies (``results/honesty``); the rule promises at
    most 5 %.
    """
    low, high = interval.bounds(0.95)
    inner_low, inner_high = interval.bounds(EQUIVALENCE_LEVEL)
    above, below = low > 0, high < 0
    if -margin < inner_low and inner_high < margin:
        if above:
            return "helps_less_than_margin"
        return "harms_less_than_margin" if below else "equivalent"
    if above:
        return "helps"
    return "harms" if below else "no_detectable_effect"


def judge_adjusted(value: float, *, p_adjusted: float, p_equivalent: float) -> VerdictWord:
    """The same rules for one of many comparisons, from p-values adjusted within the family.

    Args:
        value: the estimated difference.
        p_adjusted: Holm's p-value against "no difference".
        p_equivalent: Holm's p-value of the equivalence test at the margin.
    """
    differs, small = p_adjusted <= 0.05, p_equivalent <= EQUIVALENCE_TEST_LEVEL
    if differs and value > 0:
        return "helps_less_than_margin" if small else "helps"
    if differs:
        return "harms_less_than_margin" if small else "harms"
    return "equivalent" if small else "no_detectable_effect"


def worth_having(interval: Interval, *, margin: float) -> bool:
    """Whether the whole 95 % interval lies above the margin."""
    return interval.bounds(0.95)[0] > margin


def exploratory_reasons(
    *, rows: int, row_name: str, replicates: int, further: Sequence[str] = ()
) -> list[str]:
    """Why no verdict may be given; empty when it may.

    Args:
        rows: fits or draws; replicates where there is neither.
        row_name: what a row is: "generator fit", "training draw", "fold" …
        replicates: paired repetitions.
        further: reasons known to the caller, such as a second study on the same test set.
    """
    reasons = []
    if rows < MINIMUM_ROWS and row_name != "replicate":
        reasons.append(f"{_count(rows, row_name)}; a verdict needs at least {MINIMUM_ROWS}")
    if replicates < MINIMUM_REPLICATES:
        counted = _count(replicates, "replicate")
        reasons.append(f"{counted}; a verdict needs at least {MINIMUM_REPLICATES}")
    return [*reasons, *further]


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
