"""A fitted translator beside its sources: which source image a request takes, and how changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.drawing import deterministic_kernels, noise_for
from synthlift.generators.learning.examples import (
    AUGMENTATIONS,
    apply_augmentation,
    as_nchw,
    to_pixels,
    to_unit,
)
from synthlift.generators.learning.folders import write_network
from synthlift.generators.translation.config import TranslationConfig
from synthlift.generators.translation.networks import build_translator
from synthlift.generators.translation.new_masks import FOLDER, NewMasks
from synthlift.generators.translation.sources import Rows, Sources
from synthlift.seeds import generator_for, seed_for
from synthlift.types import FittedGenerator, ImageBatch, Int64, SampleRequest, UInt8

RESERVED_AT_MOST = 64
"""Source images of a class that are kept for tests, as in an imported pool."""


NEW = -1


@dataclass(frozen=True)
class _Taken:
    """A source image for a request; ``changed`` says that it is changed first.

    The row is :data:`NEW` where a new mask is drawn.
    """

    request: SampleRequest
    row: int
    changed: bool


class TranslationFitted(FittedGenerator):
    """A translator and what it translates.

    Args:
        sources: source images.
        plan: the network's plan.
        weights: tensors by parameter name.
        history: settings, seed, classes and what happened in training, JSON-able.
        new_masks: what draws new masks in place of those of the sources.
        device: torch device string.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        plan: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        history: Mapping[str, Any],
        new_masks: NewMasks | None = None,
        device: str = "cpu",
    ) -> None:
        network = build_translator(plan, seed=0)
        network.load_state_dict(dict(weights))
        self._network = network.to(device).eval().requires_grad_(False)
        self._plan, self._history, self._device = dict(plan), dict(history), device
        self._images, self._vocabulary = sources.images, Vocabulary.from_json(history)
        self._config = TranslationConfig.model_validate(history["config"])
        self._has_partner = set(sources.partners.tolist())
        self._new_masks = new_masks
        self._orders: dict[tuple[int, str], Rows] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the training images."""
        height, width, channels = self._plan["image_shape"]
        return height, width, channels

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield translated images in order of the requests, of masks with the changed masks.

        Requests take the source images of their class in turn, so that none is used twice before
        all were used once. It ends where a class has no more.

        Raises:
            InputError: an unknown class, an attribute, or any parameter.
        """
        for request in requests:
            self._require(request)
        found = [self._take(request) for request in requests]
        taken = [one for one in found[: (*found, None).index(None)] if one is not None]
        for start in range(0, len(taken), self.micro_batch):
            yield self._chunk(taken[start : start + self.micro_batch])

    def translate(self, pixels: UInt8, labels: Int64) -> UInt8:
        """Translate source images as they are.

        Args:
            pixels: uint8 [n, H, W, C'].
            labels: class indices [n].
        """
        made = []
        for start in range(0, len(pixels), self.micro_batch):
            part = slice(start, start + self.micro_batch)
            seeds = [seed_for("as_it_is", row) for row in range(len(pixels))[part]]
            unit = to_unit(as_nchw(torch.from_numpy(pixels[part])))
            made.append(self._run(unit, labels[part], seeds))
        return np.concatenate(made) if made else np.zeros((0, *self.image_shape), np.uint8)

    def stock(self, stream: str = "train") -> dict[str, int]:
        """How many images of each class can be asked for; new masks do not run out."""
        classes = enumerate(self._vocabulary.classes)
        return {name: self._variations * len(self._order(k, stream)) for k, name in classes}

    @property
    def micro_batch(self) -> int:
        """Images computed together, see :class:`~synthlift.types.SamplesInChunks`."""
        found = self._config.micro_batch
        assert isinstance(found, int), "measured when it was fitted"
        return found

    def with_micro_batch(self, micro_batch: int) -> TranslationFitted:
        """The same generator, and what draws its masks, computing so many images together."""
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"micro_batch": micro_batch})
        if self._new_masks is not None:
            other._new_masks = self._new_masks.in_chunks_of(micro_batch)
        return other

    def save(self, folder: Path) -> None:
        """Write network and facts, see ``learning.folders``, and what draws masks; no source."""
        if self._new_masks is not None:
            self._new_masks.fitted.save(folder / FOLDER)
        weights = dict(self._network.named_parameters())
        write_network(folder, plan=self._plan, weights=weights, facts=self._history)

    def facts(self) -> dict[str, Any]:
        """Settings, parameters, what is translated and training history, for the report."""
        parameters = sum(weight.numel() for weight in self._network.parameters())
        return {**self._history, "network": dict(self._plan), "parameters": parameters}

    @property
    def _variations(self) -> int:
        assert isinstance(self._config.variations, int), "settle() comes first"
        return self._config.variations

    def _require(self, request: SampleRequest) -> None:
        if not 0 <= request.label < len(self._vocabulary.classes) or request.attributes:
            self._vocabulary.require(request)
        for name in request.params:
            raise InputError(
                f"request {request.index} sets '{name}'",
                rule="a request to a translation generator may set nothing",
                remedy="remove it",
            )

    def _take(self, request: SampleRequest) -> _Taken | None:
        """The source image at a request's index, or None beyond the last one."""
        if self._new_masks is not None:
            return _Taken(request, NEW, False) if self._new_masks.has(request.label) else None
        order = self._order(request.label, request.stream)
        if request.index >= self._variations * len(order):
            return None
        row = int(order[request.index % len(order)])
        # What belongs to a training image would give that image again.
        changed = request.index >= len(order) or row in self._has_partner
        return _Taken(request, row, changed)

    def _order(self, label: int, stream: str) -> Rows:
        key = (label, stream)
        if key not in self._orders:
            rows = np.flatnonzero(self._images.labels == label)
            # By id, so that the order of files changes nothing.
            rows = rows[np.argsort(self._images.ids[rows], kind="stable")]
            rows = generator_for(self._history["seed"], "sources", label).permutation(rows)
            kept = min(RESERVED_AT_MOST, int(self._config.reserved * len(rows)))
            rows = rows[len(rows) - kept :] if stream == "test" else rows[: len(rows) - kept]
            self._orders[key] = rows.astype(np.intp)
        return self._orders[key]

    def _chunk(self, taken: Sequence[_Taken]) -> ImageBatch:
        source, names, origins = self._sources(taken)
        seeds = [seed_for(t.request.seed, "noise", n) for t, n in zip(taken, names, strict=True)]
        labels = np.array([one.request.label for one in taken], np.int64)
        masks = self._config.wants_masks()
        return ImageBatch(
            pixels=self._run(source, labels, seeds),
            labels=labels,
            masks=to_pixels(source)[:, 0].numpy() if masks else None,
            origins=origins,
        )

    def _sources(self, taken: Sequence[_Taken]) -> tuple[Tensor, list[str], tuple[str, ...]]:
        """Source images as they are translated, their names, and the same in words."""
        if self._new_masks is not None:
            drawn = self._new_masks.draw([one.request for one in taken])
            words = f"new mask drawn by {self._new_masks.kind}"
            unit = to_unit(as_nchw(torch.from_numpy(drawn)))
            return unit, [words] * len(taken), (words,) * len(taken)
        rows = np.array([one.row for one in taken], np.intp)
        names = self._images.ids[rows].tolist()
        unit = to_unit(as_nchw(torch.from_numpy(self._images.pixels(rows))))
        masks = self._config.wants_masks()
        origins = tuple(f"mask of {name}" if masks else name for name in names)
        return self._changed(unit, taken, names), names, origins

    def _changed(self, unit: Tensor, taken: Sequence[_Taken], names: Sequence[str]) -> Tensor:
        """Shifted, turned, scaled and mirrored source images, each by its own seed."""
        amounts = torch.zeros(len(taken), AUGMENTATIONS)
        mirrored = torch.zeros(len(taken), dtype=torch.bool)
        for place, (one, name) in enumerate(zip(taken, names, strict=True)):
            if one.changed:
                rng = generator_for(one.request.seed, "change", name)
                drawn = rng.uniform(-1, 1, AUGMENTATIONS) * self._config.change
                amounts[place] = torch.from_numpy(drawn)
                mirrored[place] = self._config.flip and rng.random() < 0.5
        # One by one, since kernels round differently at other batch shapes.
        each = range(len(taken))
        found = torch.cat([apply_augmentation(unit[i : i + 1], amounts[i : i + 1]) for i in each])
        found = torch.where(mirrored[:, None, None, None], found.flip(3), found)
        if not self._config.wants_masks():
            return found
        marked = torch.where(found > 0, 1.0, -1.0)
        # A hairline crack must not vanish between pixels.
        gone = (marked < 0).all(dim=3).all(dim=2).all(dim=1)
        return torch.where(gone[:, None, None, None], unit, marked)

    @torch.inference_mode()
    def _run(self, unit: Tensor, labels: Int64, seeds: Sequence[int]) -> UInt8:
        """Translate a chunk of one fixed size: kernels round differently at other batch shapes."""
        count, size = len(unit), self.micro_batch
        images = torch.zeros(size, *unit.shape[1:])
        images[:count] = unit
        if self._plan["noise_channels"]:
            shape = (self._plan["noise_channels"], *unit.shape[2:])
            noise = torch.zeros(size, *shape)
            noise[:count] = noise_for(seeds, shape=shape)
            images = torch.cat([images, noise], dim=1)
        wanted = torch.zeros(size, 1, dtype=torch.int64)
        wanted[:count, 0] = torch.from_numpy(labels)
        with deterministic_kernels():
            made = self._network(images.to(self._device), wanted.to(self._device))
        found = to_pixels(made[:count]).permute(0, 2, 3, 1).cpu().numpy()
        return np.ascontiguousarray(found)
