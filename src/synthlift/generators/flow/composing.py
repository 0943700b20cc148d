"""Combinations that were never seen, and that nothing could be carried to: evidence put together.

A network that saw no 3 with glasses holds that a 3 wears none: asked for both, it drops one. What
makes a 3 is therefore asked where it was seen. With value a of the attribute wanted, and value b
that the class c was seen with,

    p(x | c, a)  is taken for  p(x | a) · p(c | x, b),

and as velocities are scores but for a factor and a shift, the same in each term (composition of
diffusion models: Liu 2022, eq. 11, there with p(c | x) learnt from all images, which tells c from
other classes by their attributes, too):

    v = v(a) + 1.8 w (v(c, b) − v(b)) + (1.6 w − 1) (v(a) − v()),   w the guidance scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.samplers import Velocity
from synthlift.generators.learning.transport import Transport
from synthlift.types import Int64

OF_CLASS, OF_VALUE = 1.8, 1.6
"""What w counts for the class and for the value; chosen on digits in five forms (method, §8)."""


@dataclass(frozen=True)
class Gaps:
    """Which class never met which value, and what it was seen with instead.

    Attributes:
        unseen: indices of values by class index and column, where there are any.
        usual: the value that most images of a class have, by class index and column.
    """

    unseen: Mapping[tuple[int, int], frozenset[int]] = field(default_factory=dict)
    usual: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, wanted_nk: Int64, vocabulary: Vocabulary, transport: Transport) -> Gaps:
        """The gaps of training images that are left when images were carried.

        Args:
            wanted_nk: indices of class and attribute values.
            vocabulary: what they are indices of.
            transport: what is carried.
        """
        columns = list(vocabulary.attributes.values())
        reached = {(one.column, one.before, one.after) for one in transport.carries}
        unseen, usual = {}, {}
        for column, size in enumerate(vocabulary.sizes[1:], start=1):
            # A value that is not known is none that a class could meet.
            said = np.array([value != "" for value in columns[column - 1]], np.bool_)
            for label in range(len(vocabulary.classes)):
                values = wanted_nk[wanted_nk[:, 0] == label, column]
                counts = np.bincount(values[values < size], minlength=size)
                known = np.where(said, counts, 0)
                most = known if known.any() else counts
                usual[label, column] = int(most.argmax()) if most.any() else size
                seen = np.flatnonzero(known).tolist()
                missing = frozenset(
                    value
                    for value in np.flatnonzero(said & (counts == 0)).tolist()
                    if seen and not any((column, one, value) in reached for one in seen)
                )
                if missing:
                    unseen[label, column] = missing
        return cls(unseen, usual) if unseen else cls()

    def __bool__(self) -> bool:
        return bool(self.unseen)

    def columns(self, row: Sequence[int]) -> tuple[int, ...]:
        """Columns of a request's indices in which its class meets a value for the first time."""
        return tuple(
            column
            for column, value in enumerate(row)
            if column and value in self.unseen.get((int(row[0]), column), ())
        )

    def as_json(self) -> dict[str, Any]:
        """For the facts that are kept with a generator."""
        return {
            "unseen": [[*key, *sorted(values)] for key, values in self.unseen.items()],
            "usual": [[*key, value] for key, value in self.usual.items()],
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any] | None) -> Gaps:
        """Read back what :meth:`as_json` gave."""
        if not facts:
            return cls()
        return cls(
            {(label, column): frozenset(values) for label, column, *values in facts["unseen"]},
            {(label, column): value for label, column, value in facts["usual"]},
        )

    def parts(self, wanted: Int64, columns: Sequence[int], unsaid: Sequence[int]) -> Parts:
        """What the network is asked for requests that are new in these columns."""
        value, within = np.tile(np.array(unsaid), (len(wanted), 1)), wanted.copy()
        usual = value.copy()
        for column in columns:
            value[:, column] = wanted[:, column]
            known = [self.usual.get((int(label), column), unsaid[column]) for label in wanted[:, 0]]
            within[:, column] = usual[:, column] = known
        return Parts(value, within, usual)


class Parts(NamedTuple):
    """Indices int64 [n, 1 + A]: new values; the class with what it is usual with; that alone."""

    value: Int64
    within: Int64
    usual: Int64


def composed_velocity(
    network: FlowNetwork,
    parts: Parts,
    *,
    unsaid: Sequence[int],
    scale: float,
    interval: tuple[float, float],
) -> Velocity:
    """The velocity that puts them together, in one pass of four times the size.

    Outside the interval of times, the scale is 1.
    """
    device = next(network.parameters()).device
    nothing = np.tile(np.array(unsaid), (len(parts.value), 1))
    every = torch.from_numpy(np.concatenate([*parts, nothing])).to(device)

    def velocity(x: Tensor, t: float) -> Tensor:
        w = scale if interval[0] <= t <= interval[1] else 1.0
        out = network(torch.cat([x] * 4), x.new_full((4 * len(x),), t), every)
        value, within, usual, none = out.chunk(4)
        of_class, of_value = OF_CLASS * w * (within - usual), (OF_VALUE * w - 1) * (value - none)
        composed: Tensor = value + of_class + of_value
        return composed

    return velocity
