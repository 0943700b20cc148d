"""Which images come when: endless streams of rows, and batches made of two of them.

The real stream's order depends on its seed and weights alone: an arm that mixes synthetic images in
meets the same real images in the same order as its rival, only later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthlift.seeds import generator_for
from synthlift.training.regimes import Phase
from synthlift.types import Float64, Int64


@dataclass(frozen=True)
class TrainingSeeds:
    """Seeds of one model; all but ``synthetic_order`` are shared by the arms of a replicate."""

    initialisation: int
    order: int
    augmentation: int
    synthetic_order: int


class Stream:
    """Rows 0 … n−1 without end, epoch by epoch; any part can be asked for.

    With equal weights an epoch is a permutation. Otherwise it holds n draws by systematic sampling:
    a row appears n·weight times, rounded up or down at random.

    Args:
        weights: float64 [n] ≥ 0, sum 1.
        seed: of the order.
    """

    def __init__(self, weights: Float64, *, seed: int) -> None:
        self._weights, self._seed = weights, seed
        self._equal = bool(np.ptp(weights) <= 1e-12 * weights.max()) if len(weights) else True
        self._epochs: dict[int, Int64] = {}

    def take(self, start: int, count: int) -> Int64:
        """Rows at positions ``start`` … ``start + count − 1``, int64 [count]."""
        if not count:
            return np.zeros(0, np.int64)
        length = len(self._weights)
        first, last = start // length, (start + count - 1) // length
        wanted = range(first, last + 1)
        self._epochs = {e: self._epochs[e] if e in self._epochs else self._make(e) for e in wanted}
        rows = np.concatenate([self._epochs[e] for e in wanted])
        return rows[start - first * length :][:count]

    def _make(self, epoch: int) -> Int64:
        random, length = generator_for(self._seed, "epoch", epoch), len(self._weights)
        if self._equal:
            return random.permutation(length).astype(np.int64)
        points = (random.random() + np.arange(length)) / length
        rows = np.searchsorted(np.cumsum(self._weights), points, side="right")
        last = int(np.flatnonzero(self._weights)[-1])
        return random.permutation(np.minimum(rows, last)).astype(np.int64)


@dataclass(frozen=True)
class Batch:
    """Rows of one step and their positions in the two streams (which name the draws)."""

    real: Int64
    real_start: int
    synthetic: Int64
    synthetic_start: int


class Batches:
    """The batches of one phase.

    Args:
        phase: weights and share.
        seeds: order seeds.
        batch_size: rows per batch.
    """

    def __init__(self, phase: Phase, *, seeds: TrainingSeeds, batch_size: int) -> None:
        self._phase, self._size, self._seed = phase, batch_size, seeds.synthetic_order
        self._real = Stream(phase.real_weights, seed=seeds.order)
        self._synthetic = Stream(phase.synthetic_weights, seed=seeds.synthetic_order)
        self._slots: dict[int, Int64] = {}

    def take(self, step: int, *, real_start: int, synthetic_start: int) -> Batch:
        """The batch of ``step`` (counted within the phase), given how far both streams are."""
        theirs = self._synthetic_count(step)
        return Batch(
            self._real.take(real_start, self._size - theirs),
            real_start,
            self._synthetic.take(synthetic_start, theirs),
            synthetic_start,
        )

    def _synthetic_count(self, step: int) -> int:
        share = self._phase.synthetic_share
        if share in (0.0, 1.0):
            return self._size * int(share)
        if self._phase.every_batch:
            return min(max(round(self._size * share), 1), self._size - 1)
        return int(self._kinds(step * self._size, self._size).sum())

    def _kinds(self, start: int, count: int) -> Int64:
        """For each slot of an epoch of the union: 1 = synthetic; shuffled, exact in number."""
        length = len(self._phase.real_weights) + len(self._phase.synthetic_weights)
        first, last = start // length, (start + count - 1) // length
        wanted = range(first, last + 1)
        self._slots = {e: self._slots[e] if e in self._slots else self._mark(e) for e in wanted}
        kinds = np.concatenate([self._slots[e] for e in wanted])
        return kinds[start - first * length :][:count]

    def _mark(self, epoch: int) -> Int64:
        length = len(self._phase.real_weights) + len(self._phase.synthetic_weights)
        random = generator_for(self._seed, "slots", epoch)
        expected = length * self._phase.synthetic_share
        near = round(expected)
        exact = abs(expected - near) < 1e-6
        marked = near if exact else int(expected + random.random())
        kinds = np.zeros(length, np.int64)
        kinds[random.permutation(length)[:marked]] = 1
        return kinds
