"""What translators do in a training step, without pairs and with them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthlift.generators.gan.adversarial import AdversarialLearner, Batch, Settings
from synthlift.generators.gan.networks import Discriminator
from synthlift.generators.learning.examples import (
    MAX_SHIFT,
    Examples,
    drawn_images,
    to_unit,
)
from synthlift.generators.translation.config import TranslationConfig
from synthlift.generators.translation.fine import PatchDiscriminator
from synthlift.generators.translation.networks import Heads
from synthlift.generators.translation.unet import UNetTranslator

TEMPERATURE = 0.07
PLACES = 64
"""Places of an image that are compared with each other, at most, on each level."""


@dataclass(frozen=True)
class TranslationBatch(Batch):
    """With source images in [-1, 1] for the real ones, then noise, [N, C + noise, H, W]."""

    source_nchw: Tensor


@dataclass(frozen=True)
class Lesson:
    """What is learnt from.

    Attributes:
        real: training images.
        source: source images; with pairs, row i is the partner of real row i.
    """

    real: Examples
    source: Examples


class UnpairedLearner(AdversarialLearner[TranslationBatch]):
    """Contrastive translation (Park 2020, eq. 5) of a class into images of the same class.

    Args:
        translator, discriminator, heads: changed in place.
        lesson: what is learnt from; every class of its real images has source images.
        config: settled settings.
        seed: of the batches.
    """

    def __init__(
        self,
        translator: UNetTranslator,
        discriminator: Discriminator | PatchDiscriminator,
        heads: Heads,
        *,
        lesson: Lesson,
        config: TranslationConfig,
        seed: int,
    ) -> None:
        settings = Settings.of(config)
        super().__init__("translation", translator, discriminator, settings=settings, heads=heads)
        self._translator, self._heads, self._lesson = translator, heads, lesson
        self._config, self._seed = config, seed
        self._order, self._starts, self._counts = _by_class(lesson.source)

    def batches(self, steps: range) -> Generator[TranslationBatch, None, None]:
        """Real images, and for each a source image of its class, chosen evenly."""
        real, count = self._lesson.real, self._settings.batch_size
        images = drawn_images(real, batch_size=count, seed=self._seed, steps=steps)
        with closing(images) as found:
            for drawn, pixels in found:
                wanted = real.wanted_nk[drawn.rows.to(real.device)]
                labels = wanted[:, 0].cpu()
                chance = torch.rand(len(labels), generator=drawn.stream, dtype=torch.float64)
                places = (chance * self._counts[labels]).long() + self._starts[labels]
                source = self._lesson.source.images(self._order[places]).to(real.device)
                x = to_unit(source)
                if self._config.flip:
                    x = _mirrored(x, torch.rand(len(x), generator=drawn.stream) < 0.5)
                yield TranslationBatch(to_unit(pixels), wanted, drawn.stream, x)

    def drawn(self, batch: TranslationBatch) -> Tensor:
        """See :class:`~synthlift.generators.gan.adversarial.AdversarialLearner`."""
        made: Tensor = self._translator(batch.source_nchw, batch.wanted_nk)
        return made

    def further_losses(self, batch: TranslationBatch, drawn: Tensor) -> dict[str, Tensor]:
        """Places keep what they show; real images need not stay as they are (ibid., FastCUT)."""
        loss = contrastive_loss(
            self._translator,
            self._heads,
            before=batch.source_nchw,
            after=drawn,
            stream=batch.stream,
        )
        assert self._config.contrast != "auto", "settle() comes first"
        return {"contrastive_loss": self._config.contrast * loss}


class PairedLearner(AdversarialLearner[TranslationBatch]):
    """Translation with pairs (Isola 2017, eq. 4): like its partner, and not to be told from it.

    Args:
        translator, discriminator: changed in place; the latter is shown the source image, too.
        lesson: pairs.
        config: settled settings.
        seed: of the batches.
        noise: channels of noise beside a source image.
    """

    def __init__(
        self,
        translator: UNetTranslator,
        discriminator: Discriminator | PatchDiscriminator,
        *,
        lesson: Lesson,
        config: TranslationConfig,
        seed: int,
        noise: int,
    ) -> None:
        super().__init__("translation", translator, discriminator, settings=Settings.of(config))
        self._translator, self._lesson, self._noise = translator, lesson, noise
        self._config, self._seed = config, seed

    def batches(self, steps: range) -> Generator[TranslationBatch, None, None]:
        """Pairs, moved and mirrored alike; by whole pixels, since blurring would be learnt."""
        real, count = self._lesson.real, self._settings.batch_size
        images = drawn_images(real, batch_size=count, seed=self._seed, steps=steps)
        with closing(images) as found:
            for drawn, pixels in found:
                source = self._lesson.source.images(drawn.rows).to(real.device)
                pair = torch.cat([to_unit(source), to_unit(pixels)], dim=1)
                pair = moved(pair, share=self._config.change, stream=drawn.stream)
                if self._config.flip:
                    pair = _mirrored(pair, torch.rand(count, generator=drawn.stream) < 0.5)
                x, y = pair[:, : source.shape[1]], pair[:, source.shape[1] :]
                noise = torch.randn(count, self._noise, *x.shape[2:], generator=drawn.stream)
                yield TranslationBatch(
                    real_nchw=y,
                    wanted_nk=real.wanted_nk[drawn.rows.to(real.device)],
                    stream=drawn.stream,
                    source_nchw=torch.cat([x, noise.to(x.device)], dim=1),
                )

    def drawn(self, batch: TranslationBatch) -> Tensor:
        """See :class:`~synthlift.generators.gan.adversarial.AdversarialLearner`."""
        made: Tensor = self._translator(batch.source_nchw, batch.wanted_nk)
        return made

    def beside(self, batch: TranslationBatch) -> Tensor:
        """The source image, without noise."""
        channels = batch.source_nchw.shape[1] - self._noise
        return batch.source_nchw[:, :channels]

    def further_losses(self, batch: TranslationBatch, drawn: Tensor) -> dict[str, Tensor]:
        """Mean absolute difference from the partner."""
        apart = (drawn - batch.real_nchw).abs().mean()
        return {"difference_loss": self._config.fidelity * apart}

    def trouble(self, memory: object) -> str:
        """Nothing: where the discriminator is always right, the partner still teaches."""
        del memory
        return ""


def contrastive_loss(
    translator: UNetTranslator,
    heads: Heads,
    *,
    before: Tensor,
    after: Tensor,
    stream: torch.Generator,
) -> Tensor:
    """Whether each place of an image is told apart as its own source's (Park 2020, eq. 3).

    Args:
        translator: whose encoder describes places.
        heads: that compare them.
        before, after: source images and their translations [N, C, H, W].
        stream: of the choice of places.

    Returns:
        Mean cross-entropy over places and levels, in nats.
    """
    theirs, ours = translator.features(before), translator.features(after)
    places = []
    for one in ours:
        order = torch.randperm(one.shape[2] * one.shape[3], generator=stream)
        places.append(order[:PLACES].to(one.device))
    losses = []
    for query, key in zip(heads(ours, places), heads(theirs, places), strict=True):
        logits = torch.bmm(query, key.detach().transpose(1, 2)) / TEMPERATURE
        count, spots = logits.shape[:2]
        own = torch.arange(spots, device=logits.device).repeat(count)
        losses.append(F.cross_entropy(logits.flatten(0, 1), own))
    return torch.stack(losses).mean()


def moved(images_nchw: Tensor, *, share: float, stream: torch.Generator) -> Tensor:
    """Images shifted by whole pixels, up to ``share`` of 1/8 of their size; borders repeat."""
    count, _, *size = images_nchw.shape
    index = []
    for extent in size:
        amounts = torch.rand(count, generator=stream) * 2 - 1
        by = (amounts * share * MAX_SHIFT * extent).round().long().to(images_nchw.device)
        places = torch.arange(extent, device=images_nchw.device)
        index.append((places[None] + by[:, None]).clamp(0, extent - 1))
    down, right = index
    each = torch.arange(count, device=images_nchw.device)[:, None, None]
    found: Tensor = images_nchw.permute(0, 2, 3, 1)[each, down[:, :, None], right[:, None, :]]
    return found.permute(0, 3, 1, 2)


def _mirrored(images_nchw: Tensor, chosen: Tensor) -> Tensor:
    where = chosen.to(images_nchw.device)[:, None, None, None]
    return torch.where(where, images_nchw.flip(3), images_nchw)


def _by_class(source: Examples) -> tuple[Tensor, Tensor, Tensor]:
    """Rows sorted by class, where each class begins among them, and how many it has."""
    labels = source.wanted_nk[:, 0].cpu()
    counts = torch.bincount(labels, minlength=int(source.unsaid_k[0]) + 1)
    return labels.argsort(stable=True), counts.cumsum(0) - counts, counts
