"""An estimate with its standard error, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scipy import special


@dataclass(frozen=True)
class Interval:
    """An estimate with t intervals.

    Attributes:
        value: the estimate.
        standard_error: its standard error, ≥ 0.
        degrees_of_freedom: of the t distribution used.
        method: how the standard error was made, in words.
        components: named parts of the standard error, for the record.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    method: str
    components: Mapping[str, float] = field(default_factory=dict)

    def bounds(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval at ``level``."""
        half = quantile(0.5 + level / 2, self.degrees_of_freedom) * self.standard_error
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float:
        """Two-sided p-value of "no difference"."""
        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        tail = special.stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error)
        return float(2 * tail)

    def equivalence_p_value(self, margin: float) -> float:
        """The larger of two one-sided p-values against ±margin (TOST, Schuirmann 1987)."""
        if self.standard_error == 0:
            return 0.0 if abs(self.value) < margin else 1.0
        distance = (margin - abs(self.value)) / self.standard_error
        return float(special.stdtr(self.degrees_of_freedom, -distance))

    @property
    def minimal_detectable_effect(self) -> float:
        """(t.975 + t.80) · SE: found in four of five studies like this one."""
        df = self.degrees_of_freedom
        return (quantile(0.975, df) + quantile(0.80, df)) * self.standard_error


def quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    return float(special.stdtrit(df, probability))
