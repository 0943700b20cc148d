"""Many comparisons at once: Holm's p-values and simultaneous intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthlift.seeds import generator_for
from synthlift.types import Float64

DRAWS = 20_000


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(order) - rank) * p_values[int(index)])
        adjusted[index] = min(1.0, running)
    return [float(p) for p in adjusted]


def max_t_quantile(correlation: Float64, *, df: float, level: float = 0.95, seed: int) -> float:
    """The ``level`` quantile of max |T| for a multivariate t vector.

    Hothorn, Bretz & Westfall 2008, §3; by 20,000 seeded draws (standard error about 0.02).

    Args:
        correlation: of the estimates, float64 [C, C].
        df: common degrees of freedom, the smallest of the family.
        level: joint coverage of the intervals.
        seed: of the draws.
    """
    rng = generator_for(seed, "max_t")
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = rng.standard_normal((DRAWS, len(correlation))) @ root.T
    scale = np.sqrt(rng.chisquare(df, DRAWS) / df)
    return float(np.quantile(np.abs(normal).max(axis=1) / scale, level))
