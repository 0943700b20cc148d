"""Stable Diffusion 3, Flux and others in one file: whole, without T5, or the network alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.pipelines.files import pipeline_files
from synthlift.generators.pipelines.footprint import count_weights, pipeline_bytes
from synthlift.generators.pipelines.single_file import layout_of
from synthlift.generators.pipelines.terms import terms_of
from synthlift.generators.pipelines.tokens import lost_words
from synthlift.generators.pipelines.vocabularies import LAYOUTS, known_tokenizer
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.flow_files import file_of_parts, flux_network, sd3_network
from tests.further_pipelines import tiny_qwen_image
from tests.pipelines import tiny_flux, tiny_pixart, tiny_sana, tiny_stable_diffusion_3
from tests.single_files import settings_alone
from tests.unit.generators.test_text_to_image import draw, fitted

CLIPS = (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g"))
T5 = ("text_encoder_3", "t5xxl")


def network_of(pipeline: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(next((pipeline / "transformer").glob("*.safetensors")))
    return found


def same(one: Path, other: Path, tmp_path: Path, *, config: Path) -> bool:
    """Whether a file draws what a folder draws."""
    ours = draw(fitted(one, tmp_path / "ours", config=str(config))).pixels.astype(int)
    theirs = draw(fitted(other, tmp_path / "theirs")).pixels.astype(int)
    assert np.ptp(theirs) > 0
    return bool(np.abs(ours - theirs).max() <= 1)


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_stable_diffusion_3(tmp_path_factory.mktemp("sd3") / "sd3", layers=2, second=8)
    # The published file lacks the projection of the first encoder, which is none.
    file = next((folder / "text_encoder").glob("*.safetensors"))
    save_file({**load_file(file), "text_projection.weight": torch.eye(16)}, file)
    return folder


def test_stable_diffusion_3_in_one_file_draws_what_its_folder_draws(
    sd3: Path, tmp_path: Path
) -> None:
    inner = {f"model.diffusion_model.{n}": t for n, t in sd3_network(network_of(sd3)).items()}
    settings = settings_alone(sd3, tmp_path / "settings")
    whole = file_of_parts(inner, sd3, tmp_path / "whole.safetensors", encoders=(*CLIPS, T5))
    assert same(whole, sd3, tmp_path, config=settings)


def test_without_t5_it_draws_and_says_so(sd3: Path, tmp_path: Path) -> None:
    inner = {f"model.diffusion_model.{n}": t for n, t in sd3_network(network_of(sd3)).items()}
    settings = settings_alone(sd3, tmp_path / "settings")
    shutil.rmtree(settings / "tokenizer_3")
    file = file_of_parts(inner, sd3, tmp_path / "incl_clips.safetensors", encoders=CLIPS)
    config = TextToImageConfig(model=str(file), config=str(settings))
    assert pipeline_files(config.model, config.config).without == ("text_encoder_3",)
    with_t5 = draw(fitted(sd3, tmp_path / "theirs")).pixels
    drawn = fitted(file, tmp_path / "ours", config=str(settings))
    pixels = draw(drawn).pixels
    assert np.ptp(pixels) > 0
    assert not np.array_equal(pixels, with_t5)
    (told,) = [one for one in drawn.facts()["warnings"] if "T5" in one]
    assert "holds no text_encoder_3" in told


def test_parts_that_the_file_lacks_come_from_the_folder(sd3: Path, tmp_path: Path) -> None:
    network = sd3_network(network_of(sd3))
    # As Stable Diffusion 3.5 is published: no text encoder.
    file = file_of_parts(network, sd3, tmp_path / "sd3.5.safetensors", encoders=())
    assert same(file, sd3, tmp_path, config=sd3)
    settings = settings_alone(sd3, tmp_path / "settings")
    with pytest.raises(InputError, match="holds no text_encoder, no text_encoder_2") as caught:
        TextToImageConfig(model=str(file), config=str(settings))
    assert "config: FOLDER" in caught.value.remedy
    files = pipeline_files(str(file), str(sd3))
    taken = pipeline_bytes(files, dtype="float16", micro_batch=1, side=8)
    parts = [sd3 / name for name in ("text_encoder", "text_encoder_2", "text_encoder_3")]
    assert taken > 2 * (count_weights(file) + sum(count_weights(one) for one in parts))


@pytest.mark.parametrize("family", [tiny_flux, tiny_sana, tiny_qwen_image])
def test_a_network_alone_draws_with_the_rest_of_its_folder(
    family: Callable[..., Path], tmp_path: Path
) -> None:
    whole = family(tmp_path / "whole")
    rest = Path(shutil.copytree(whole, tmp_path / "rest"))
    file = tmp_path / "network.safetensors"
    shutil.move(next((rest / "transformer").glob("*.safetensors")), file)
    assert same(file, whole, tmp_path, config=rest)


def test_terms_of_the_folder_with_the_other_parts_go_along(tmp_path: Path) -> None:
    rest = tiny_flux(tmp_path / "flux")
    (rest / "LICENSE.md").write_text("Not for sale.")
    file = tmp_path / "network.safetensors"
    save_file(network_of(rest), file)
    config = TextToImageConfig(model=str(file), config=str(rest))
    assert "Not for sale." in terms_of(config)
    assert config.licence == TextToImageConfig(model=str(rest)).licence != ""


def test_a_family_that_diffusers_reads_from_no_file_is_told(tmp_path: Path) -> None:
    whole = tiny_pixart(tmp_path / "whole")
    file = tmp_path / "network.safetensors"
    save_file(network_of(whole), file)
    with pytest.raises(InputError, match="reads no 'PixArtTransformer2DModel' from one file"):
        draw(fitted(file, tmp_path / "out", config=str(whole)))


@pytest.mark.slow
def test_flux_in_one_file_with_all_its_parts(tmp_path: Path) -> None:
    """One block of each kind at the published width: diffusers reads no other by these names."""
    flux = tiny_flux(tmp_path / "flux", wide=True)
    encoders = (("text_encoder", "clip_l"), ("text_encoder_2", "t5xxl"))
    inner = {f"model.diffusion_model.{n}": t for n, t in flux_network(network_of(flux)).items()}
    file = file_of_parts(inner, flux, tmp_path / "all.safetensors", encoders=encoders, vae="vae.")
    assert same(file, flux, tmp_path, config=settings_alone(flux, tmp_path / "settings"))


def test_weights_of_8_bits_are_read_and_those_with_scales_refused(
    sd3: Path, tmp_path: Path
) -> None:
    settings = settings_alone(sd3, tmp_path / "settings")
    network = sd3_network(network_of(sd3))
    small = file_of_parts(
        network, sd3, tmp_path / "fp8.safetensors", encoders=CLIPS, dtype=torch.float8_e4m3fn
    )
    pixels = draw(fitted(small, tmp_path / "out", config=str(settings))).pixels
    assert np.ptp(pixels) > 0
    scaled = {**network, "joint_blocks.0.x_block.attn.proj.scale_weight": torch.ones(1)}
    file = file_of_parts(scaled, sd3, tmp_path / "scaled.safetensors", encoders=CLIPS)
    with pytest.raises(InputError, match="scales beside them") as caught:
        TextToImageConfig(model=str(file), config=str(settings))
    assert "bfloat16" in caught.value.remedy


PREFIX = "model.diffusion_model."


def written(path: Path, *names: str, seen: int = 64) -> Path:
    tensors = {name: torch.zeros(1) for name in names}
    if any("vector_in" in name for name in names):
        start = PREFIX if names[0].startswith(PREFIX) else ""
        tensors[f"{start}img_in.weight"] = torch.zeros(1, seen)
    save_file(tensors, path)
    return path


MEDIUM, LARGE = "joint_blocks.23.x_block.mlp.fc1.weight", "joint_blocks.37.x_block.mlp.fc1.weight"
POOLED = "y_embedder.mlp.0.weight"
NORMED, TWICE = "joint_blocks.0.x_block.attn.ln_q.weight", "joint_blocks.0.x_block.attn2.qkv.weight"
FLUX = (
    "vector_in.in_layer.weight",
    "double_blocks.18.img_mlp.0.weight",
    "single_blocks.37.linear1.w",
)
GUIDED = "guidance_in.in_layer.weight"


@pytest.mark.parametrize(
    ("file", "names", "layout", "suits"),
    [
        ("sd3_medium_incl_clips", (POOLED, MEDIUM), "sd3", (30, 2)),
        ("sd3.5_medium", (POOLED, MEDIUM, NORMED, TWICE), "sd35-medium", (30, 2)),
        ("sd3.5_large", (POOLED, LARGE, NORMED), "sd35-large", (30, 2)),
        ("sd3.5_large_turbo", (POOLED, LARGE, NORMED), "sd35-large", (4, 0)),
        ("flux1-dev", (*FLUX, GUIDED), "flux-dev", (30, 2)),
        ("flux1-schnell", FLUX, "flux-schnell", (4, 0)),
    ],
)
def test_settings_of_models_of_flow_matching_come_with_the_package(
    tmp_path: Path, file: str, names: tuple[str, ...], layout: str, suits: tuple[int, float]
) -> None:
    own = [f"text_encoders.{one}.transformer.x" for one in ("clip_l", "clip_g", "t5xxl")]
    for start in ("", PREFIX):
        whole = (*(start + name for name in names), *own, "first_stage_model.x")
        path = written(tmp_path / f"{file}.safetensors", *whole)
        assert layout_of(path) == LAYOUTS / layout
        config = TextToImageConfig(model=str(path))
        assert (config.sampler_steps, config.guidance_scale) == suits


def test_kindred_models_are_not_taken_for_flux(tmp_path: Path) -> None:
    deeper = (*FLUX, "double_blocks.19.img_mlp.0.weight")
    inpainting = written(tmp_path / "fill.safetensors", *FLUX, seen=384)
    for path in (inpainting, written(tmp_path / "deeper.safetensors", *deeper)):
        with pytest.raises(InputError, match="are not known"):
            layout_of(path)
    with pytest.raises(
        InputError, match="holds no text_encoder, no text_encoder_2, no vae"
    ) as caught:
        TextToImageConfig(model=str(written(tmp_path / "flux1-dev.safetensors", *FLUX, GUIDED)))
    assert "without its transformer" in caught.value.remedy


def test_t5_reads_words_as_published() -> None:
    # The ids are those of the model's documentation.
    tokenizer = known_tokenizer(LAYOUTS / "flux-dev" / "tokenizer_2")
    read = tokenizer(["The house is wonderful.", "Das Haus ist wunderbar."])["input_ids"]
    assert read == [[37, 629, 19, 1627, 5, 1], [644, 4598, 229, 19250, 5, 1]]
    padded = tokenizer("a", padding="max_length", truncation=True, return_tensors="pt")
    assert padded["input_ids"].shape == (1, 512)
    assert int(padded["input_ids"][0, -1]) == 0
    assert lost_words(LAYOUTS / "flux-dev", "word " * 511) == ""
    assert lost_words(LAYOUTS / "flux-dev", "word " * 512) == "word"
    assert lost_words(LAYOUTS / "sd3", "word " * 255) == ""
    assert lost_words(LAYOUTS / "sd3", "word " * 80, without=("text_encoder_3",)) != ""
