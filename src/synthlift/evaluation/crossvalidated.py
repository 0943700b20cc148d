"""Design C: the corrected resampled t interval."""

from __future__ import annotations

from math import sqrt

import numpy as np

from synthlift.evaluation.intervals import Interval
from synthlift.types import Float64


def nadeau_bengio(values: Float64, *, test_train_ratio: float, floor: float = 0.0) -> Interval:
    """Interval of a mean over folds and repeats whose training sets overlap.

    SE² = (1/J + n_test/n_train) · s², J−1 degrees of freedom (Nadeau & Bengio 2003, eq. 10 and
    Bouckaert & Frank 2004 for repeated folds).

    Args:
        values: one value per fold and repeat [J]; NaN where a fold lacks the class.
        test_train_ratio: images tested over images trained on, per fold, validation left out.
        floor: least variance of the mean (see ``crossed.variance_floor``).
    """
    known = values[np.isfinite(values)]
    folds = len(known)
    assert folds >= 2, "an interval over folds needs two of them"
    spread = float(known.var(ddof=1))
    variance = max((1 / folds + test_train_ratio) * spread, floor)
    return Interval(
        value=float(known.mean()),
        standard_error=sqrt(variance),
        degrees_of_freedom=folds - 1,
        method=(
            f"corrected resampled t over {folds} folds"
            if test_train_ratio
            else f"t over {folds} rows"
        ),
        components={
            "between_folds": spread,
            "test_train_ratio": test_train_ratio,
            "floor": floor,
        },
    )
