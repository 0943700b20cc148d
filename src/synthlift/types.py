"""The contracts that stages share. Nothing here imports torch.

Letters in array shapes: N images, H height, W width, C channels (1 or 3), K classes, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.imagesets import (
    UNLABELLED,
    Float32,
    Float64,
    GuardedPixels,
    ImageSet,
    Int64,
    LockedTest,
    Strings,
    UInt8,
)
from synthlift.rows import FeatureRows

__all__ = [
    "UNLABELLED",
    "Encoder",
    "ExposesLikelihood",
    "ExposesLoss",
    "Filter",
    "FilterInputs",
    "FitInputs",
    "FittedGenerator",
    "Float32",
    "Float64",
    "Generator",
    "GuardedPixels",
    "ImageBatch",
    "ImageSet",
    "InputsGenerator",
    "Int64",
    "LockedTest",
    "Monitor",
    "MonitorReading",
    "RunContext",
    "SampleRequest",
    "SamplesInChunks",
    "Scorer",
    "Selector",
    "Strings",
    "TextMatch",
    "UInt8",
    "Varies",
    "Verdict",
]

# ── generators ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SampleRequest:
    """One image wanted.

    Attributes:
        index: position in its sampling stream (one stream per fit and cell), from 0.
        label: class index wanted.
        seed: this image's own seed; the same request gives the same pixels in any batch.
        stream: train, or test for images that stay out of training (both directions of METHOD §3);
            a generator with a fixed stock serves them from images of their own.
        attributes: wanted attribute values by name.
        params: generator-specific settings of this request.
        sources: ids of the training images that it is to be made from, for a generator whose
            descriptor has the condition ``sources``; none = any.
    """

    index: int
    label: int
    seed: int
    stream: Literal["train", "test"] = "train"
    attributes: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageBatch:
    """Generated images in request order.

    Attributes:
        pixels: uint8 [n, H, W, C] at the generator's native size.
        labels: class indices [n].
        soft_labels: class probabilities [n, K], where the generator mixes classes.
        masks: uint8 [n, H, W], where the generator knows what it drew.
        origins, prompts: in words, the file or real image that each comes from; what it shows.
        redrawn, black: images that came out black, as a safety checker leaves them, and were drawn
            anew; those of them that stayed black.
        originals: uint8 [n, h, w, C], larger, as they were drawn; None = they are not kept.
    """

    pixels: UInt8
    labels: Int64
    soft_labels: Float32 | None = None
    masks: UInt8 | None = None
    origins: tuple[str, ...] | None = None
    prompts: tuple[str, ...] | None = None
    redrawn: int = 0
    black: int = 0
    originals: UInt8 | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FitInputs:
    """What a generator may learn from. The test set is present as a lock only.

    Attributes:
        train, validation: of this fit.
        test: the lock.
        unlabelled: images without a class: those that the split leaves unlabelled, and pools.
        sources: further images that the generator's Config names, by name, labelled as there;
            none of them shows a picture of the validation or test set, as far as can be found.
        masks: uint8 [N, H, W, 1] of the training images, row by row; 0 = background, or no mask.
        validation_masks: the same of the validation images.
    """

    train: ImageSet
    validation: ImageSet
    test: LockedTest
    unlabelled: ImageSet | None = None
    sources: Mapping[str, ImageSet] = field(default_factory=dict)
    masks: GuardedPixels | None = None
    validation_masks: GuardedPixels | None = None


@dataclass(frozen=True)
class MonitorReading:
    """One reading of a training monitor.

    Attributes:
        value: the monitored quantity (for copying: the ratio of METHOD §5; below 1 = too close).
        acceptable: whether a check-point taken now may be kept.
        detail: further numbers for the log.
    """

    value: float
    acceptable: bool
    detail: Mapping[str, float] = field(default_factory=dict)


class Monitor(Protocol):
    """Watches a generator while it trains, e.g. its copying ratio against held-out images."""

    def __call__(self, step: int, samples: ImageBatch) -> MonitorReading:
        """Judge ``samples`` drawn at training step ``step``."""
        ...


class Scorer(Protocol):
    """Gives class probabilities; the agreement filter's view of a trained classifier."""

    def __call__(self, pixels: UInt8) -> Float32:
        """Map uint8 [n, H, W, C] to probabilities float32 [n, K]."""
        ...


class Encoder(Protocol):
    """Maps images to features in which distances mean something."""

    @property
    def name(self) -> str:
        """For keys and reports."""
        ...

    def __call__(self, pixels: UInt8) -> Float32:
        """Map uint8 [n, H, W, C] to features float32 [n, D]."""
        ...


class TextMatch(Protocol):
    """How well images go with texts; the CLIP score's view of a CLIP checkpoint."""

    def classes(self, pixels: UInt8) -> Float32:
        """Cosines float32 [n, K] of images uint8 [n, H, W, C] with the texts of the classes."""
        ...

    def prompts(self, pixels: UInt8, prompts: Sequence[str]) -> Float32:
        """Cosine float32 [n] of each image with a text of its own."""
        ...


@runtime_checkable
class ExposesLoss(Protocol):
    """A fitted generator that can say how well it explains given images (membership attack)."""

    def loss(self, images: ImageSet, *, seed: int) -> Float32:
        """Per-image loss, float32 [N]; lower = better explained."""
        ...


@runtime_checkable
class ExposesLikelihood(Protocol):
    """A fitted generator that knows how probable images are under it (membership attack)."""

    def log_likelihood(self, images: ImageSet, *, seed: int) -> Float32:
        """Per-image log-likelihood, bits per dimension, float32 [N]; higher = better explained."""
        ...


def _silent(_done: int, _total: int, _note: str) -> None:
    return None


@dataclass(frozen=True)
class RunContext:
    """What a running component may use besides its inputs.

    Attributes:
        folder: private work folder that survives kills; check-points go here.
        seed: the seed of this unit.
        device: torch device string ("cpu", "cuda:0", "mps").
        progress: call as ``progress(done, total, note)``; cheap, any rate.
        log: call as ``log(event, **fields)``; lands in the run's JSON-lines log.
        monitor: optional training monitor.
    """

    folder: Path
    seed: int
    device: str = "cpu"
    progress: Callable[[int, int, str], None] = _silent
    log: Callable[..., None] = lambda *_args, **_fields: None
    monitor: Monitor | None = None


class FittedGenerator(ABC):
    """A generator that has learnt; immutable, saved as a folder."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """Native height, width and channels of what :meth:`sample` yields."""

    @abstractmethod
    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield the requested images in order; a request's pixels depend on that request only.

        A generator with a fixed stock ends early where it has no more: what it yields is then the
        beginning of what was requested.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything needed to sample again; weights as safetensors, never pickle."""


@runtime_checkable
class SamplesInChunks(Protocol):
    """A fitted generator that computes several images together, and can compute fewer.

    Where memory runs out, a study takes half as many: a recorded decision, for it changes bits.
    """

    @property
    def micro_batch(self) -> int:
        """Images computed together."""

    def with_micro_batch(self, micro_batch: int) -> FittedGenerator:
        """The same generator computing ``micro_batch`` images together; this one is unchanged."""


@runtime_checkable
class Varies(Protocol):
    """A fitted generator that can start from a given image instead of from noise alone."""

    def vary(
        self, start: UInt8, requests: Sequence[SampleRequest], *, strength: float
    ) -> Iterator[ImageBatch]:
        """Like ``sample``, from ``start`` [H, W, C], of which a share in (0, 1] is lost first."""
        ...


class Generator(ABC):
    """A recipe that can be fitted. Built by its Config: ``config.build()`` or the descriptor."""

    @abstractmethod
    def fit(self, inputs: FitInputs, *, run: RunContext) -> FittedGenerator:
        """Learn from ``inputs.train``; ``inputs.validation`` may be watched, never learnt from."""

    @abstractmethod
    def load(self, folder: Path, *, device: str = "cpu") -> FittedGenerator:
        """Read back what :meth:`FittedGenerator.save` wrote."""


class InputsGenerator(Generator):
    """A generator whose samples are made of the images that it was fitted on, which it keeps not.

    Its descriptor needs ``inputs``; before sampling it is given them again.
    """

    @abstractmethod
    def reload(self, folder: Path, *, inputs: FitInputs, device: str = "cpu") -> FittedGenerator:
        """Read back what was saved, beside the same inputs."""

    def load(self, folder: Path, *, device: str = "cpu") -> FittedGenerator:
        """Refuse: without its inputs there is nothing to sample from.

        Raises:
            InputError: always.
        """
        del device
        raise InputError(
            f"the generator in '{folder}' is made of images that are not kept with it",
            rule="it samples from the images that it was fitted on",
            remedy="sample in the run's own store: run the study again",
        )


# ── curation ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Verdict:
    """A filter's judgement of one image.

    Attributes:
        score: in [0, 1]; 1 = certainly fine.
        flagged: True = reject.
        reason: short words for the user, e.g. "copy of training image 12_3"; "" when kept.
    """

    score: float
    flagged: bool
    reason: str = ""


@dataclass(frozen=True)
class FilterInputs:
    """What a filter may calibrate on; the test set is present as a lock only.

    Attributes:
        train: the training images of this fit.
        validation: held-out images for thresholds.
        test: the lock.
        reference: first generated images of each class, labelled as requested.
        encoder: features shared by all filters.
        scorer: a classifier trained by a training stage on ``train`` out of fold, or None.
        features: what ``encoder`` gives for ``train`` [N, D], where that is known already.
        texts: tells how well images go with the texts of the classes, where the study names a CLIP
            checkpoint.
    """

    train: ImageSet
    validation: ImageSet
    test: LockedTest
    encoder: Encoder
    reference: ImageBatch | None = None
    scorer: Scorer | None = None
    features: FeatureRows | None = None
    texts: TextMatch | None = None


class Filter(ABC):
    """Scores images one at a time; its threshold is calibrated once and saved."""

    @abstractmethod
    def calibrate(self, inputs: FilterInputs) -> None:
        """Fix thresholds. Called once before :meth:`judge`."""

    @abstractmethod
    def judge(self, batch: ImageBatch) -> list[Verdict]:
        """One verdict per image, each depending on that image alone."""


class Selector(ABC):
    """Puts images of one class in an order of which the beginning is kept (METHOD §7).

    Registered among the filters. It judges images by each other, hence what it is given together;
    a study gives it what the filters kept of one chunk, so that asking for more images changes
    nothing about the first.
    """

    @property
    @abstractmethod
    def share(self) -> float:
        """Share of the images that is kept, in (0, 1]."""

    @abstractmethod
    def calibrate(self, inputs: FilterInputs) -> None:
        """Take the encoder and whatever else is needed. Called once before :meth:`order`."""

    @abstractmethod
    def order(self, batch: ImageBatch) -> NDArray[np.intp]:
        """A permutation of the rows [n] of a batch of one class, the best first."""
