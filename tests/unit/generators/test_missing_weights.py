"""Pipelines, ControlNets and adapters whose files do not hold what they should."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.autoencoders.files import find_files
from synthlift.generators.autoencoders.pretrained import DiffusersAutoencoder
from synthlift.generators.pipelines.files import hash_part
from synthlift.generators.pipelines.footprint import count_weights
from synthlift.generators.pipelines.opening import open_controlnet, open_pipeline
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.pipelines import tiny_controlnet, tiny_stable_diffusion, tiny_stable_diffusion_3
from tests.single_files import settings_alone, single_file

WEIGHTS = "diffusion_pytorch_model.safetensors"
ROUNDED = "diffusion_pytorch_model.fp16.safetensors"


def change(folder: Path, *, by: Callable[[dict[str, Tensor]], object]) -> None:
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    by(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def opened(model: Path, *, config: str = "") -> torch.nn.Module:
    settings = TextToImageConfig(model=str(model), config=config)
    pipeline = open_pipeline(settings, task="text_to_image")
    assert isinstance(pipeline.text_encoder, torch.nn.Module)
    return pipeline.text_encoder


def refusal(model: Path, *, config: str = "") -> str:
    with pytest.raises(InputError, match="cannot be opened") as caught:
        opened(model, config=config)
    assert "download it again" in caught.value.remedy or config
    return caught.value.given


def without(*names: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: [tensors.pop(name) for name in names]


def test_weights_that_a_text_encoder_lacks_are_named(tmp_path: Path) -> None:
    whole = tiny_stable_diffusion_3(tmp_path / "whole")
    state = torch.random.get_rng_state()
    # T5 keeps its table of words once and uses it under two names: nothing is missing.
    names = opened(whole).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    torn = shutil.copytree(whole, tmp_path / "torn")
    change(torn / "text_encoder_2", by=without("text_projection.weight"))
    assert refusal(torn).endswith(
        "its text_encoder_2 lacks weights, such as text_projection.weight"
    )
    torn = shutil.copytree(whole, tmp_path / "without words")
    change(torn / "text_encoder_3", by=without("shared.weight"))
    assert "its text_encoder_3 lacks weights, such as encoder.embed_tokens.weight" in refusal(torn)
    torn = shutil.copytree(whole, tmp_path / "hollow")
    change(torn / "text_encoder", by=lambda tensors: without(*list(tensors)[1:])(tensors))
    assert refusal(torn).endswith(f" and {len(names) - 4} more")


def test_weights_that_other_parts_lack_are_named(tmp_path: Path) -> None:
    whole = tiny_stable_diffusion(tmp_path / "whole", objecting=True)
    opened(whole)
    for part, name in (
        ("vae", "decoder.conv_in.bias"),
        ("safety_checker", "concept_embeds"),
        ("unet", "conv_out.weight"),
    ):
        torn = shutil.copytree(whole, tmp_path / part)
        change(torn / part, by=without(name))
        assert refusal(torn).endswith(f"its {part} lacks weights, such as {name}")


def test_weights_of_another_shape_and_files_that_are_cut_off_are_refused(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    for part, name in (
        ("text_encoder", "final_layer_norm.bias"),
        ("unet", "conv_out.bias"),
    ):
        bent = shutil.copytree(tiny_pipeline, tmp_path / f"bent {part}")

        def bend(tensors: dict[str, Tensor], name: str = name) -> None:
            (found,) = (own for own in tensors if own.endswith(name))
            tensors[found] = torch.zeros(3)

        change(bent / part, by=bend)
        refusal(bent)
        cut = shutil.copytree(tiny_pipeline, tmp_path / f"cut {part}")
        (file,) = (cut / part).glob("*.safetensors")
        file.write_bytes(file.read_bytes()[:-8])
        refusal(cut)


def marked(folder: Path, mark: str) -> None:
    """Leave the weights of a model under the names of a rounded copy alone."""
    (file,) = folder.glob("*.safetensors")
    file.rename(file.with_suffix(f".{mark}.safetensors"))


def test_rounded_weights_alone_are_opened_and_parts_may_differ(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    usual, weights = opened(tiny_pipeline).state_dict(), count_weights(tiny_pipeline)
    folder = shutil.copytree(tiny_pipeline, tmp_path / "rounded")
    marked(folder / "unet", "fp16")
    opened(folder)
    marked(folder / "text_encoder", "fp16")
    shutil.copy(tiny_pipeline / "unet" / WEIGHTS, folder / "unet")
    found = opened(folder).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in usual.items())
    assert count_weights(folder) == weights
    # Beside a plain copy a rounded one is not opened, whatever other parts have.
    plain, rounded = folder / "unet" / WEIGHTS, folder / "unet" / ROUNDED
    save_file({name: 0 * one for name, one in load_file(plain).items()}, rounded)
    config = TextToImageConfig(model=str(folder))
    unet = open_pipeline(config, task="text_to_image").unet
    assert any(bool(one.any()) for one in unet.parameters())
    change(folder / "text_encoder", by=without("final_layer_norm.bias"))
    assert "its text_encoder lacks weights, such as" in refusal(folder)
    marked(folder / "vae", "bf16")
    with pytest.raises(InputError, match="weights of different kinds: bf16, fp16"):
        TextToImageConfig(model=str(folder))


def test_rounded_weights_in_several_files_and_of_a_controlnet_are_opened(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    whole = open_pipeline(TextToImageConfig(model=str(tiny_pipeline)), task="text_to_image")
    whole.save_pretrained(tmp_path / "shards", variant="fp16", max_shard_size="40KB")
    assert len(list((tmp_path / "shards" / "unet").glob("*.fp16-*"))) > 1
    opened(tmp_path / "shards")
    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    marked(control, "fp16")
    sha256 = hash_part(control, what="ControlNet", setting="control_model")
    open_controlnet(str(control), sha256=sha256, dtype="float32")


def test_weights_that_a_single_file_lacks_are_named(tiny_pipeline: Path, tmp_path: Path) -> None:
    file = single_file(tiny_pipeline, tmp_path / "one.safetensors")
    settings = str(settings_alone(tiny_pipeline, tmp_path / "settings"))
    opened(file, config=settings)
    tensors = load_file(file)
    name = "cond_stage_model.transformer.text_model.final_layer_norm.bias"
    save_file({own: one for own, one in tensors.items() if own != name}, file)
    assert "its text_encoder lacks weights, such as" in refusal(file, config=settings)


def test_weights_that_a_controlnet_or_an_autoencoder_lacks_are_named(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    autoencoder = shutil.copytree(tiny_pipeline / "vae", tmp_path / "vae")

    def look() -> None:
        sha256 = hash_part(control, what="ControlNet", setting="control_model")
        open_controlnet(str(control), sha256=sha256, dtype="float32")

    look()
    change(control, by=without("conv_in.weight"))
    with pytest.raises(InputError, match=r"lacks weights, such as conv_in\.weight"):
        look()
    (control / "diffusion_pytorch_model.safetensors").write_bytes(b"not safe")
    with pytest.raises(InputError, match=r"ControlNet .* cannot be opened"):
        look()
    DiffusersAutoencoder(find_files(autoencoder), device="cpu")
    change(autoencoder, by=without("decoder.conv_in.bias"))
    with pytest.raises(InputError, match=r"lacks weights, such as decoder\.conv_in\.bias"):
        DiffusersAutoencoder(find_files(autoencoder), device="cpu")
