"""Steps that compute the outer blocks alone: what is skipped, and what that leaves as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.generators.pipelines.opening import told_besides
from synthlift.generators.pipelines.step_cache import StepCache, denoiser_of
from synthlift.types import SampleRequest
from tests.pipelines import (
    SIDE,
    tiny_flux,
    tiny_pixart,
    tiny_sana,
    tiny_stable_diffusion,
    tiny_stable_diffusion_3,
    tiny_stable_diffusion_xl,
)
from tests.unit.generators.test_text_to_image import fitted

BUILDS: dict[str, Callable[..., Path]] = {
    "sd": tiny_stable_diffusion,
    "sdxl": tiny_stable_diffusion_xl,
    "sd3": tiny_stable_diffusion_3,
    "flux": tiny_flux,
    "pixart": tiny_pixart,
    "sana": tiny_sana,
}
DEEP = ("sd3", "flux", "pixart", "sana")
QUICK = ("sd", "sd3")


def drawn(model: Path, folder: Path, *, count: int = 3, **settings: Any) -> np.ndarray:
    if model.name == "flux":  # does not say its size, and is then large
        settings["size"] = SIDE
    generator = fitted(model, folder, sampler_steps=4, micro_batch=2, **settings)
    requests = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(count)]
    return np.concatenate([batch.pixels for batch in generator.sample(requests)]).astype(int)


def built(family: str, folder: Path) -> Path:
    return BUILDS[family](folder, **({"layers": 3} if family in DEEP else {}))


@pytest.mark.parametrize(
    "family", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in BUILDS]
)
def test_inner_blocks_are_computed_in_every_second_step(family: str, tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(built(family, tmp_path / family))
    network, calls = denoiser_of(pipeline), dict[str, int]()
    unet = hasattr(network, "down_blocks")
    rows = [network.down_blocks] if unet else [network.transformer_blocks]
    names = [f"{i}" for i, _ in enumerate(rows[0])]

    def counting(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def count(*given: Any, **named: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return forward(*given, **named)

        return count

    for name, block in zip(names, rows[0], strict=True):
        block.forward = counting(name, block.forward)
    cache = StepCache(pipeline, interval=2)
    pipeline.set_progress_bar_config(disable=True)
    asked: Any = SIDE if family == "flux" else "auto"
    told = {**told_besides(pipeline, asked=asked, steps=4), "output_type": "latent"}
    for _ in range(2):
        cache.begin()
        calls.clear()
        noise = torch.Generator().manual_seed(0)
        pipeline("a", num_inference_steps=4, guidance_scale=1.0, generator=noise, **told)
        assert calls["0"] == 4, "the first block"
        assert calls["1"] == 2, "an inner one"


@pytest.mark.parametrize(
    "family", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in BUILDS]
)
def test_images_depend_on_themselves_alone_and_are_drawn_again(family: str, tmp_path: Path) -> None:
    model = built(family, tmp_path / family)
    usual = drawn(model, tmp_path)
    cached = drawn(model, tmp_path, cache_interval=2)
    assert not np.array_equal(cached, usual)
    assert np.abs(cached - usual).mean() < 30, "near what all blocks draw"
    assert np.array_equal(drawn(model, tmp_path, cache_interval=2), cached)
    # Whatever is drawn beside it.
    assert np.array_equal(drawn(model, tmp_path, count=2, cache_interval=2), cached[:2])


def test_what_is_remembered_is_forgotten_before_the_next_images(tmp_path: Path) -> None:
    model = built("sd", tmp_path / "sd")
    generator = fitted(model, tmp_path, sampler_steps=3, micro_batch=1, cache_interval=3)
    one, other = (SampleRequest(index=i, label=i, seed=i) for i in range(2))

    def pixels(*requests: SampleRequest) -> list[bytes]:
        found = np.concatenate([batch.pixels for batch in generator.sample(requests)])
        return [image.tobytes() for image in found]

    first = pixels(one)
    assert pixels(other, one) == [*pixels(other), *first]


def test_networks_that_are_called_twice_a_step_are_refused() -> None:
    from diffusers import ChromaTransformer2DModel

    network = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=3,
        num_single_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
        approximator_num_channels=8,
        approximator_hidden_dim=8,
        approximator_layers=1,
    )
    with pytest.raises(InputError, match="cache_interval 2 for a ChromaTransformer2DModel"):
        StepCache(SimpleNamespace(transformer=network), interval=2)


def test_networks_of_too_few_blocks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cache_interval 2 for a SD3Transformer2DModel"):
        drawn(tiny_stable_diffusion_3(tmp_path / "flat"), tmp_path, cache_interval=2)
