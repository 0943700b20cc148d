"""Settings of the adversarial network. No torch here: descriptors and planners read it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from synthlift.generators.sizes import tiny
from synthlift.generators.unsaid import require_left_open
from synthlift.registry import ComponentConfig


class GANConfig(ComponentConfig):
    """Settings of kind ``gan``.

    Attributes:
        steps: optimiser steps of each network; auto is chosen from the number of images.
        batch_size: training examples per step; auto is 64 for tiny images, else 32.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
        gradient_penalty: weight of the penalties on real and generated images at the start; it
            falls to a tenth in the course of training. Higher is calmer and blurrier; auto is 3 for
            tiny images, else 0.3.
        latent: random numbers that an image is made of; auto is 32 for tiny images, else 64.
        width: features of the dense networks for tiny images, or channels of the convolutional
            ones at their finest level; auto goes by size.
        depth: residual blocks of the dense networks, or per level of the convolutional ones; auto
            goes by size.
        class_balance: 0 = classes as they come, 1 = equally often; probability of class k is
            proportional to n_k^(1 − class_balance).
        attributes: names of attributes that images can be asked for by, beside their class.
        attribute_dropout: share of examples in which an attribute is not said, each by itself, so
            that a class alone can be asked for, and values meet classes they were not seen with;
            above 0 where there are any.
        augmentation: highest probability of each change that is made to all that the
            discriminator sees; the probability adapts itself (Karras 2020). Above 0.8 changes leak
            into samples; 0 = off.
        least_diversity: distance between samples of a class, as a share of that between its
            training images, below which the generator has collapsed; 0 = not watched.
        ema: horizon of the averaged weights as a share of all steps.
        micro_batch: images computed together when sampling; fixed, so that pixels never depend
            on how requests are batched. ``measured`` as in kind ``flow``.
        readings: how often samples are looked at, for diversity and by the training monitor; 0 =
            never.
        monitor_images: samples per reading; more where classes are so many that each would have
            fewer than 8, which its diversity takes.
        checkpoint_seconds: time between check-points from which a killed fit goes on.
    """

    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    learning_rate: float = Field(default=1e-3, gt=0)
    gradient_penalty: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    latent: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    width: Annotated[int, Field(ge=8)] | Literal["auto"] = "auto"
    depth: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    class_balance: float = Field(default=0.25, ge=0, le=1)
    attributes: tuple[str, ...] = ()
    attribute_dropout: float = Field(default=0.15, ge=0, le=1)
    augmentation: float = Field(default=0.8, ge=0, le=0.95)
    least_diversity: float = Field(default=0.3, ge=0, lt=1)
    ema: float = Field(default=0.1, gt=0, le=1)
    micro_batch: Annotated[int, Field(ge=1, le=1024)] | Literal["measured"] = 64
    readings: int = Field(default=10, ge=0)
    monitor_images: int = Field(default=256, ge=1)
    checkpoint_seconds: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _leaves_open_what_is_asked_for(self) -> Self:
        require_left_open(self.attributes, attribute_dropout=self.attribute_dropout)
        return self

    def automatic_steps(self, *, examples: int, image_shape: tuple[int, int, int]) -> int | None:
        """Steps for this many images; what a planner cuts to a budget."""
        steps = settle(self, examples=examples, image_shape=image_shape).steps
        return None if steps == "auto" else steps

    def monitored_images(self, *, examples: int, image_shape: tuple[int, int, int]) -> int:
        """Images sampled while training, for the monitor; too few of more than 32 classes."""
        del examples, image_shape
        return self.readings * self.monitor_images


def settle(config: GANConfig, *, examples: int, image_shape: tuple[int, int, int]) -> GANConfig:
    """Replace every ``auto`` by what suits the data.

    Args:
        config: the settings.
        examples: number of training images.
        image_shape: height, width, channels.
    """
    dense = tiny(image_shape)
    suited = {
        "steps": int(min(4000, max(1200, 1.5 * examples))),
        "batch_size": 64 if dense else 32,
        "gradient_penalty": 3.0 if dense else 0.3,
        "latent": 32 if dense else 64,
        "width": 128 if dense else 32,
        "depth": 2 if dense else 1,
    }
    chosen = {name: value for name, value in suited.items() if getattr(config, name) == "auto"}
    return config.model_copy(update=chosen)
