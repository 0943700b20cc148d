"""Gradients of the parts of a batch, computed at a time by threads.

Two threads that compute half a batch each take less time than one batch whose every operation is
cut in two: on a processor the parts meet once a step rather than a few hundred times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import Tensor, nn

LossOf = Callable[[slice], Tensor]
"""The mean loss of some rows of a batch, a scalar with a graph."""


def cut(count: int, parts: int) -> list[slice]:
    """At most ``parts`` slices of ``count`` rows, none empty, as even as can be."""
    parts = min(parts, count)
    edges = [count * i // parts for i in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


class PartGradients:
    """Adds the gradient of a mean loss to a network's, part by part.

    The parts do not depend on how many cores there are, and their gradients are added in order, so
    that neither does a bit of the sum.

    Args:
        network: its parameters' ``grad`` are tensors.
        parts: of a batch; on a processor each has a thread, elsewhere they take turns.
    """

    def __init__(self, network: nn.Module, *, parts: int) -> None:
        self._parameters = list(network.parameters())
        self._parts = parts
        at_once = parts > 1 and self._parameters[0].device.type == "cpu"
        self._threads = ThreadPoolExecutor(parts, "part") if at_once else None

    def add(self, loss_of: LossOf, *, count: int) -> Tensor:
        """Add the gradient of the mean loss over ``count`` rows; returns that loss, detached."""
        if self._parts == 1:
            loss = loss_of(slice(0, count))
            torch.autograd.backward(loss)
            return loss.detach()
        slices = cut(count, self._parts)
        shares = [(rows.stop - rows.start) / count for rows in slices]

        def gradient(rows: slice, share: float) -> tuple[Tensor, Sequence[Tensor | None]]:
            loss = loss_of(rows) * share
            return loss.detach(), torch.autograd.grad(loss, self._parameters, allow_unused=True)

        spread = map if self._threads is None else self._threads.map
        losses = []
        for loss, found in spread(gradient, slices, shares):
            losses.append(loss)
            for parameter, one in zip(self._parameters, found, strict=True):
                if one is not None:
                    assert parameter.grad is not None
                    parameter.grad.add_(one)
        return torch.stack(losses).sum()
