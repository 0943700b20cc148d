"""Fitted generators that draw an image in one pass: noise and conditions in, pixels out."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.drawing import deterministic_kernels, noise_for
from synthlift.generators.learning.examples import to_pixels
from synthlift.generators.learning.folders import write_network
from synthlift.types import FittedGenerator, ImageBatch, SampleRequest


class OnePassNetwork(nn.Module):
    """Base of networks that draw in one pass."""

    @abstractmethod
    def draw(self, noise_nd: Tensor, wanted_nk: Tensor) -> Tensor:
        """Images [N, C, H, W] in about [-1, 1].

        Args:
            noise_nd: standard normal [N, latent].
            wanted_nk: indices of class and attribute values, int64 [N, 1 + attributes].
        """


def drawing(
    build: Callable[[], OnePassNetwork], plan: Mapping[str, Any], *, device: str
) -> Callable[[int], object]:
    """What draws so many images of nothing in particular, to be timed."""
    network = cache(lambda: build().to(device).eval())
    shapes = (plan["latent"], len(plan["conditions"]))

    def draw(size: int) -> object:
        noise, wanted = (torch.zeros(size, one, device=device) for one in shapes)
        return to_pixels(network().draw(noise, wanted.long())).cpu()

    return draw


class OnePassFitted(FittedGenerator):
    """Base of fitted generators that draw in one pass.

    Args:
        network: with its weights.
        plan: the network's plan, which names ``image_shape`` and ``latent``.
        history: settings, classes and what happened in training, JSON-able.
        device: torch device string.
    """

    def __init__(
        self,
        network: OnePassNetwork,
        *,
        plan: Mapping[str, Any],
        history: Mapping[str, Any],
        device: str,
    ) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._plan, self._history, self._device = dict(plan), dict(history), device
        self._vocabulary = Vocabulary.from_json(history)
        self._micro_batch: int = history["config"]["micro_batch"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Native height, width and channels: those of the training images."""
        height, width, channels = self._plan["image_shape"]
        return height, width, channels

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield batches of at most ``micro_batch`` images, in order of the requests.

        Raises:
            InputError: a class, attribute or value without training images, or any parameter.
        """
        for request in requests:
            self._vocabulary.require(request)
            _refuse_params(request, kind=self._history["kind"])
        for start in range(0, len(requests), self._micro_batch):
            yield self._chunk(requests[start : start + self._micro_batch])

    @property
    def micro_batch(self) -> int:
        """Images computed together, see :class:`~synthlift.types.SamplesInChunks`."""
        return self._micro_batch

    def with_micro_batch(self, micro_batch: int) -> OnePassFitted:
        """The same generator computing so many images together."""
        other = copy.copy(self)
        other._micro_batch = micro_batch
        return other

    def save(self, folder: Path) -> None:
        """Write network and facts, see ``learning.folders``."""
        weights = dict(self._network.named_parameters())
        write_network(folder, plan=self._plan, weights=weights, facts=self._history)

    def facts(self) -> dict[str, Any]:
        """Settings, parameters and training history, for the report."""
        parameters = sum(weight.numel() for weight in self._network.parameters())
        return {**self._history, "network": dict(self._plan), "parameters": parameters}

    @torch.inference_mode()
    def _chunk(self, requests: Sequence[SampleRequest]) -> ImageBatch:
        """Draw a chunk of one fixed size: kernels round differently at other batch shapes."""
        count, size = len(requests), self._micro_batch
        noise = torch.zeros(size, self._plan["latent"])
        noise[:count] = noise_for([r.seed for r in requests], shape=(self._plan["latent"],))
        rows = torch.zeros(size, len(self._vocabulary.sizes), dtype=torch.int64)
        rows[:count] = torch.from_numpy(self._vocabulary.of_requests(requests))
        with deterministic_kernels():
            drawn = self._network.draw(noise.to(self._device), rows.to(self._device))
        pixels = to_pixels(drawn[:count]).permute(0, 2, 3, 1).cpu().numpy()
        labels = np.array([request.label for request in requests], np.int64)
        return ImageBatch(pixels=np.ascontiguousarray(pixels), labels=labels)


def _refuse_params(request: SampleRequest, *, kind: str) -> None:
    for name in request.params:
        raise InputError(
            f"request {request.index} sets '{name}'",
            rule=f"a request to a {kind} generator may set nothing",
            remedy="remove it",
        )
