"""What the adversarial networks learn from in a training step."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import torch
from torch import Tensor

from synthlift.generators.gan.adversarial import AdversarialLearner, Batch, Settings
from synthlift.generators.gan.config import GANConfig
from synthlift.generators.gan.networks import Discriminator, GANSynthesis
from synthlift.generators.learning.examples import Examples, draw_dropout, drawn_images, to_unit


class GANLearner(AdversarialLearner[Batch]):
    """Images from noise and conditions; see :class:`~.adversarial.AdversarialLearner`.

    Args:
        synthesis, discriminator: changed in place.
        examples: what is learnt from.
        config: settled settings.
        seed: of the batches.
    """

    def __init__(
        self,
        synthesis: GANSynthesis,
        discriminator: Discriminator,
        *,
        examples: Examples,
        config: GANConfig,
        seed: int,
    ) -> None:
        super().__init__("gan", synthesis, discriminator, settings=Settings.of(config))
        self._synthesis = synthesis
        self._examples, self._config, self._seed = examples, config, seed

    def batches(self, steps: range) -> Generator[Batch, None, None]:
        """See :class:`~synthlift.generators.learning.loop.Learner`."""
        examples, count = self._examples, self._settings.batch_size
        images = drawn_images(examples, batch_size=count, seed=self._seed, steps=steps)
        with closing(images) as found:
            for drawn, pixels in found:
                wanted = examples.wanted_nk[drawn.rows.to(examples.device)]
                dropped = draw_dropout(
                    wanted.shape,
                    everything=0.0,
                    attribute=self._config.attribute_dropout,
                    stream=drawn.stream,
                ).to(examples.device)
                yield Batch(
                    real_nchw=to_unit(pixels),
                    wanted_nk=torch.where(dropped, examples.unsaid_k, wanted),
                    stream=drawn.stream,
                )

    def drawn(self, batch: Batch) -> Tensor:
        """See :class:`~.adversarial.AdversarialLearner`."""
        count = len(batch.real_nchw)
        assert isinstance(self._config.latent, int), "settle() comes first"
        noise = torch.randn(count, self._config.latent, generator=batch.stream)
        return self._synthesis.draw(noise.to(batch.real_nchw.device), batch.wanted_nk)
