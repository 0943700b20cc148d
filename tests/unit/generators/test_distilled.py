"""Pipelines that were distilled, and those whose index says more than their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from synthlift.generators.pipelines.opening import open_pipeline, sides
from synthlift.generators.pipelines.suited import chunk, native_side, suited
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.newer_pipelines import tiny_krea_2, tiny_prx
from tests.unit.generators.test_text_to_image import draw, fitted


def test_an_index_says_that_a_pipeline_was_distilled_and_at_which_size_prx_draws(
    tmp_path: Path,
) -> None:
    def index(name: str, **said: Any) -> Path:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps({"_class_name": name, **said}))
        return folder

    krea, klein = (index(f"{name}Pipeline", is_distilled=True) for name in ("Krea2", "Flux2Klein"))
    assert suited(krea, named=tmp_path / "Krea-2-Turbo") == (8, 0)
    assert suited(krea, named=tmp_path / "Krea2_Turbo_4_Step") == (4, 0)
    assert suited(klein, named=tmp_path / "FLUX.2-klein-4B") == (4, 1)
    assert suited(index("Krea2Pipeline", is_distilled=False)) is None
    prx = index("PRXPipeline", default_sample_size=512)
    assert suited(prx, named=tmp_path / "prx-512-t2i-sft-distilled") == (8, 1)
    assert suited(prx, named=tmp_path / "prx-512-t2i-sft") is None
    assert (native_side(prx), chunk(prx)) == (512, 4)
    opened = open_pipeline(
        TextToImageConfig(model=str(tiny_prx(tmp_path / "tiny"))), task="text_to_image"
    )
    assert sides(opened, asked="auto") == (16, 16)


def test_lists_of_numbers_in_an_index_are_no_parts(tmp_path: Path) -> None:
    model = tiny_krea_2(tmp_path / "krea")
    assert json.loads((model / "model_index.json").read_text())["text_encoder_select_layers"]
    told = fitted(
        model, tmp_path, size=16, negative_prompt="fog", guidance_scale=1, prompt="{label}"
    )
    assert np.ptp(draw(told).pixels) > 0
    # It heeds what it is to avoid at any guidance above 0.
    assert not [words for words in told.facts()["warnings"] if "negative" in words]


def test_a_lora_file_called_lightning_chooses_its_steps_and_their_spacing(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    file = tmp_path / "sdxl_lightning_8step_lora.safetensors"
    up = "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    own = load_file(tiny_pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    width = own[f"{up.removeprefix('unet.')}.weight"].shape
    tensors = {
        f"{up}.lora_A.weight": torch.ones(2, width[1]),
        f"{up}.lora_B.weight": torch.ones(width[0], 2),
    }
    save_file(tensors, file)
    config = TextToImageConfig.model_validate({"model": str(tiny_pipeline), "loras": str(file)})
    assert (config.sampler_steps, config.guidance_scale) == (8, 0)
    plain = TextToImageConfig(model=str(tiny_pipeline))
    spacings = [
        open_pipeline(one, task="text_to_image").scheduler.config.timestep_spacing
        for one in (plain, config)
    ]
    assert spacings == ["leading", "trailing"]
    told = {"model": str(tiny_pipeline), "loras": str(file), "sampler_steps": 2}
    assert TextToImageConfig.model_validate(told).sampler_steps == 2
