"""What is known of a pipeline from its files: steps that suit it, licence, revision, hash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from synthlift import api
from synthlift.errors import InputError
from synthlift.generators.pipelines.few_step_loras import advised
from synthlift.generators.pipelines.suited import chunk, native_side, suited
from synthlift.generators.pipelines.wishes import Settings, Wish
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.types import SampleRequest
from synthlift.weights.recognising import licence_of
from tests.further_pipelines import tiny_sana_sprint, tiny_z_image
from tests.pipelines import SIDE, tiny_sana
from tests.unit.generators.test_text_to_image import draw, fitted


def pipeline(place: Path, **parts: dict[str, Any]) -> Path:
    for name, config in parts.items():
        file = place / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(config))
    place.mkdir(exist_ok=True)
    return place


def test_pipelines_for_few_steps_are_known_by_scheduler_kind_or_name(tmp_path: Path) -> None:
    lcm = pipeline(tmp_path / "a", scheduler={"_class_name": "LCMScheduler"})
    assert suited(lcm) == (4, 1.5)
    flux = {"_class_name": "FluxTransformer2DModel"}
    assert suited(pipeline(tmp_path / "b", transformer={**flux, "guidance_embeds": False})) == (
        4,
        0,
    )
    assert suited(pipeline(tmp_path / "c", transformer={**flux, "guidance_embeds": True})) is None
    cached = tmp_path / "models--stabilityai--sd-turbo" / "snapshots" / ("a" * 40)
    cached.mkdir(parents=True)
    assert suited(cached) == (4, 0)
    assert suited(pipeline(tmp_path / "d", scheduler={"_class_name": "DDIMScheduler"})) is None


@pytest.mark.parametrize(
    ("place", "few"),
    [
        ("sdxl-turbo", True),
        ("SDXL-Lightning_4step", True),
        ("dreamshaperXL_v21TurboDPMSDE.safetensors", True),
        ("models--ByteDance--SDXL-Lightning/snapshots/abc", True),
        ("models--me--sd15-turbo/snapshots/abc/weights.safetensors", True),
        ("pytorch-lightning/models/sd15", False),
        ("turbo/sd15", False),
        ("models--lightning-ai--sd15/snapshots/abc", False),
        ("turbocharged-sd15", False),
        ("sprinter", False),
    ],
)
def test_only_words_of_a_models_own_name_say_that_few_steps_suit_it(
    tmp_path: Path, place: str, few: bool
) -> None:
    found = suited(tmp_path, named=tmp_path / place)
    assert found == ((4, 0) if few else None)


def test_a_number_of_steps_in_a_name_and_who_made_a_model_count(tmp_path: Path) -> None:
    xl = {"cross_attention_dim": 2048, "sample_size": 128}
    large, small = pipeline(tmp_path / "a", unet=xl), {**xl, "sample_size": 64}
    turbo = pipeline(tmp_path / "b", unet=small)
    named = {
        (large, "SDXL-Lightning_8step"): (8, 0),
        (large, "sdxl-lightning-2-steps"): (2, 0),
        (large, "ByteDance_SDXL-Lightning"): (4, 0),
        (large, "ByteDance-SDXL-Lightning-4step"): (4, 0),
        (large, "stable-diffusion-xl-lightning"): (4, 0),
        (large, "dreamshaper-xl-v2-turbo"): (6, 2),
        (large, "juggernautXL_lightning_5steps"): (5, 2),
        (turbo, "my-turbo"): (4, 0),
        (large, "sdxl_20steps"): None,
    }
    for (folder, name), found in named.items():
        assert suited(folder, named=tmp_path / name) == found, name
    z_image = pipeline(tmp_path / "c", transformer={"_class_name": "ZImageTransformer2DModel"})
    assert suited(z_image, named=tmp_path / "Z-Image-Turbo") == (8, 0)
    assert suited(z_image, named=tmp_path / "Z-Image") is None


def test_a_scheduler_for_few_steps_and_a_lora_file_for_it_choose_few_steps(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    asked = fitted(tiny_pipeline, tmp_path, scheduler="LCMScheduler", sampler_steps=4)
    assert asked._config.guidance_scale == 1.5
    assert np.ptp(draw(asked).pixels) > 0
    lora = tmp_path / "lcm-lora-sdv1-5"
    lora.mkdir()
    save_file({"a": torch.zeros(1)}, lora / "pytorch_lora_weights.safetensors")
    for said in (str(lora), {"path": str(lora), "weight": 0.5}):
        config = TextToImageConfig.model_validate({"model": str(tiny_pipeline), "loras": said})
        found = (config.scheduler, config.sampler_steps, config.guidance_scale)
        assert found == ("LCMScheduler", 4, 1.5)
    usual = TextToImageConfig.model_validate(
        {"model": str(tiny_pipeline), "loras": str(lora), "scheduler": "DDIMScheduler"}
    )
    assert (usual.scheduler, usual.sampler_steps) == ("DDIMScheduler", 30)
    with pytest.raises(ValueError, match="loras"):
        TextToImageConfig.model_validate({"model": str(tiny_pipeline), "loras": 3})
    # Nobody knows before the call that this scheduler takes 50 steps at most.
    many = fitted(tiny_pipeline, tmp_path, scheduler="LCMScheduler", sampler_steps=60)
    with pytest.raises(InputError, match="these were 60 steps"):
        draw(many)


def test_no_consistency_model_is_made_of_flow_matching(tmp_path: Path) -> None:
    sana = {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"}
    place = pipeline(tmp_path / "sana", scheduler=sana)
    lora = [tmp_path / "my-lcm.safetensors"]
    assert advised(place, said=None, loras=lora).scheduler == ""
    usual = pipeline(tmp_path / "usual", scheduler={"_class_name": "DDIMScheduler"})
    assert advised(usual, said=None, loras=lora).scheduler == "LCMScheduler"


def test_where_no_part_tells_a_size_it_is_that_of_the_call(tmp_path: Path) -> None:
    generator = fitted(tiny_z_image(tmp_path / "z-image"), tmp_path / "fit")
    assert generator._native_size() == (1024, 1024)
    assert np.ptp(draw(fitted(tmp_path / "z-image", tmp_path / "small", size=16)).pixels) > 0


def test_what_z_image_is_to_avoid_counts_above_guidance_0(tmp_path: Path) -> None:
    model = tiny_z_image(tmp_path / "z-image")
    usual: dict[str, Any] = {"size": 16, "prompt": "{label}", "names": {"crane": "heron"}}
    told, drawn = {}, {}
    for scale in (0, 1):
        avoiding = fitted(model, tmp_path, guidance_scale=scale, negative_prompt="snow", **usual)
        told[scale] = avoiding.facts().get("warnings", [])
        drawn[scale] = draw(avoiding).pixels, draw(avoiding, negative_prompt="").pixels
    assert "have no effect at guidance_scale 0" in told[0][0]
    assert np.array_equal(*drawn[0])
    assert told[1] == []
    assert not np.array_equal(*drawn[1])


def test_what_suits_is_the_default_and_what_is_said_goes_before_it(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    turbo = shutil.copytree(tiny_pipeline, tmp_path / "tiny-turbo")
    usual = TextToImageConfig(model=str(tiny_pipeline))
    assert (usual.sampler_steps, usual.guidance_scale) == (30, 2)
    quick = TextToImageConfig(model=str(turbo))
    assert (quick.sampler_steps, quick.guidance_scale) == (4, 0)
    said = TextToImageConfig(model=str(turbo), sampler_steps=7)
    assert (said.sampler_steps, said.guidance_scale) == (7, 0)
    assert quick.model_sha256 == usual.model_sha256
    # A saved generator opens where its model no longer lies, with what was found then.
    gone = TextToImageConfig.model_validate({**quick.model_dump(), "model": "gone"})
    assert (gone.sampler_steps, gone.model_sha256) == (4, quick.model_sha256)


def test_small_pipelines_draw_more_images_together(tiny_pipeline: Path, tmp_path: Path) -> None:
    assert native_side(tiny_pipeline) == 16
    assert TextToImageConfig(model=str(tiny_pipeline)).micro_batch == 32
    vae = {"block_out_channels": [128, 256, 512, 512]}
    large = pipeline(tmp_path / "sdxl", unet={"sample_size": 128}, vae=vae)
    assert (native_side(large), chunk(large)) == (1024, 4)
    wide = pipeline(tmp_path / "wide", transformer={"sample_size": [16, 24]}, vae=vae)
    assert (native_side(wide), chunk(wide)) == (192, 8)
    assert chunk(tmp_path) is None


def test_a_pipeline_draws_at_the_size_that_its_network_was_made_for(tmp_path: Path) -> None:
    # Left to itself, Sana draws 1024 pixels.
    generator = fitted(tiny_sana(tmp_path / "sana"), tmp_path / "fit")
    wish = Wish(SampleRequest(index=0, label=0, seed=0), "a crane", "", 0)
    pixels = generator._drawn([wish], Settings(2.0, 1, "", avoids=False))
    assert pixels.shape == (1, 2 * SIDE, 2 * SIDE, 3)
    assert generator._native_size() == (2 * SIDE, 2 * SIDE)


def test_sana_sprint_draws_in_few_steps(tmp_path: Path) -> None:
    model = tiny_sana_sprint(tmp_path / "Sana_Sprint_tiny")
    config = TextToImageConfig(model=str(model))
    assert (config.sampler_steps, config.guidance_scale) == (2, 4.5)
    drawn = [
        draw(fitted(model, tmp_path, sampler_steps=steps, **scale)).pixels
        for steps, scale in ((1, {}), (2, {}), (3, {}), (2, {"guidance_scale": 1}))
    ]
    assert all(np.ptp(pixels) > 0 for pixels in drawn)
    assert len({pixels.tobytes() for pixels in drawn}) == len(drawn)


def test_licence_and_revision_are_noted(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models--me--net" / "snapshots" / ("c" * 40)
    shutil.copytree(tiny_pipeline, folder)
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n")
    config = TextToImageConfig(model=str(folder))
    assert (config.licence, config.revision) == ("creativeml-openrail-m", "c" * 40)
    for header, says in (
        ("license: other\nlicense_name: flux-1-dev", "flux-1-dev"),
        ("license_name: 'sai-nc'\nlicense: other\nlicense_link: LICENSE.md", "sai-nc"),
        ("license: mit\nlicense_name: our-mit", "mit"),
        ("license: other", "other"),
        ("license_name: own", "own"),
    ):
        (folder / "README.md").write_text(f"---\n{header}\n---\n")
        assert licence_of(folder) == says


def test_the_scheduler_is_noted(tiny_pipeline: Path) -> None:
    assert TextToImageConfig(model=str(tiny_pipeline)).own_scheduler == "DDIMScheduler"


@pytest.mark.parametrize("part", ["unet", "tokenizer", "scheduler"])
def test_a_folder_without_a_part_is_refused(tiny_pipeline: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "incomplete")
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=f"lacks {part}") as caught:
        TextToImageConfig(model=str(folder))
    assert "all of it" in caught.value.remedy


def test_a_part_without_weights_and_a_pipeline_of_another_kind_are_refused(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    hollow = shutil.copytree(tiny_pipeline, tmp_path / "hollow")
    for path in (hollow / "unet").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(InputError, match="no weights in safetensors for its unet"):
        TextToImageConfig(model=str(hollow))
    torn = shutil.copytree(tiny_pipeline, tmp_path / "torn")
    (weights,) = (torn / "unet").glob("*.safetensors")
    tensors = load_file(weights)
    del tensors["conv_in.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its unet lacks weights, such as conv_in\.weight"):
        draw(fitted(torn, tmp_path))
    other = shutil.copytree(tiny_pipeline, tmp_path / "other")
    index = other / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "DDPMPipeline"))
    with pytest.raises(InputError, match="it is a DDPMPipeline") as caught:
        draw(fitted(other, tmp_path))
    assert "makes images from text" in caught.value.rule


def test_pickled_pipelines_are_refused_with_the_way_out(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipeline, tmp_path / "pickled")
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(InputError, match="no weights in safetensors") as caught:
        TextToImageConfig(model=str(folder))
    assert "--allow-pickle" in caught.value.remedy


def test_a_pipeline_with_one_pickled_part_is_named_converted_and_drawn_with(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHLIFT_WEIGHTS", str(tmp_path / "shelf"))
    folder = shutil.copytree(tiny_pipeline, tmp_path / "mixed")
    for file in (folder / "unet").glob("*.safetensors"):
        torch.save(load_file(file), file.with_suffix(".bin"))
        file.unlink()
    shards = pickled_in_shards(folder / "text_encoder")
    (folder / "old.ckpt").write_bytes(b"the same weights in one file, which nobody opens")
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"nor this one")
    (folder / "LICENSE").write_text("Terms\n")
    with pytest.raises(InputError, match=r"safetensors for its .*unet") as caught:
        TextToImageConfig(model=str(folder))
    assert caught.value.remedy.endswith(f"synthlift models add {folder} --allow-pickle")
    with pytest.raises(InputError, match=r"weights of its .*unet.* in .* are pickled"):
        api.add_model(folder)
    entry = api.add_model(folder, allow_pickle=True)
    place = Path(entry.path)
    assert not [*place.glob("*.safetensors"), *place.rglob("*.bin"), *place.rglob("*.ckpt")]
    assert len(list((place / "text_encoder").glob("model-*.safetensors"))) == len(shards) == 2
    assert entry.licence == "Terms (LICENSE)"
    converted = draw(fitted(place, tmp_path / "converted")).pixels
    assert np.array_equal(converted, draw(fitted(tiny_pipeline, tmp_path / "usual")).pixels)


def pickled_in_shards(part: Path) -> list[Path]:
    """Write a part's weights as transformers once did: pickled, in two files, and an index."""
    (file,) = part.glob("*.safetensors")
    tensors = load_file(file)
    told: dict[str, str] = {}
    paths = [part / f"pytorch_model-0000{one}-of-00002.bin" for one in (1, 2)]
    for path, names in zip(paths, (sorted(tensors)[::2], sorted(tensors)[1::2]), strict=True):
        torch.save({name: tensors[name] for name in names}, path)
        told |= dict.fromkeys(names, path.name)
    index = {"metadata": {}, "weight_map": told}
    (part / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    file.unlink()
    return paths
