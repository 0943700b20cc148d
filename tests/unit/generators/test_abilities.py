"""Pipelines that cannot do what they are asked are refused: what they are, and what to give."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.further_pipelines import tiny_qwen_image_2_1
from tests.pipelines import saved, tiny_controlnet, tiny_flux, tiny_stable_diffusion
from tests.unit.generators.test_text_to_image import draw, fitted


def called(model: Path, folder: Path, **changes: Any) -> Path:
    """A copy whose index says something else."""
    place = shutil.copytree(model, folder / "called")
    index = place / "model_index.json"
    told = {**json.loads(index.read_text()), **changes}
    index.write_text(json.dumps({name: value for name, value in told.items() if value != "none"}))
    return place


def refused(model: Path, folder: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        draw(fitted(model, folder / "fit", **settings))
    return str(caught.value)


def with_controlnet(model: Path, folder: Path) -> Path:
    from diffusers import (
        ControlNetModel,
        StableDiffusionControlNetPipeline,
        StableDiffusionPipeline,
    )

    def build(folder: Path) -> Any:
        control = tiny_controlnet(folder.parent / "control", model)
        opened = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
        beside = ControlNetModel.from_pretrained(control)
        return StableDiffusionControlNetPipeline(
            **opened.components, controlnet=beside, requires_safety_checker=False
        )

    return saved(folder, build)


def test_a_pipeline_with_a_controlnet_is_refused(tiny_pipeline: Path, tmp_path: Path) -> None:
    words = refused(with_controlnet(tiny_pipeline, tmp_path / "both"), tmp_path)
    assert "it is a StableDiffusionControlNetPipeline, which draws along another image" in words
    assert "its folder 'controlnet' goes beside that one as 'control_model'" in words


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "names no class of diffusers ('_class_name': None)"),
        (["diffusers", "StableDiffusionPipeline"], "_class_name"),
        (7, "names no class of diffusers"),
        ("none", "names no class of diffusers"),
        ("MyOwnPipeline", "a MyOwnPipeline, which diffusers "),
        ("StableDiffusionUpscalePipeline", "which enlarges an image"),
        ("StableDiffusionDepth2ImgPipeline", "along the depth of an image"),
        ("StableDiffusionInstructPix2PixPipeline", "which changes an image"),
        ("QwenImageEditPipeline", "which changes an image"),
        ("HeliosPipeline", "which makes films"),
        ("StableDiffusionControlNetPAGPipeline", "draws along another image"),
        ("QwenImageControlNetPipeline", "draws along another image"),
        ("KandinskyV22Pipeline", "the second part of a cascade"),
        ("StableDiffusionLDM3DPipeline", "knows no pipeline of its family that makes images"),
    ],
)
def test_an_index_without_a_class_for_text_is_refused(
    tiny_pipeline: Path, tmp_path: Path, name: object, said: str
) -> None:
    assert said in refused(called(tiny_pipeline, tmp_path, _class_name=name), tmp_path)


def test_a_flux_that_is_controlled_is_told_as_such(tmp_path: Path) -> None:
    model = tiny_flux(tmp_path / "flux", kind="FluxControlPipeline")
    words = refused(model, tmp_path)
    assert "it is a FluxControlPipeline, which draws along another image" in words
    assert "give the model that it was made of" in words


def test_for_repainting_a_network_is_refused_and_a_class_is_not(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    usual = called(tiny_pipeline, tmp_path, _class_name="StableDiffusionInpaintPipeline")
    assert np.ptp(draw(fitted(usual, tmp_path / "fit")).pixels) > 0
    masked = tiny_stable_diffusion(tmp_path / "masked", seen=9)
    assert "sees 9 channels where an image has 4" in refused(masked, tmp_path)


def test_qwen_image_2_1_is_guided_by_its_true_guidance_alone(tmp_path: Path) -> None:
    model = tiny_qwen_image_2_1(tmp_path / "qwen")
    few: dict[str, Any] = {"size": 32, "sampler_steps": 2}
    plain = fitted(model, tmp_path / "plain", **few)
    assert plain._config.guidance_scale == 1, "it is meant to draw without"
    drawn = draw(plain).pixels
    assert drawn.shape == (4, 16, 16, 3), "what is transparent lies before white"
    guided = draw(fitted(model, tmp_path / "guided", guidance_scale=4, **few)).pixels
    assert (drawn != guided).any()


@pytest.mark.parametrize(
    ("kind", "asked", "said"),
    [
        ("KolorsPipeline", {"kind": "textual_inversion"}, "takes no new words"),
        ("KolorsPipeline", {"kind": "lora", "text_encoder": True}, "only its network learns"),
        ("KandinskyV22CombinedPipeline", {"kind": "lora"}, "a MoVQ"),
        ("GlmImagePipeline", {"kind": "lora"}, "tokens of an image"),
        ("Ideogram4Pipeline", {"kind": "lora"}, "its network's answer is not known"),
        ("ZImageOmniPipeline", {"kind": "lora"}, "several images at once"),
    ],
)
def test_families_that_cannot_be_adapted_are_refused_before_they_are_opened(
    kind: str, asked: dict[str, Any], said: str, tiny_pipeline: Path, tmp_path: Path
) -> None:
    model = called(tiny_pipeline, tmp_path, _class_name=kind)
    with pytest.raises(InputError, match=said):
        TextToImageConfig.model_validate({"model": str(model), "adapt": asked})
