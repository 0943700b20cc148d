from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.edm import edm_noise, edm_times, edm_weights
from synthlift.generators.flow.generator import FlowGenerator
from synthlift.generators.flow.network import EDMNetwork, FlowNetwork, build_network, plan_network
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest

SIGMA_DATA = 0.5


def network_of(kind: str) -> FlowNetwork:
    """Untrained, but with last layers that are not zero."""
    config = FlowConfig.model_validate({"network": kind, "width": 16, "parametrisation": "edm"})
    settled = settle(config, examples=100, image_shape=(8, 8, 1))
    network = build_network(plan_network(settled, image_shape=(8, 8, 1), conditions=(3,)), seed=0)
    with torch.no_grad():
        stream = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=stream), alpha=0.05)
    return network


@pytest.mark.parametrize("kind", ["mlp", "unet"])
@torch.no_grad()
def test_the_velocity_is_that_of_the_denoiser_in_the_paper(kind: str) -> None:
    """Karras 2022, eq. 7 and table 1, as they are printed."""
    network = network_of(kind)
    assert isinstance(network, EDMNetwork)
    sigmas = torch.tensor([0.01, 0.3, 2.0, 40.0])
    stream = torch.Generator().manual_seed(2)
    image, wanted = torch.randn(4, 1, 8, 8, generator=stream), torch.tensor([[0], [1], [2], [3]])
    noise = torch.randn(image.shape, generator=stream)
    noisy = image + sigmas[:, None, None, None] * noise

    s = sigmas[:, None, None, None]
    both = s**2 + SIGMA_DATA**2
    c_skip, c_out, c_in = SIGMA_DATA**2 / both, s * SIGMA_DATA / both.sqrt(), 1 / both.sqrt()
    denoised = c_skip * noisy + c_out * network.raw(c_in * noisy, sigmas.log() / 4, wanted, None)

    times = sigmas / (1 + sigmas)
    t = times[:, None, None, None]
    state = (1 - t) * image + t * noise
    velocity = network(state, times, wanted)
    torch.testing.assert_close(velocity, (state - denoised) / t, atol=2e-3, rtol=1e-3)

    # The loss weight of the paper on the denoised image is the same loss.
    paper = (both / (s * SIGMA_DATA) ** 2 * (denoised - image) ** 2).mean((1, 2, 3))
    ours = edm_weights(times) * (velocity - (noise - image)).square().mean((1, 2, 3))
    torch.testing.assert_close(ours, paper, rtol=5e-3, atol=1e-4)


@torch.no_grad()
def test_nothing_grows_beyond_bounds_at_the_ends() -> None:
    network = network_of("mlp")
    for t in (0.0, 1.0):
        out = network(torch.ones(2, 1, 8, 8), torch.full((2,), t), torch.tensor([[0], [3]]))
        assert bool(out.isfinite().all())
    ends = edm_noise(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(
        ends, torch.tensor([math.log(0.002), math.log(80)]) / 4, rtol=1e-3, atol=0
    )


def test_steps_are_spaced_as_in_the_paper() -> None:
    times = edm_times(5)
    assert times[0] == 1
    assert times[-1] == 0
    assert all(a > b for a, b in pairwise(times))
    sigmas = [t / (1 - t) for t in times[1:-1]]
    a, b = 80 ** (1 / 7), 0.002 ** (1 / 7)
    assert sigmas == pytest.approx([(a + i / 4 * (b - a)) ** 7 for i in (1, 2, 3, 4)])
    assert edm_times(1) == [1, 0]


def test_digits_are_learnt(tmp_path: Path) -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels = np.rint(digits.images * 15.9).astype(np.uint8)[order][..., np.newaxis]
    labels = digits.target[order].astype(np.int64)
    train = ImageSet.from_arrays(pixels[:300], labels[:300], tuple("0123456789"))
    lock = LockedTest(ids=train.ids[:0], groups=train.ids[:0], hashes=train.ids[:0])
    inputs = FitInputs(train=train, validation=train.subset(np.arange(20)), test=lock)
    config = FlowConfig(parametrisation="edm", steps=400, readings=0)
    fitted = FlowGenerator(config).fit(inputs, run=RunContext(folder=tmp_path, seed=0))
    requests = [SampleRequest(index=i, label=i % 10, seed=i) for i in range(300)]
    drawn = np.concatenate([batch.pixels for batch in fitted.sample(requests)]).reshape(300, -1)
    wanted = [request.label for request in requests]
    unseen = pixels[300:].reshape(-1, 64)
    assert SVC(C=10).fit(drawn, wanted).score(unseen, labels[300:]) > 0.85
    assert SVC(C=10).fit(unseen, labels[300:]).score(drawn, wanted) > 0.75
