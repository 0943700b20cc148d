"""Settings of the flow matching generator. No torch here: descriptors and planners read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from synthlift.generators.autoencoders.files import hash_autoencoder
from synthlift.generators.sizes import FEW, tiny
from synthlift.generators.unsaid import require_left_open
from synthlift.registry import ComponentConfig

Share = Annotated[float, Field(ge=0, le=1)]

SMALL_IN_LATENTS = 64
"""Up to this many pixels on the longer side, latents are so few that their network is wide."""


class FlowConfig(ComponentConfig):
    """Settings of kind ``flow``.

    Attributes:
        steps: optimiser steps; auto is chosen from the number and size of the images.
        batch_size: training examples per step; auto is 128 for the MLP, 64 for the U-Net.
        parts: of a batch, whose gradients are computed at a time, on a processor by a thread each:
            for a fit that has several cores to itself. What is learnt depends on it in rounding
            alone, and not on how many cores there are.
        precision: of the layers in training; weights, the loss and sampling stay in float32. With
            ``bfloat16`` devices that compute in it are faster, others far slower; with ``measured``
            the faster one is taken, see ``compile``.
        compile: have torch compile the network for training, which takes a minute first; with
            ``measured`` where it pays: before a fit that takes more than a minute, steps in the
            forms left open are timed, compiled ones if it takes more than ten. What was found is
            kept for later fits of such a network on this machine; elsewhere the last digits differ.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
        optimizer: ``adam``, or ``muon`` for the matrices and convolutions between the first and the
            last layer, the rest being left to Adam (Jordan 2024).
        network: ``mlp`` (residual, for tiny images) or ``unet``; auto goes by image size.
        width: features of the MLP, or channels of the U-Net's first level; auto goes by size, and
            is larger in latents, which are fewer places with more to say.
        depth: residual blocks of the MLP, or per level of the U-Net.
        parametrisation: ``flow`` predicts velocities as they are; ``edm`` scales what goes into the
            network and comes out, weighs noise levels and spaces sampling steps as Karras (2022).
        times: how training times are drawn: uniform, logit-normal (Esser 2024, eq. 19), or with
            log-normal noise levels (Karras 2022, table 1); auto is uniform, and log-normal for EDM.
        class_balance: 0 = classes as they come, 1 = equally often; probability of class k is
            proportional to n_k^(1 − class_balance).
        balance_over: what is balanced: classes, or cells, the combinations of a class with values
            of the attributes.
        attributes: names of attributes that images can be asked for by, beside their class.
        unlabelled_share: share of examples that are images without a class, where there are any;
            0 = they are not learnt from.
        label_dropout: share of examples that train the unconditional model, which guidance needs.
        attribute_dropout: share of examples in which an attribute is not said, each by itself, so
            that a class alone can be asked for: above 0 where there are any; where classes lack
            values, the class is not said as often, so that values can be put together with classes
            they were never seen with.
        carry: learn from classes that were seen with two values of an attribute how images with
            one become images with the other, where that is a turn, a mirroring or a mapping of
            colours, and carry images of other classes to values that they were never seen with.
        augmentation: share of examples that are shifted, turned and scaled a little; the network
            is told, so that nothing of it leaks into samples (Karras 2022, §5); auto is 0.8 for few
            images, else 0.5.
        flip: whether examples are mirrored at random; auto tests on the training images whether
            that keeps their class, and is no where attributes are learnt, which a mirror may
            change; never in latents.
        ema: horizon of the averaged weights as a share of all steps.
        guidance_scale: classifier-free guidance (Ho & Salimans 2022); 1 = off.
        guidance_interval: times between which guidance is computed, 0 = image, 1 = noise
            (Kynkäänniemi 2024); outside, a step costs half.
        sampler: ab2 (Adams–Bashforth: second order, one evaluation a step), Heun (second order, two
            evaluations a step) or Euler (first order, one); auto is Heun for EDM, whose steps
            differ too much in length for ab2, else ab2.
        autoencoder: folder or file of a pretrained autoencoder, in whose latents the flow then
            learns, for images of 64 pixels and more; nothing is downloaded. None = in pixels.
        autoencoder_sha256: of its files; filled in, so that keys follow the content.
        encoded_versions: augmented versions of each training image that are encoded beside the
            image as it is; auto is 8 for few images, else 2.
        sampler_steps: steps from noise to image.
        time_shift: above 1, steps are shorter near the noise: time t becomes s·t / (1 + (s − 1)·t)
            (Esser 2024, eq. 23); auto is 1 for the MLP, 2 for the U-Net.
        micro_batch: images computed together when sampling; fixed, so that pixels never depend
            on how requests are batched. ``measured`` is fixed when fitting: the fewest of which an
            image takes at most a twentieth longer than with the best number.
        readings: how often the training monitor looks at samples; 0 = never, auto goes by network.
        monitor_images: samples per reading; auto goes by network.
        checkpoint_seconds: time between check-points from which a killed fit goes on.
    """

    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    parts: int = Field(default=1, ge=1, le=64)
    precision: Literal["float32", "bfloat16", "measured"] = "float32"
    compile: bool | Literal["measured"] = False
    learning_rate: float = Field(default=2e-3, gt=0)
    optimizer: Literal["adam", "muon"] = "adam"
    network: Literal["auto", "mlp", "unet"] = "auto"
    width: Annotated[int, Field(ge=8, multiple_of=8)] | Literal["auto"] = "auto"
    depth: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    parametrisation: Literal["flow", "edm"] = "flow"
    times: Literal["auto", "uniform", "logit_normal", "log_normal"] = "auto"
    class_balance: float = Field(default=0.25, ge=0, le=1)
    balance_over: Literal["classes", "cells"] = "classes"
    attributes: tuple[str, ...] = ()
    unlabelled_share: float = Field(default=0.5, ge=0, lt=1)
    label_dropout: float = Field(default=0.2, ge=0, le=1)
    attribute_dropout: float = Field(default=0.15, ge=0, le=1)
    carry: bool = True
    augmentation: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    flip: Literal["auto", "yes", "no"] = "no"
    ema: float = Field(default=0.1, gt=0, le=1)
    guidance_scale: float = Field(default=1.25, ge=0, le=20)
    guidance_interval: tuple[Share, Share] = (0.0, 1.0)
    sampler: Literal["auto", "ab2", "heun", "euler"] = "auto"
    autoencoder: str | None = None
    autoencoder_sha256: str = ""
    encoded_versions: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = "auto"
    sampler_steps: int = Field(default=6, ge=1, le=50)
    time_shift: Annotated[float, Field(gt=0, le=20)] | Literal["auto"] = "auto"
    micro_batch: Annotated[int, Field(ge=1, le=1024)] | Literal["measured"] = 64
    readings: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    monitor_images: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    checkpoint_seconds: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _interval_in_order(self) -> Self:
        low, high = self.guidance_interval
        if low > high:
            raise ValueError(
                f"'guidance_interval' goes from {low:g} to {high:g}: put the smaller time first"
            )
        return self

    @model_validator(mode="after")
    def _compiled_whole(self) -> Self:
        if self.compile is not False and self.parts > 1:
            raise ValueError(
                "'compile' goes with 'parts: 1': parts are computed by threads, and a compiled "
                "network by one"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _hash_autoencoder(cls, value: Any) -> Any:
        # A saved generator carries the hash, so that it opens where the files no longer lie.
        if not isinstance(value, dict) or not value.get("autoencoder"):
            return value
        if value.get("autoencoder_sha256"):
            return value
        return {**value, "autoencoder_sha256": hash_autoencoder(Path(value["autoencoder"]))}

    @model_validator(mode="after")
    def _leaves_open_what_is_asked_for(self) -> Self:
        require_left_open(self.attributes, attribute_dropout=self.attribute_dropout)
        if self.guidance_scale != 1 and not self.label_dropout:
            raise ValueError(
                "label_dropout: 0 leaves nothing to guide by: guidance_scale "
                f"{self.guidance_scale:g} compares with images of which nothing is said; raise it, "
                "or set guidance_scale: 1"
            )
        return self

    def automatic_steps(self, *, examples: int, image_shape: tuple[int, int, int]) -> int | None:
        """Steps for this many images; what a planner cuts to a budget."""
        steps = settle(self, examples=examples, image_shape=image_shape).steps
        return None if steps == "auto" else steps

    def monitored_images(self, *, examples: int, image_shape: tuple[int, int, int]) -> int:
        """Images sampled while training, for the monitor; those encoded take as long."""
        settled = settle(self, examples=examples, image_shape=image_shape)
        assert settled.readings != "auto"
        assert settled.monitor_images != "auto"
        assert settled.encoded_versions != "auto"
        encoded = examples * (1 + settled.encoded_versions) if self.autoencoder else 0
        return settled.readings * settled.monitor_images + encoded


def settle(config: FlowConfig, *, examples: int, image_shape: tuple[int, int, int]) -> FlowConfig:
    """Replace every ``auto`` by what suits the data.

    Steps: the number of images, from 600 to 2,500; on 8 × 8 digits the copying ratio falls to 1
    at about 500 steps with 150 images, and at about 1,000 with 1,000.

    Shift: 240 animals of 32 × 32 pixels, drawn in six steps by a U-Net after 1,275 steps of its
    training, differ from those of 35 steps of Heun's by 4 grey levels, without a shift by 10.

    Args:
        config: the settings.
        examples: number of training images; with few, a wide MLP soon knows them by heart.
        image_shape: height, width, channels of images.
    """
    automatic = "mlp" if tiny(image_shape) and not config.autoencoder else "unet"
    network = automatic if config.network == "auto" else config.network
    dense = network == "mlp"
    channels = 32
    if config.autoencoder:
        # About the cost of the network on pixels, with an autoencoder of factor 8.
        channels = 128 if max(image_shape[:2]) <= SMALL_IN_LATENTS else 64
    suited = {
        "steps": int(min(2500, max(600, examples))),
        "batch_size": 128 if dense else 64,
        "network": network,
        "times": "log_normal" if config.parametrisation == "edm" else "uniform",
        "width": (64 if examples <= FEW else 128) if dense else channels,
        "depth": 3 if dense else 1,
        "sampler": "heun" if config.parametrisation == "edm" else "ab2",
        "time_shift": 1.0 if dense else 2.0,
        "augmentation": 0.8 if examples <= FEW else 0.5,
        "encoded_versions": 8 if examples <= FEW else 2,
        # A reading of a U-Net costs as much as a hundred training steps.
        "readings": 8 if dense else 4,
        "monitor_images": 256 if dense else 128,
    }
    chosen = {name: value for name, value in suited.items() if getattr(config, name) == "auto"}
    return config.model_copy(update=chosen)
