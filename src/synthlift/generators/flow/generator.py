"""The flow matching generator: fit, sample, save, load."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.composing import Gaps
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.encoding import (
    channel_statistics,
    encode_images,
    latent_examples,
)
from synthlift.generators.flow.likelihood import log_likelihood
from synthlift.generators.flow.network import FlowNetwork, build_network, plan_network
from synthlift.generators.flow.sampling import (
    Start,
    check_params,
    draw_images,
    explained_loss,
)
from synthlift.generators.flow.saving import read_folder, write_folder
from synthlift.generators.flow.space import LatentSpace, Space, open_space, saved_space
from synthlift.generators.flow.training import FlowLearner
from synthlift.generators.flow.tuning import tuned
from synthlift.generators.learning.compiling import require_compiler
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import Examples, as_nchw, load_examples
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import history, train
from synthlift.generators.learning.transport import Transport, learn_transport
from synthlift.seeds import seed_for
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Float32,
    Generator,
    ImageBatch,
    ImageSet,
    RunContext,
    SampleRequest,
    UInt8,
)
from synthlift.vision.transforms import flip_keeps_class


class FlowGenerator(Generator):
    """Class-conditional flow matching, from scratch (Lipman 2023; Liu 2023).

    In pixels, or in the latents of a frozen autoencoder (Rombach 2022).
    """

    def __init__(self, config: FlowConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> FlowFitted:
        """Learn the training images; see :class:`~synthlift.types.Generator`.

        Raises:
            InputError: no training image, or none with a label; the autoencoder cannot be read, is
                another one than was planned with, or gives latents that are not finite;
                ``compile`` is set, and nothing here can.
            SynthliftError: the loss is not finite.
        """
        if self.config.compile is True:
            require_compiler(run.device)
        data = _with_unlabelled(inputs, self.config)
        vocabulary = Vocabulary.of(inputs.train, self.config.attributes)
        config = settle(self.config, examples=len(data), image_shape=data.image_shape)
        config = config.model_copy(update={"flip": "yes" if _flips(inputs, config) else "no"})
        space = open_space(config, image_shape=data.image_shape, device=run.device)
        plan = plan_network(config, image_shape=space.shape, conditions=vocabulary.sizes)
        network = build_network(plan, seed=seed_for(run.seed, "network")).to(run.device)
        examples = load_examples(
            data,
            vocabulary,
            class_balance=config.class_balance,
            device=run.device,
            unlabelled_share=config.unlabelled_share,
            cells=config.balance_over == "cells",
        )
        transport = learn_transport(inputs.train, vocabulary) if config.carry else Transport()
        gaps = Gaps()
        if config.attribute_dropout:
            gaps = Gaps.of(examples.wanted_nk.cpu().numpy(), vocabulary, transport)
        in_pixels = transport
        if isinstance(space, LatentSpace):
            space, examples = _in_latents(
                data, space, examples=examples, transport=transport, config=config, run=run
            )
            in_pixels = Transport()  # What is carried was encoded.
        config, timed = tuned(
            config, network=network, plan=plan, examples=examples, space=space, run=run
        )
        learner = FlowLearner(
            network,
            examples=examples,
            config=config,
            seed=run.seed,
            transport=in_pixels,
            gaps=bool(gaps),
        )
        facts = {
            "config": config.model_dump(mode="json"),
            **vocabulary.as_json(),
            **space.as_json(),
        }
        if timed:
            facts["measured"] = timed
        if transport.carries:
            facts["carried"] = transport.as_json(vocabulary)

        if gaps:
            facts["composed"] = gaps.as_json()

        def fitted(weights: Mapping[str, Tensor]) -> FlowFitted:
            return FlowFitted(
                plan=plan, weights=weights, history=facts, space=space, device=run.device
            )

        assert config.monitor_images != "auto", "settle() comes first"
        look = looks_at_samples(
            fitted, vocabulary=vocabulary, images=config.monitor_images, run=run
        )
        with deterministic_kernels():
            weights, progress = train(learner, examples=examples, config=config, run=run, look=look)
        facts.update(history(progress, steps=config.steps))
        return fitted(weights)

    def load(self, folder: Path, *, device: str = "cpu") -> FlowFitted:
        """Read a saved generator; what it was fitted with counts, not this Config."""
        plan, weights, facts = read_folder(folder)
        height, width, channels = plan["image_shape"]
        space = saved_space(folder, facts, shape=(height, width, channels), device=device)
        return FlowFitted(plan=plan, weights=weights, history=facts, space=space, device=device)


class FlowFitted(FittedGenerator):
    """A fitted flow generator.

    Args:
        plan: the network's plan.
        weights: tensors by parameter name.
        history: settings, classes and what happened in training, JSON-able.
        space: what the network draws in.
        device: torch device string.
    """

    def __init__(
        self,
        *,
        plan: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        history: Mapping[str, Any],
        space: Space,
        device: str = "cpu",
    ) -> None:
        self._plan, self._history, self._space = dict(plan), dict(history), space
        self._vocabulary = Vocabulary.from_json(history)
        self._gaps = Gaps.from_json(history.get("composed"))
        self._config = settle(
            FlowConfig.model_validate(history["config"]),
            examples=sum(self._vocabulary.counts),
            image_shape=self.image_shape,
        )
        self._network = _network_with(plan, weights, device=device)
        self._device = device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Native height, width and channels: those of the training images."""
        return self._space.image_shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield batches of at most ``micro_batch`` images, in order of the requests.

        A request may set ``guidance_scale`` and ``sampler_steps`` in its ``params``.

        Raises:
            InputError: a class, attribute or value without training images, or an unknown
                parameter.
        """
        yield from self._images(requests, start=None)

    def vary(
        self, start: UInt8, requests: Sequence[SampleRequest], *, strength: float
    ) -> Iterator[ImageBatch]:
        """As :meth:`sample`, from the path's point at time ``strength`` between image and noise.

        Raises:
            InputError: as :meth:`sample`.
        """
        x = self._space.enter(as_nchw(torch.from_numpy(np.array(start)[np.newaxis])))[0]
        yield from self._images(requests, start=Start(x, strength))

    def _images(
        self, requests: Sequence[SampleRequest], *, start: Start | None
    ) -> Iterator[ImageBatch]:
        for request in requests:
            self._vocabulary.require(request)
            check_params(request)
            self._require_guidance(request)
        size = self.micro_batch
        for (scale, steps, _), group in groupby(requests, key=self._settings):
            members = list(group)
            for first in range(0, len(members), size):
                yield self._chunk(members[first : first + size], scale, steps, start=start)

    def _require_guidance(self, request: SampleRequest) -> None:
        scale = self._settings(request)[0]
        if scale != 1 and not self._config.label_dropout:
            raise InputError(
                f"request {request.index} sets 'guidance_scale' to {scale:g}",
                rule="label_dropout: 0 leaves nothing to guide by: images of which nothing is said "
                "were not learnt",
                remedy="leave it at 1, or fit again with label_dropout above 0",
            )

    @property
    def micro_batch(self) -> int:
        """Images computed together, see :class:`~synthlift.types.SamplesInChunks`."""
        found = self._config.micro_batch
        assert found != "measured", "tuned() comes first"
        return found

    def with_micro_batch(self, micro_batch: int) -> FlowFitted:
        """The same generator computing so many images together."""
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"micro_batch": micro_batch})
        return other

    def save(self, folder: Path) -> None:
        """Write the folder format of diffusers, see ``saving``, with a small autoencoder."""
        weights = dict(self._network.named_parameters())
        self._space.save(folder)
        write_folder(
            folder,
            plan=self._plan,
            weights=weights,
            facts=self._history,
            shift=float(self._config.time_shift),
        )

    def loss(self, images: ImageSet, *, seed: int) -> Float32:
        """Flow matching loss per image at fixed times and noises, float32 [N].

        The mean squared error of the velocity over 16 evenly spaced times, each with one noise
        that all images share: differences between images are then theirs. Lower = better
        explained. Images without a label are scored without a class.
        """
        return explained_loss(
            self._network,
            images,
            self._vocabulary,
            space=self._space,
            seed=seed,
            chunk=self.micro_batch,
        )

    def log_likelihood(self, images: ImageSet, *, seed: int) -> Float32:
        """Log-likelihood per image in bits per dimension, float32 [N]; higher = better explained.

        What is elsewhere called "bits per dimension" is its negative. Dequantised uniformly, see
        ``likelihood``; conditional on class and attributes, without guidance.
        """
        return log_likelihood(
            self._network,
            images,
            self._vocabulary,
            space=self._space,
            seed=seed,
            chunk=self.micro_batch,
        )

    def facts(self) -> dict[str, Any]:
        """Settings, parameters, training history and readings, for the report."""
        parameters = sum(weight.numel() for weight in self._network.parameters())
        return {**self._history, "network": dict(self._plan), "parameters": parameters}

    def _chunk(
        self,
        requests: Sequence[SampleRequest],
        guidance_scale: float,
        sampler_steps: int,
        *,
        start: Start | None,
    ) -> ImageBatch:
        labels = [request.label for request in requests]
        pixels = draw_images(
            self._network,
            wanted=self._vocabulary.of_requests(requests),
            gaps=self._gaps,
            unsaid=self._vocabulary.sizes,
            seeds=[request.seed for request in requests],
            space=self._space,
            guidance_scale=guidance_scale,
            guidance_interval=self._config.guidance_interval,
            sampler=self._config.sampler,
            sampler_steps=sampler_steps,
            time_shift=float(self._config.time_shift),
            chunk=self.micro_batch,
            start=start,
        )
        return ImageBatch(pixels=pixels, labels=np.asarray(labels, dtype=np.int64))

    def _settings(self, request: SampleRequest) -> tuple[float, int, tuple[int, ...]]:
        """What requests that are computed together have in common."""
        scale = float(request.params.get("guidance_scale", self._config.guidance_scale))
        steps = int(request.params.get("sampler_steps", self._config.sampler_steps))
        new: tuple[int, ...] = ()
        if self._gaps:
            (row,) = self._vocabulary.of_requests([request]).tolist()
            new = self._gaps.columns(row)
        return scale, steps, new


def _network_with(
    plan: Mapping[str, Any], weights: Mapping[str, Tensor], *, device: str
) -> FlowNetwork:
    network = build_network(plan, seed=0)
    network.load_state_dict(dict(weights))
    return network.to(device).eval().requires_grad_(False)


def _in_latents(
    images: ImageSet,
    space: LatentSpace,
    *,
    examples: Examples,
    transport: Transport,
    config: FlowConfig,
    run: RunContext,
) -> tuple[LatentSpace, Examples]:
    """The training images' latents as examples, and the space that they standardise."""
    encoded = encode_images(
        images, space, wanted_nk=examples.wanted_nk, transport=transport, config=config, run=run
    )
    mean, deviation = channel_statistics(encoded)
    space = space.standardised(mean=mean, deviation=deviation)
    assert isinstance(config.augmentation, float | int), "settle() comes first"
    share = float(config.augmentation)
    return space, latent_examples(examples, encoded, space, share=share)


def _flips(inputs: FitInputs, config: FlowConfig) -> bool:
    """Whether examples are mirrored."""
    if config.autoencoder or config.flip == "no":
        return False
    tested = config.flip == "auto"
    return not tested or (not config.attributes and flip_keeps_class(inputs.train)[0])


def _with_unlabelled(inputs: FitInputs, config: FlowConfig) -> ImageSet:
    if inputs.unlabelled is None or not config.unlabelled_share:
        return inputs.train
    return ImageSet.joined([inputs.train, inputs.unlabelled])
