"""Families beside the usual ones draw: each as a tiny pipeline of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.types import SampleRequest
from tests.newer_pipelines import (
    tiny_aura_flow,
    tiny_chroma,
    tiny_cogview_4,
    tiny_krea_2,
    tiny_lumina,
    tiny_lumina_2,
    tiny_ovis_image,
)
from tests.older_pipelines import tiny_deepfloyd_if, tiny_hunyuan_dit, tiny_kandinsky_3
from tests.pipelines import (
    tiny_pixart,
    tiny_stable_diffusion,
    tiny_stable_diffusion_3,
    tiny_stable_diffusion_xl,
)
from tests.rarer_pipelines import (
    tiny_cogview_3,
    tiny_flux_kontext,
    tiny_ideogram_4,
    tiny_kolors,
    tiny_nucleus,
    tiny_z_image_omni,
)
from tests.two_part_pipelines import tiny_glm_image, tiny_kandinsky, tiny_kandinsky_2_2
from tests.unit.generators.test_abilities import called
from tests.unit.generators.test_text_to_image import draw, fitted

Build = Callable[[Path], Path]
OWN = "auto"
"""The size of those that draw at no other, or only at published ones."""


def deep_stable_diffusion_3(folder: Path) -> Path:
    """One of two layers, of which the second perturbs."""
    return tiny_stable_diffusion_3(folder, layers=2)


def deep_pixart(folder: Path) -> Path:
    """One of two layers, of which the second perturbs."""
    return tiny_pixart(folder, layers=2)


BUILT: list[tuple[Build, int | str]] = [
    (tiny_chroma, 32),
    (tiny_aura_flow, 32),
    (tiny_cogview_4, 32),
    (tiny_lumina_2, 32),
    (tiny_krea_2, 32),
    (tiny_deepfloyd_if, OWN),
    (tiny_hunyuan_dit, OWN),
    (tiny_kandinsky_3, 32),
    (tiny_kandinsky_2_2, 32),
]
FURTHER: list[tuple[Build, int | str]] = [
    (tiny_lumina, 32),
    (tiny_ovis_image, 32),
    (tiny_kolors, 32),
    (tiny_cogview_3, 32),
    (tiny_flux_kontext, 32),
    (tiny_z_image_omni, 32),
    (tiny_nucleus, 32),
    (tiny_kandinsky, 32),
    (tiny_ideogram_4, 32),
    (tiny_glm_image, 32),
]
PERTURBED: list[tuple[Build, str, int | str]] = [
    (tiny_stable_diffusion, "StableDiffusionPAGPipeline", 16),
    (tiny_stable_diffusion_xl, "StableDiffusionXLPAGPipeline", 16),
    (deep_stable_diffusion_3, "StableDiffusion3PAGPipeline", 16),
    (deep_pixart, "PixArtSigmaPAGPipeline", OWN),
    (tiny_hunyuan_dit, "HunyuanDiTPAGPipeline", OWN),
    (tiny_kolors, "KolorsPAGPipeline", 32),
]
"""Those that are also guided by attention that looks nowhere."""


def draws(build: Build, folder: Path, *, size: int | str) -> None:
    model = build(folder / "model")
    few: dict[str, Any] = {"size": size, "sampler_steps": 2, "guidance_scale": 3}
    generator = fitted(model, folder / "fit", negative_prompt="blur", **few)
    batch = draw(generator)
    assert batch.pixels.shape == (4, 16, 16, 3)
    assert all(np.ptp(image) > 0 for image in batch.pixels)
    assert np.array_equal(batch.pixels, draw(generator).pixels), "its noise goes by the seeds"
    assert (batch.pixels != draw(generator, prompt="z").pixels).any(), "words have a say"
    (alone,) = generator.sample([SampleRequest(index=1, label=1, seed=1)])
    away = np.abs(alone.pixels[0].astype(int) - batch.pixels[1])
    assert away.max() <= 1, "whatever is drawn beside it"


@pytest.mark.parametrize(("build", "size"), BUILT, ids=lambda one: getattr(one, "__name__", one))
def test_they_draw(build: Build, size: int | str, tmp_path: Path) -> None:
    draws(build, tmp_path, size=size)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "size"), FURTHER, ids=lambda one: getattr(one, "__name__", one))
def test_further_ones_draw(build: Build, size: int | str, tmp_path: Path) -> None:
    draws(build, tmp_path, size=size)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "name", "size"), PERTURBED)
def test_perturbed_attention_guides_too(
    build: Build, name: str, size: int | str, tmp_path: Path
) -> None:
    def perturbed(folder: Path) -> Path:
        return called(build(folder), folder.parent, _class_name=name)

    draws(perturbed, tmp_path, size=size)


@pytest.mark.slow
def test_perturbed_attention_is_left_out_where_an_unguided_pipeline_would_fail(
    tmp_path: Path,
) -> None:
    model = called(
        tiny_hunyuan_dit(tmp_path / "model"), tmp_path, _class_name="HunyuanDiTPAGPipeline"
    )
    drawn = draw(fitted(model, tmp_path / "fit", size=OWN, guidance_scale=1))
    assert all(np.ptp(image) > 0 for image in drawn.pixels)


def test_a_flux_that_can_be_shown_an_image_draws_at_the_size_asked_for(tmp_path: Path) -> None:
    model = tiny_flux_kontext(tmp_path / "model")
    drawn = draw(fitted(model, tmp_path / "fit", size=32, keep_originals=True)).originals
    assert drawn is not None
    assert drawn.shape == (4, 32, 32, 3)


def test_two_parts_avoid_what_they_are_told_and_heed_another_scheduler(tmp_path: Path) -> None:
    model = tiny_kandinsky_2_2(tmp_path / "model")
    # Its prior avoids whatever the guidance of the second part is.
    few: dict[str, Any] = {"size": 32, "sampler_steps": 3, "guidance_scale": 1}
    generator = fitted(model, tmp_path / "fit", **few)
    usual = draw(generator).pixels
    avoiding = draw(generator, negative_prompt="dust").pixels
    assert (usual != avoiding).any()
    assert (avoiding != draw(generator, negative_prompt="q").pixels).any()
    assert not any("no effect" in one for one in generator.remarks({"negative_prompt": "q"}))
    other = fitted(model, tmp_path / "other", scheduler="DPMSolverMultistepScheduler", **few)
    assert (usual != draw(other).pixels).any()


def test_the_size_that_a_call_states_is_a_pipelines_own(tmp_path: Path) -> None:
    model = tiny_kandinsky_2_2(tmp_path / "model")
    assert fitted(model, tmp_path / "fit", size="auto")._native_size() == (512, 512)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("StableCascadeDecoderPipeline", "the second part of a cascade"),
        ("StableCascadePriorPipeline", "the first part of a cascade"),
        ("StableCascadeCombinedPipeline", "with guidance and steps for each"),
        ("WuerstchenCombinedPipeline", "with guidance and steps for each"),
    ],
)
def test_cascades_and_halves_of_them_are_refused(
    name: str, said: str, tiny_pipeline: Path, tmp_path: Path
) -> None:
    cascade = called(tiny_pipeline, tmp_path, _class_name=name)
    with pytest.raises(InputError, match=said):
        draw(fitted(cascade, tmp_path / "fit"))
