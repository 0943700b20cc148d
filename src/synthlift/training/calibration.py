"""Temperature scaling (Guo 2017, eq. 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthlift.types import Float32, Float64, Int64

SMALLEST_VALIDATION = 20
# Beyond these the fit follows a handful of images, e.g. a validation set without one error.
_LOW, _HIGH = 0.05, 20.0


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature; ``note`` says why it is 1 where it could not be fitted."""

    value: float
    note: str = ""


def negative_log_likelihood(logits: Float32, labels: Int64, *, temperature: float = 1.0) -> float:
    """Mean −log softmax(z/T)_y of logits [n, K] and labels [n], in nats."""
    scaled: Float64 = logits.astype(np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(scaled).sum(axis=1))
    return float(np.mean(normaliser - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: Float32, labels: Int64) -> Temperature:
    """Find the temperature that minimises the negative log likelihood on validation.

    Args:
        logits: float32 [n, K].
        labels: int64 [n].

    Returns:
        A temperature in [0.05, 20]; 1 with a note when fewer than 20 images or one class are there.
    """
    if len(labels) < SMALLEST_VALIDATION:
        return Temperature(1.0, f"not calibrated: only {len(labels)} validation images")
    if len(np.unique(labels)) < 2:
        return Temperature(1.0, "not calibrated: validation holds one class")
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, temperature=float(np.exp(log_t))),
        bounds=(np.log(_LOW), np.log(_HIGH)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return Temperature(float(np.exp(found.x)))
