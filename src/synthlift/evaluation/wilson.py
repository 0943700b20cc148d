"""Wilson's score interval for a proportion."""

from __future__ import annotations

from math import sqrt

Z = 1.959963984540054


def wilson(successes: float, total: float) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), within [0, 1].

    Args:
        successes: may be fractional (a mean over replicates).
        total: number of independent trials; 0 gives (0, 1).
    """
    assert 0 <= successes <= total or total == 0
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + Z**2 / (2 * total)
    half = Z * sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
