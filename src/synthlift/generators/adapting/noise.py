"""How noise is added to what is learnt, and what the network is to predict: its scheduler says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.adapting.calls import cannot_adapt
from synthlift.generators.pipelines.adapter_settings import NOT_ADAPTED, OTHER_TIMES

PREDICTIONS = ("epsilon", "v_prediction", "sample")
APART = 0.02
"""Of a time and the share of noise there: some schedulers count times in whole numbers."""
DISTILLED = "trigflow"
"""What a consistency model in continuous time (Sana Sprint) predicts."""


class Noised(NamedTuple):
    """Images with noise.

    Attributes:
        x_nchw: what the network sees.
        times_n: in the scheduler's units.
        target_nchw: what it is to predict.
        weights_n: of the squared errors.
    """

    x_nchw: Tensor
    times_n: Tensor
    target_nchw: Tensor
    weights_n: Tensor


class Noising(ABC):
    """A noise schedule with its prediction."""

    @abstractmethod
    def __call__(self, clean_nchw: Tensor, noise_nchw: Tensor, levels_n: Tensor) -> Noised:
        """Add noise; ``levels_n`` in (0, 1) are ranks of levels, evenly drawn."""


def require_own_times(pipeline: Any) -> None:
    """Refuse a pipeline that tells its network another time than how much of an image is noise.

    Args:
        pipeline: that has begun to draw.

    Raises:
        InputError: its scheduler is of flow matching, and its times and noise do not agree.
    """
    scheduler = pipeline.scheduler
    if not _flows(scheduler):
        return
    times = scheduler.timesteps.float().cpu() / float(scheduler.config.num_train_timesteps)
    shares = torch.as_tensor(scheduler.sigmas).float().cpu()[: len(times)]
    if (times - shares).abs().max() > APART:
        raise cannot_adapt(pipeline, OTHER_TIMES)


def noising_of(pipeline: Any, *, min_snr: float | None) -> Noising:
    """What the pipeline's scheduler was made for.

    Raises:
        InputError: its kind is not known, or has no signal-to-noise ratio to limit.
    """
    scheduler = pipeline.scheduler
    config = scheduler.config
    if _flows(scheduler):
        if min_snr is not None:
            raise InputError(
                f"min_snr {min_snr:g} for a {type(pipeline).__name__}",
                rule="a pipeline of flow matching weighs its noise levels by how often they are "
                "drawn",
                remedy="leave min_snr out",
            )
        dynamic = config.get("use_dynamic_shifting", False)
        shift = 1.0 if dynamic else config.get("shift") or config.get("flow_shift") or 1.0
        return _Flow(shift=float(shift), steps=int(config.num_train_timesteps))
    if config.get("prediction_type") == DISTILLED:
        raise cannot_adapt(pipeline, NOT_ADAPTED["SanaSprint"])
    alphas, prediction = getattr(scheduler, "alphas_cumprod", None), config.get("prediction_type")
    if alphas is None or prediction not in PREDICTIONS:
        name = type(scheduler).__name__
        raise cannot_adapt(pipeline, f"what its {name} predicts ({prediction}) is not known")
    return _Diffusion(alphas.float().cpu(), prediction=str(prediction), min_snr=min_snr)


def _flows(scheduler: Any) -> bool:
    """Whether it leads along straight lines from noise to image."""
    config = scheduler.config
    return bool(
        type(scheduler).__name__.startswith("FlowMatch")
        or config.get("use_flow_sigmas", False)
        or config.get("prediction_type") == "flow_prediction"
    )


class _Diffusion(Noising):
    """Variance-preserving noise (Ho 2020), for predictions of noise, velocity or image."""

    def __init__(self, alphas: Tensor, *, prediction: str, min_snr: float | None) -> None:
        self._alphas, self._prediction, self._min_snr = alphas, prediction, min_snr

    def __call__(self, clean_nchw: Tensor, noise_nchw: Tensor, levels_n: Tensor) -> Noised:
        times = (levels_n * len(self._alphas)).long().clamp(max=len(self._alphas) - 1)
        power = self._alphas[times]
        signal, spread = (
            root.sqrt().to(clean_nchw.device)[:, None, None, None] for root in (power, 1 - power)
        )
        targets = {
            "epsilon": noise_nchw,
            "v_prediction": signal * noise_nchw - spread * clean_nchw,
            "sample": clean_nchw,
        }
        return Noised(
            signal * clean_nchw + spread * noise_nchw,
            times.to(clean_nchw.device),
            targets[self._prediction],
            self._weights(power).to(clean_nchw.device),
        )

    def _weights(self, power: Tensor) -> Tensor:
        """Min-SNR (Hang 2023, §3.4), by what is predicted."""
        if self._min_snr is None:
            return torch.ones_like(power)
        ratio = power / (1 - power).clamp(min=1e-12)
        limited = ratio.clamp(max=self._min_snr)
        over = {"epsilon": ratio.clamp(min=1e-12), "v_prediction": ratio + 1}
        return limited / over.get(self._prediction, torch.ones_like(ratio))


class _Flow(Noising):
    """Straight lines to noise, levels logit-normal (Esser 2024, §3.1), shifted as in sampling."""

    def __init__(self, *, shift: float, steps: int) -> None:
        self._shift, self._steps = shift, steps

    def __call__(self, clean_nchw: Tensor, noise_nchw: Tensor, levels_n: Tensor) -> Noised:
        ranks = levels_n.double().clamp(1e-6, 1 - 1e-6)
        sigmas = torch.sigmoid(torch.special.ndtri(ranks)).float()
        sigmas = self._shift * sigmas / (1 + (self._shift - 1) * sigmas)
        sigmas = sigmas.to(clean_nchw.device)
        share = sigmas[:, None, None, None]
        return Noised(
            (1 - share) * clean_nchw + share * noise_nchw,
            sigmas * self._steps,
            noise_nchw - clean_nchw,
            torch.ones_like(sigmas),
        )
