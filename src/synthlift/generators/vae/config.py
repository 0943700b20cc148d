"""Settings of the variational autoencoder. No torch here: descriptors and planners read it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from synthlift.generators.sizes import FEW, tiny
from synthlift.generators.unsaid import require_left_open
from synthlift.registry import ComponentConfig


class VAEConfig(ComponentConfig):
    """Settings of kind ``vae``.

    Attributes:
        steps: optimiser steps; auto is chosen from the number of images.
        batch_size: training examples per step; auto is 128 for tiny images, else 64.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
        latent: numbers that an image is squeezed into; auto goes by image size.
        width: features of the dense network for tiny images, or channels of the convolutional one
            at its finest level; auto goes by size.
        depth: residual blocks of the dense network, or per level of the convolutional one; auto
            goes by size.
        kl_warm_up: share of the steps in which the price of information rises from 0 to 1.
        class_balance: 0 = classes as they come, 1 = equally often; probability of class k is
            proportional to n_k^(1 − class_balance).
        attributes: names of attributes that images can be asked for by, beside their class.
        attribute_dropout: share of examples in which an attribute is not said, each by itself, so
            that a class alone can be asked for, and values meet classes they were not seen with;
            above 0 where there are any.
        augmentation: share of examples that are shifted, turned and scaled a little; the network
            is told, so that nothing of it leaks into samples (Karras 2022, §5); auto is 0.8 for few
            images, else 0.5.
        ema: horizon of the averaged weights as a share of all steps.
        micro_batch: images computed together when sampling; fixed, so that pixels never depend
            on how requests are batched. ``measured`` as in kind ``flow``.
        readings: how often the training monitor looks at samples; 0 = never.
        monitor_images: samples per reading.
        checkpoint_seconds: time between check-points from which a killed fit goes on.
    """

    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    learning_rate: float = Field(default=2e-3, gt=0)
    latent: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    width: Annotated[int, Field(ge=8)] | Literal["auto"] = "auto"
    depth: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    kl_warm_up: float = Field(default=0.3, ge=0, le=1)
    class_balance: float = Field(default=0.25, ge=0, le=1)
    attributes: tuple[str, ...] = ()
    attribute_dropout: float = Field(default=0.15, ge=0, le=1)
    augmentation: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    ema: float = Field(default=0.1, gt=0, le=1)
    micro_batch: Annotated[int, Field(ge=1, le=1024)] | Literal["measured"] = 64
    readings: int = Field(default=8, ge=0)
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
        """Images sampled while training, for the monitor."""
        del examples, image_shape
        return self.readings * self.monitor_images


def settle(config: VAEConfig, *, examples: int, image_shape: tuple[int, int, int]) -> VAEConfig:
    """Replace every ``auto`` by what suits the data.

    Args:
        config: the settings.
        examples: number of training images.
        image_shape: height, width, channels.
    """
    dense = tiny(image_shape)
    suited = {
        "steps": int(min(2500, max(600, examples))),
        "latent": 16 if dense else 48,
        "batch_size": 128 if dense else 64,
        "width": 128 if dense else 32,
        "depth": 2 if dense else 1,
        "augmentation": 0.8 if examples <= FEW else 0.5,
    }
    chosen = {name: value for name, value in suited.items() if getattr(config, name) == "auto"}
    return config.model_copy(update=chosen)
