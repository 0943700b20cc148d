"""The variational autoencoder as a generator: fit, sample, save, load."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import load_examples, to_unit
from synthlift.generators.learning.folders import read_network
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import history, train
from synthlift.generators.learning.onepass import OnePassFitted, drawing
from synthlift.generators.learning.timing import with_chunk
from synthlift.generators.vae.config import VAEConfig, settle
from synthlift.generators.vae.network import ConditionalVAE, build_network, plan_network
from synthlift.generators.vae.training import VAELearner
from synthlift.seeds import generator_for, seed_for
from synthlift.types import FitInputs, Float32, Generator, ImageSet, RunContext

LOSS_DRAWS = 8


class VAEGenerator(Generator):
    """A conditional σ-VAE in pixel space, from scratch (Sohn 2015; Rybkin 2021)."""

    def __init__(self, config: VAEConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> VAEFitted:
        """Learn the training images; see :class:`~synthlift.types.Generator`.

        Raises:
            InputError: no training image with a label.
            SynthliftError: the loss is not finite.
        """
        data = inputs.train
        vocabulary = Vocabulary.of(data, self.config.attributes)
        config = settle(self.config, examples=len(data), image_shape=data.image_shape)
        plan = plan_network(config, image_shape=data.image_shape, conditions=vocabulary.sizes)
        network = build_network(plan, seed=seed_for(run.seed, "network")).to(run.device)
        trial = drawing(partial(build_network, plan, seed=0), plan, device=run.device)
        config, timed = with_chunk(config, trial, plan=plan, run=run)
        examples = load_examples(
            data, vocabulary, class_balance=config.class_balance, device=run.device
        )
        facts: dict[str, Any] = {
            "kind": "vae",
            "config": config.model_dump(mode="json"),
            **vocabulary.as_json(),
        }
        if timed:
            facts["measured"] = timed

        def fitted(weights: Mapping[str, Tensor]) -> VAEFitted:
            return VAEFitted(plan=plan, weights=weights, history=facts, device=run.device)

        look = looks_at_samples(
            fitted, vocabulary=vocabulary, images=config.monitor_images, run=run
        )
        learner = VAELearner(network, examples=examples, config=config, seed=run.seed)
        with deterministic_kernels():
            weights, progress = train(learner, examples=examples, config=config, run=run, look=look)
        facts.update(history(progress, steps=config.steps))
        return fitted(weights)

    def load(self, folder: Path, *, device: str = "cpu") -> VAEFitted:
        """Read a saved generator; what it was fitted with counts, not this Config."""
        plan, weights, facts = read_network(folder, kind="vae", classes=("ConditionalVAE",))
        return VAEFitted(plan=plan, weights=weights, history=facts, device=device)


class VAEFitted(OnePassFitted):
    """A fitted variational autoencoder.

    Args:
        plan: the network's plan.
        weights: tensors by parameter name.
        history: settings, classes and what happened in training, JSON-able.
        device: torch device string.
    """

    def __init__(
        self,
        *,
        plan: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        history: Mapping[str, Any],
        device: str = "cpu",
    ) -> None:
        self._vae = build_network(plan, seed=0)
        self._vae.load_state_dict(dict(weights))
        super().__init__(self._vae, plan=plan, history=history, device=device)

    def loss(self, images: ImageSet, *, seed: int) -> Float32:
        """Negative evidence lower bound per image in nats, up to a constant, float32 [N].

        The mean over 8 latents, drawn with noises that all images share. Lower = better explained.
        Images without a label are scored without a class.
        """
        return explained_loss(
            self._vae,
            images,
            self._vocabulary,
            seed=seed,
            chunk=self._micro_batch,
            latent=self._plan["latent"],
        )


@torch.inference_mode()
def explained_loss(
    network: ConditionalVAE,
    images: ImageSet,
    vocabulary: Vocabulary,
    *,
    seed: int,
    chunk: int,
    latent: int,
) -> Float32:
    """Negative evidence lower bound per image, float32 [N]; always ``chunk`` images at once."""
    device = next(network.parameters()).device
    drawn = generator_for(seed, "loss_noise").standard_normal((LOSS_DRAWS, latent), np.float32)
    noises = torch.from_numpy(drawn).to(device)
    losses = np.zeros(len(images), dtype=np.float32)
    said = torch.from_numpy(vocabulary.encode(images.labels, images.attributes))
    height, width, channels = images.image_shape
    for start in range(0, len(images), chunk):
        rows = np.arange(start, min(start + chunk, len(images)))
        x = torch.zeros(chunk, channels, height, width)
        x[: len(rows)] = to_unit(torch.from_numpy(images.pixels(rows)).permute(0, 3, 1, 2))
        wanted = torch.tensor(vocabulary.sizes).repeat(chunk, 1)
        wanted[: len(rows)] = said[rows]
        x, wanted, total = x.to(device), wanted.to(device), torch.zeros(chunk, device=device)
        with deterministic_kernels():
            for noise in noises:
                bound = network.bound(x, wanted, noise.expand(chunk, -1))
                total += bound.reconstruction_n + bound.divergence_n
        losses[rows] = (total / LOSS_DRAWS)[: len(rows)].cpu().numpy()
    return losses
