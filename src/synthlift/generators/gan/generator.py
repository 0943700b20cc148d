"""The adversarial network as a generator: fit, sample, save, load."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.gan.collapse import FEWEST_COMPARED, diversity_judge, unjudged
from synthlift.generators.gan.config import GANConfig, settle
from synthlift.generators.gan.networks import build_discriminator, build_generator, plan_network
from synthlift.generators.gan.training import GANLearner
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import load_examples
from synthlift.generators.learning.folders import read_network
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.generators.learning.loop import history, train
from synthlift.generators.learning.onepass import OnePassFitted, drawing
from synthlift.generators.learning.timing import with_chunk
from synthlift.seeds import seed_for
from synthlift.types import FitInputs, Generator, RunContext


class GANGenerator(Generator):
    """A class-conditional adversarial network in pixel space, from scratch (Huang 2024)."""

    def __init__(self, config: GANConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> GANFitted:
        """Learn the training images; see :class:`~synthlift.types.Generator`.

        A collapse is found while it trains: the weights before it are kept, and ``facts()`` warn.

        Raises:
            InputError: no training image with a label.
            SynthliftError: a loss is not finite.
        """
        data = inputs.train
        vocabulary = Vocabulary.of(data, self.config.attributes)
        config = settle(self.config, examples=len(data), image_shape=data.image_shape)
        plan = plan_network(config, image_shape=data.image_shape, conditions=vocabulary.sizes)
        trial = drawing(partial(build_generator, plan, seed=0), plan, device=run.device)
        config, timed = with_chunk(config, trial, plan=plan, run=run)
        examples = load_examples(
            data, vocabulary, class_balance=config.class_balance, device=run.device
        )
        facts: dict[str, Any] = {
            "kind": "gan",
            "config": config.model_dump(mode="json"),
            **vocabulary.as_json(),
        }
        if timed:
            facts["measured"] = timed

        def fitted(weights: Mapping[str, Tensor]) -> GANFitted:
            return GANFitted(plan=plan, weights=weights, history=facts, device=run.device)

        look = looks_at_samples(
            fitted,
            vocabulary=vocabulary,
            images=config.monitor_images,
            run=run,
            judge=diversity_judge(data, least=config.least_diversity, seed=run.seed),
            each=FEWEST_COMPARED,
        )
        learner = GANLearner(
            build_generator(plan, seed=seed_for(run.seed, "network")).to(run.device),
            build_discriminator(plan, seed=seed_for(run.seed, "discriminator")).to(run.device),
            examples=examples,
            config=config,
            seed=run.seed,
        )
        with deterministic_kernels():
            weights, progress = train(learner, examples=examples, config=config, run=run, look=look)
        facts.update(history(progress, steps=config.steps))
        if said := unjudged(data, least=config.least_diversity):
            facts["warnings"] = [*facts.get("warnings", []), *said]
        return fitted(weights)

    def load(self, folder: Path, *, device: str = "cpu") -> GANFitted:
        """Read a saved generator; what it was fitted with counts, not this Config."""
        plan, weights, facts = read_network(folder, kind="gan", classes=("GANSynthesis",))
        return GANFitted(plan=plan, weights=weights, history=facts, device=device)


class GANFitted(OnePassFitted):
    """A fitted adversarial network: its generator alone.

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
        network = build_generator(plan, seed=0)
        network.load_state_dict(dict(weights))
        super().__init__(network, plan=plan, history=history, device=device)
