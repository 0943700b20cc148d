from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.samplers import (
    SAMPLERS,
    ab2,
    euler,
    even_times,
    guided,
    heun,
    shifted,
)
from synthlift.generators.flow.sampling import guided_velocity


def _decay(x: Tensor, t: float) -> Tensor:
    return x * t


def test_times_run_from_noise_to_image() -> None:
    assert even_times(1) == [1.0, 0.0]
    assert even_times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_shift_shortens_the_steps_near_the_noise_and_keeps_the_ends() -> None:
    assert shifted([1.0, 0.75, 0.5, 0.0], shift=2) == pytest.approx([1.0, 6 / 7, 2 / 3, 0.0])
    assert shifted(even_times(6), shift=1) == even_times(6)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_a_straight_path_is_followed_exactly(name: str, steps: int) -> None:
    image, noise = torch.full((2, 1, 3, 3), 0.5), torch.ones(2, 1, 3, 3)
    result = SAMPLERS[name](lambda _x, _t: noise - image, noise, even_times(steps))
    torch.testing.assert_close(result, image)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("ab2", 2)])
def test_the_error_falls_with_the_sampler_s_order(name: str, order: int) -> None:
    # dx/dt = x·t from t = 1 to 0 has the solution x(0) = x(1)·e^(−1/2).
    start = torch.ones(1, dtype=torch.float64)
    errors = [
        abs(float(SAMPLERS[name](_decay, start, even_times(n))) - math.exp(-0.5)) for n in (40, 80)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("sampler", "evaluations"), [(euler, 5), (heun, 9), (ab2, 5)])
def test_evaluations_per_step(sampler: object, evaluations: int) -> None:
    seen: list[float] = []

    def velocity(x: Tensor, t: float) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    times: Sequence[float] = even_times(5)
    assert callable(sampler)
    sampler(velocity, torch.zeros(1), times)
    assert len(seen) == evaluations


def test_uneven_times_keep_adams_bashforth_second_order() -> None:
    start = torch.ones(1, dtype=torch.float64)
    grids = [[(1 - i / n) ** 2 for i in range(n + 1)] for n in (40, 80)]
    errors = [abs(float(ab2(_decay, start, times)) - math.exp(-0.5)) for times in grids]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


def test_guidance_of_one_is_the_conditional_and_of_zero_the_unconditional_model() -> None:
    conditional, unconditional = torch.tensor([3.0]), torch.tensor([1.0])
    assert guided(conditional, unconditional, scale=1) == 3
    assert guided(conditional, unconditional, scale=0) == 1
    assert guided(conditional, unconditional, scale=2) == 5


def test_guidance_is_computed_inside_its_interval_alone() -> None:
    class Labels(FlowNetwork):
        """The velocity is the class index; notes how many images are computed."""

        def __init__(self) -> None:
            super().__init__(conditions=(2,), features=8)
            self.seen: list[int] = []

        def raw(self, x: Tensor, times: Tensor, wanted: Tensor, augment: Tensor | None) -> Tensor:
            self.seen.append(len(x))
            return torch.zeros_like(x) + wanted[:, :, None, None]

        def forward(
            self, x: Tensor, times: Tensor, wanted: Tensor, augment: Tensor | None = None
        ) -> Tensor:
            return self.raw(x, times, wanted, augment)

    network, x = Labels(), torch.zeros(3, 1, 1, 1)
    velocity = guided_velocity(
        network, torch.ones(3, 1, dtype=torch.int64), unsaid=(2,), scale=3.0, interval=(0.25, 0.75)
    )
    found = [float(velocity(x, t).mean()) for t in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert found == [1, -1, -1, -1, 1]
    assert network.seen == [3, 6, 6, 6, 3]


@pytest.mark.parametrize("ends", [(0.8, 0.2), (-0.1, 0.5), (0.5, 1.5)])
def test_an_interval_that_is_none_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="guidance_interval"):
        FlowConfig(guidance_interval=ends)
