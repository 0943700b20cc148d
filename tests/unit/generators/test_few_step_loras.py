"""LoRA files, and models, that were made for few steps: what suits them is set by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthlift.errors import InputError
from synthlift.generators.pipelines import opening
from synthlift.generators.pipelines.few_step_loras import advised, told_by_name, warnings
from synthlift.generators.pipelines.suited import Suited, suited
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.further_pipelines import tiny_flux_2_klein
from tests.unit.generators.test_pipeline_files import pipeline
from tests.unit.generators.test_text_to_image import draw, fitted

EULER, DDIM, LCM = "EulerDiscreteScheduler", "DDIMScheduler", "LCMScheduler"
ANCESTRAL, TCD = "EulerAncestralDiscreteScheduler", "TCDScheduler"


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    return pipeline(tmp_path / "usual", scheduler={"_class_name": "PNDMScheduler"})


@pytest.mark.parametrize(
    ("name", "own", "scheduler", "spacing"),
    [
        ("sdxl_lightning_4step_lora", (4, 0), EULER, "trailing"),
        ("sdxl_lightning_8step_lora", (8, 0), EULER, "trailing"),
        ("Hyper-SDXL-8steps-lora", (8, 0), DDIM, "trailing"),
        ("Hyper-SD15-1step-lora", (1, 0), TCD, ""),
        ("Hyper-SDXL-12steps-CFG-lora", (12, 5), DDIM, "trailing"),
        ("dmd2_sdxl_4step_lora", (4, 0), LCM, "trailing"),
        ("pcm_sd15_smallcfg_4step_converted", (4, 1.5), DDIM, "trailing"),
        ("pcm_sdxl_normalcfg_16step_converted", (16, 3), DDIM, "trailing"),
        ("pcm_sd15_lcmlike_lora_converted", (4, 1.5), LCM, ""),
        ("sd_xl_turbo_lora_v1", (4, 0), ANCESTRAL, "trailing"),
        ("TCD-SDXL-LoRA/pytorch_lora_weights", (4, 0), TCD, ""),
        ("hyper/pytorch_lora_weights", (8, 0), DDIM, "trailing"),
        ("dmd2/pytorch_lora_weights", (4, 0), LCM, "trailing"),
        ("RealVisXL_DMD2", (4, 0), LCM, "trailing"),
        ("PCM_Weights/pcm_deterministic_2step_shift1", (2, 1.5), DDIM, "trailing"),
        ("TCD-SD15-LoRA/pytorch_lora_weights", (4, 0), TCD, ""),
        ("my-lcm", (4, 1.5), LCM, ""),
        ("lcm-lora-sdxl/pytorch_lora_weights", (4, 1.5), LCM, ""),
    ],
)
def test_a_lora_files_name_tells_what_its_makers_advise(
    usual: Path, tmp_path: Path, name: str, own: tuple[int, float], scheduler: str, spacing: str
) -> None:
    file = tmp_path / f"{name}.safetensors"
    found = advised(usual, said=None, loras=[tmp_path / "style.safetensors", file])
    assert found == (own, scheduler, spacing, file)
    told = warnings(usual, [(file, 1.0)], own=Suited(*own), scheduler=scheduler)
    assert [*told] == []
    (by_name,) = told_by_name(usual, [file], own=Suited(*own), scheduler=scheduler)
    assert f"{own[0]} steps of {scheduler} at guidance {own[1]:g} are used" in by_name
    assert [*told_by_name(usual, [file], own=Suited(30, 2.0), scheduler=scheduler)] == []
    # A scheduler that the user names is not replaced; steps for another one are not taken over.
    assert advised(usual, said=scheduler, loras=[file]).own == own
    assert advised(usual, said="HeunDiscreteScheduler", loras=[file])[:3] == (None, "", "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hyper-realistic-sdxl", False),
        ("hyperdetail", False),
        ("turbocharger-cars", False),
        ("lightning_storm_v2", True),
        ("my_4step", True),
        ("style_2000steps", False),
        ("pcm_microscopy", True),
        ("pcm_flora", True),
        ("tcd_ultrasound", True),
        ("dmd_muscle", False),
        ("dmd_2024_sdxl", False),
        ("dmd20", False),
    ],
)
def test_of_other_files_nothing_is_taken_and_some_are_warned_of(
    usual: Path, tmp_path: Path, name: str, told: bool
) -> None:
    file = tmp_path / f"{name}.safetensors"
    assert advised(usual, said=None, loras=[file]).own is None
    found = [*warnings(usual, [(file, 1.0)], own=Suited(30, 2.0), scheduler="")]
    assert bool(found) == told
    if told:
        assert "30 steps of PNDMScheduler at guidance 2 are used" in found[0]


def test_schedulers_of_flow_matching_stay(tmp_path: Path) -> None:
    flow = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    flux = {"_class_name": "FluxTransformer2DModel", "guidance_embeds": True}
    place = pipeline(tmp_path / "flux", scheduler=flow, transformer=flux)
    file = tmp_path / "Hyper-FLUX.1-dev-16steps-lora.safetensors"
    assert advised(place, said=None, loras=[file])[:3] == ((16, 3.5), "", "")
    (words,) = warnings(place, [(file, 1.0)], own=Suited(16, 3.5), scheduler="")
    assert "its makers advise 0.125" in words
    assert [*warnings(place, [(file, 0.125)], own=Suited(16, 3.5), scheduler="")] == []
    other = pipeline(tmp_path / "sd3", scheduler=flow)
    assert advised(other, said=None, loras=[file]).own is None
    assert [*warnings(other, [(file, 0.125)], own=Suited(30, 2.0), scheduler="")]


def test_settings_of_the_user_win(tiny_pipeline: Path, tmp_path: Path) -> None:
    lora = tmp_path / "sd15_lightning_4step_lora.safetensors"
    save_file({"a": torch.zeros(1)}, lora)

    def settings(**said: Any) -> tuple[Any, ...]:
        found = TextToImageConfig.model_validate(
            {"model": str(tiny_pipeline), "loras": str(lora), **said}
        )
        asked = (found.scheduler, found.timestep_spacing)
        return (*asked, found.sampler_steps, found.guidance_scale)

    assert settings() == (EULER, "trailing", 4, 0)
    assert settings(sampler_steps=8, guidance_scale=1) == (EULER, "trailing", 8, 1)
    assert settings(scheduler=DDIM) == (DDIM, "", 30, 2)
    assert settings(timestep_spacing="leading")[:2] == (EULER, "leading")


@pytest.mark.parametrize("scheduler", [EULER, DDIM, LCM, ""])
def test_trailing_steps_begin_at_pure_noise(
    tiny_pipeline: Path, tmp_path: Path, scheduler: str
) -> None:
    few: dict[str, Any] = {"sampler_steps": 4, "guidance_scale": 0}
    asked = fitted(tiny_pipeline, tmp_path, scheduler=scheduler, timestep_spacing="trailing", **few)
    batch = draw(asked)
    found = asked._pipeline.scheduler
    assert found.timesteps.tolist() == [999, 749, 499, 249]
    assert np.ptp(batch.pixels) > 0


def test_a_scheduler_that_is_named_does_not_clip_latents(tmp_path: Path) -> None:
    from tests.pipelines import tiny_stable_diffusion_xl

    asked = fitted(tiny_stable_diffusion_xl(tmp_path / "xl"), tmp_path / "fit", scheduler=DDIM)
    draw(asked)
    assert asked._pipeline.scheduler.config["clip_sample"] is False


def test_a_scheduler_that_spaces_by_itself_is_not_told(tmp_path: Path) -> None:
    from tests.pipelines import tiny_flux

    asked = fitted(tiny_flux(tmp_path / "flux"), tmp_path / "fit", timestep_spacing="trailing")
    with pytest.raises(InputError, match="FlowMatchEulerDiscreteScheduler"):
        draw(asked)


def test_tcd_draws_with_the_noise_that_its_makers_advise(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fitted(tiny_pipeline, tmp_path, scheduler=TCD, sampler_steps=3, micro_batch=4)
    drawn = draw(asked).pixels
    assert np.array_equal(drawn, draw(asked.with_micro_batch(1)).pixels), "whatever the chunk"
    monkeypatch.setattr(opening, "TRAJECTORY_NOISE", 0.0)
    assert (drawn != draw(asked).pixels).any()


def test_models_for_few_steps_are_known_by_hyper_dmd_and_tcd(tmp_path: Path) -> None:
    xl = {"cross_attention_dim": 2048, "sample_size": 128}
    large = pipeline(tmp_path / "a", unet=xl)
    named = {
        "hyper": (6, 2),
        "RealVisXL_V4.0_Hyper": (6, 2),
        "Hyper-SDXL-1step-unet": (1, 0),
        "my_hyper_4step": (4, 2),
        "dmd2": (4, 0),
        "lustifySDXL_dmd2": (4, 0),
        "TCD-SDXL": (4, 0),
        "hyper-realistic": None,
        "dmd_muscle": None,
        "tcd_ultrasound": None,
    }
    for name, found in named.items():
        assert suited(large, named=tmp_path / name) == found, name


def test_flux_2_klein_says_itself_that_it_was_distilled(tmp_path: Path) -> None:
    model = tiny_flux_2_klein(tmp_path / "klein")
    assert suited(model) is None
    index = model / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "is_distilled": True}))
    asked = TextToImageConfig.model_validate({"model": str(model)})
    assert (asked.sampler_steps, asked.guidance_scale) == (4, 1)
    guided: dict[str, Any] = {"guidance_scale": 3, "names": {"crane": "heron"}}
    (words,) = fitted(model, tmp_path / "fit", **guided).facts()["warnings"]
    assert "guidance_scale 3 has no effect" in words
    krea = pipeline(tmp_path / "krea")
    (krea / "model_index.json").write_text('{"_class_name": "Krea2Pipeline", "is_distilled": true}')
    assert suited(krea) == (8, 0)
