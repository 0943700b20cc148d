"""What flow matching does in a training step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import torch
from torch import Tensor

from synthlift.generators.flow.batches import Batch, training_batches
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.network import FlowNetwork, hidden
from synthlift.generators.learning.compiling import compiled, keep_kernels
from synthlift.generators.learning.examples import Examples
from synthlift.generators.learning.loop import Learner
from synthlift.generators.learning.optimizer import (
    average_decay,
    learning_rate_factor,
    matrices,
    update,
)
from synthlift.generators.learning.parts import PartGradients
from synthlift.generators.learning.transport import Transport


class FlowLearner(Learner[Batch]):
    """The conditional flow matching loss (Lipman 2023, eq. 23).

    Args:
        network: changed in place.
        examples: what is learnt from.
        config: settled settings, of which nothing is left to be measured.
        seed: of the batches.
        transport: fills in combinations of class and attributes that were never seen.
        gaps: whether some are left, for which attributes are learnt without the class, too.
    """

    def __init__(
        self,
        network: FlowNetwork,
        *,
        examples: Examples,
        config: FlowConfig,
        seed: int,
        transport: Transport | None = None,
        gaps: bool = False,
    ) -> None:
        super().__init__("flow", network=network)
        self._transport, self._gaps = transport, gaps
        self._network: Callable[..., Tensor] = network
        if config.compile:
            assert config.compile is True, "tuned() comes first"
            keep_kernels()
            self._network = compiled(network)
        self._examples, self._config, self._seed = examples, config, seed
        muon = config.optimizer == "muon"
        self._orthogonal = matrices(network, chosen=hidden) if muon else ()
        self._gradients = PartGradients(network, parts=config.parts)

    def batches(self, steps: range) -> Generator[Batch, None, None]:
        """See :class:`~synthlift.generators.learning.loop.Learner`."""
        return training_batches(
            self._examples,
            self._config,
            seed=self._seed,
            steps=steps,
            transport=self._transport,
            gaps=self._gaps,
        )

    def step(self, batch: Batch, *, step: int, memory: Mapping[str, float]) -> dict[str, Tensor]:
        """One step on the mean squared error of the velocity."""
        del memory
        config, flat = self._config, self.flats["network"]
        assert isinstance(config.steps, int), "settle() comes first"
        loss = self._gradients.add(lambda rows: self._loss(batch.part(rows)), count=len(batch))
        update(
            flat,
            step=step,
            learning_rate=config.learning_rate * learning_rate_factor(step, config.steps),
            decay=average_decay(step, config.steps, horizon=config.ema),
            orthogonal=self._orthogonal,
        )
        return {"loss": loss}

    def _loss(self, batch: Batch) -> Tensor:
        rough = self._config.precision == "bfloat16"
        with torch.autocast(batch.x_nchw.device.type, torch.bfloat16, enabled=rough):
            predicted = self._network(
                batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4
            )
        errors = (predicted.float() - batch.target_nchw).square()
        if batch.weights_n is not None:
            errors = errors * batch.weights_n[:, None, None, None]
        mean: Tensor = errors.mean()
        return mean
