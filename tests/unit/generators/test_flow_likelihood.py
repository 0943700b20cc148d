from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.flow.likelihood import log_density, times
from synthlift.testing.inputs import CLASSES, drawn_inputs
from synthlift.types import ExposesLikelihood, ImageSet, RunContext

MEAN, SPREAD = 0.3, 0.5


def _gaussian(x: Tensor, t: float) -> Tensor:
    """The velocity of the flow whose images are N(MEAN, SPREAD²) in every number.

    x_t = (1 − t)·image + t·noise is normal, so E[noise − image | x_t] is linear in x_t.
    """
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    return (t - (1 - t) * SPREAD**2) / variance * (x - (1 - t) * MEAN) - MEAN


def _known(x: Tensor) -> Tensor:
    z = (x - MEAN) / SPREAD
    each = -(z.square() + math.log(2 * math.pi)) / 2 - math.log(SPREAD)
    return each.flatten(1).sum(1)


def test_the_density_of_a_gaussian_flow_is_the_known_one() -> None:
    stream = torch.Generator().manual_seed(0)
    x = MEAN + SPREAD * torch.randn(5, 1, 2, 3, generator=stream, dtype=torch.float64)
    errors = [
        float((log_density(_gaussian, x, times=times(steps)) - _known(x)).abs().max())
        for steps in (24, 96)
    ]
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 8  # second order: 16 times smaller at four times the steps
    # The Jacobian is a multiple of the identity, which one probe of ±1 tells exactly.
    probe = torch.tensor([[[[1.0, -1, 1], [-1, -1, 1]]]], dtype=torch.float64)
    by_probe = log_density(_gaussian, x, times=times(24), probes=probe)
    torch.testing.assert_close(by_probe, log_density(_gaussian, x, times=times(24)))


def test_probes_estimate_the_divergence_without_bias() -> None:
    """Over all 8 probes of three numbers the estimate of any Jacobian is exact."""
    stream = torch.Generator().manual_seed(1)
    matrix = torch.randn(3, 3, generator=stream, dtype=torch.float64) / 3
    x = torch.randn(4, 1, 1, 3, generator=stream, dtype=torch.float64)

    def velocity(x: Tensor, t: float) -> Tensor:
        return torch.sin(x @ matrix.T) * (1 + t)

    probes = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    estimated = log_density(velocity, x, times=times(8), probes=probes.view(8, 1, 1, 3))
    torch.testing.assert_close(estimated, log_density(velocity, x, times=times(8)))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FlowFitted:
    config = FlowConfig(steps=400, batch_size=32, width=32, depth=1, micro_batch=8)
    run = RunContext(folder=tmp_path_factory.mktemp("fit"), seed=1)
    return FlowGenerator(config).fit(drawn_inputs(), run=run)


def test_likelihood_is_repeatable_batch_free_and_tells_noise_from_images(
    fitted: FlowFitted, tmp_path: Path
) -> None:
    assert isinstance(fitted, ExposesLikelihood)
    images = drawn_inputs().train.subset(np.arange(12))
    bits = fitted.log_likelihood(images, seed=4)
    assert bits.dtype == np.float32
    np.testing.assert_array_equal(fitted.log_likelihood(images, seed=4), bits)
    part = fitted.log_likelihood(images.subset(np.arange(9, 12)), seed=4)
    np.testing.assert_array_equal(part, bits[9:12])
    fitted.save(tmp_path)
    again = FlowGenerator(FlowConfig()).load(tmp_path).log_likelihood(images, seed=4)
    np.testing.assert_array_equal(again, bits)
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)
    strange = ImageSet.from_arrays(noise, [0] * 6, CLASSES)
    told = fitted.log_likelihood(strange, seed=4)
    assert told.max() < bits.min()
    # Uniform noise of 256 levels takes 8 bits a number under the best model; here it takes more.
    assert (told < -8).all()
    assert (bits < 0).all()
