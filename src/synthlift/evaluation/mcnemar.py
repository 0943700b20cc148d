"""McNemar's test for one declared pair of models on ungrouped images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

EXACT_BELOW = 25


@dataclass(frozen=True)
class McNemar:
    """Discordant images and p-values (two-sided).

    Attributes:
        gained: right under the first model only.
        lost: right under the second model only.
        p_value: exact binomial below 25 discordant images, else χ² with one degree of freedom.
        p_mid: mid-p value.
        method: which of the two ``p_value`` is.
    """

    gained: int
    lost: int
    p_value: float
    p_mid: float
    method: str


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare two models by what each got right on the same images [n].

    The mid-p value halves the probability of the observed table (Fagerland et al. 2013).
    """
    gained = int(np.sum(first & ~second))
    lost = int(np.sum(second & ~first))
    discordant, fewer = gained + lost, min(gained, lost)
    if discordant == 0:
        return McNemar(0, 0, 1.0, 1.0, "exact")
    exact = min(1.0, 2 * float(stats.binom.cdf(fewer, discordant, 0.5)))
    mid = 2 * float(stats.binom.cdf(fewer, discordant, 0.5)) - float(
        stats.binom.pmf(fewer, discordant, 0.5)
    )
    if discordant < EXACT_BELOW:
        return McNemar(gained, lost, exact, mid, "exact")
    statistic = (gained - lost) ** 2 / discordant
    return McNemar(gained, lost, float(stats.chi2.sf(statistic, 1)), mid, "chi-squared")
