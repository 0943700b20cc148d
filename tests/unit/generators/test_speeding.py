"""Tiny decoders and compiled networks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.generators.text_to_image.config import TextToImageConfig
from tests.further_pipelines import tiny_qwen_image
from tests.unit.generators.test_image_to_image import fitted as changed
from tests.unit.generators.test_text_to_image import draw, fitted

CHANNELS, BLOCKS = (8, 8), (1, 1)
DRAWN_BY_ANOTHER_PROCESS = """
import sys
from pathlib import Path

import numpy as np
import torch

torch.set_num_threads(1)
from torch._dynamo.utils import counters
from tests.unit.generators.test_text_to_image import draw, fitted

model, folder, out = map(Path, sys.argv[1:])
np.save(out, draw(fitted(model, folder, sampler_steps=2, compile=True)).pixels)
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


def tiny_decoder(folder: Path, *, latents: int = 4, blocks: tuple[int, ...] = BLOCKS) -> Path:
    from diffusers import AutoencoderTiny

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tiny = AutoencoderTiny(
            encoder_block_out_channels=(8,) * len(blocks),
            decoder_block_out_channels=(8,) * len(blocks),
            num_encoder_blocks=blocks,
            num_decoder_blocks=blocks,
            latent_channels=latents,
        )
    tiny.save_pretrained(folder)
    return folder


def test_a_tiny_decoder_takes_the_place_of_the_pipelines_own(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    from diffusers import AutoencoderTiny, StableDiffusionPipeline

    place = tiny_decoder(tmp_path / "tiny")
    generator = fitted(tiny_pipeline, tmp_path, decoder=str(place))
    found = draw(generator)
    # As diffusers draws when it is told to.
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_pipeline, local_files_only=True)
    pipeline.vae = AutoencoderTiny.from_pretrained(place, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        list(found.prompts or ()),
        num_inference_steps=1,
        guidance_scale=2.0,
        generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
        output_type="np",
    ).images
    assert np.abs(found.pixels - np.rint(drawn * 255)).max() <= 1
    assert not np.array_equal(found.pixels, draw(fitted(tiny_pipeline, tmp_path)).pixels)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"latents": 16}, "decodes 16 channels where the pipeline has 4"),
        ({"blocks": (1, 1, 1)}, "enlarges latents 4 times, and not 2 times"),
    ],
)
def test_a_decoder_of_other_latents_is_refused(
    tiny_pipeline: Path, tmp_path: Path, shape: dict[str, Any], says: str
) -> None:
    place = tiny_decoder(tmp_path / "tiny", **shape)
    with pytest.raises(InputError, match=says):
        draw(fitted(tiny_pipeline, tmp_path, decoder=str(place)))


def test_a_decoder_for_latents_of_films_is_refused_in_words(tmp_path: Path) -> None:
    place = tiny_decoder(tmp_path / "tiny")
    model = tiny_qwen_image(tmp_path / "qwen")
    with pytest.raises(InputError, match="does not decode the latents of AutoencoderKLQwen"):
        draw(fitted(model, tmp_path, decoder=str(place)))


def test_a_decoder_is_known_by_its_files(tiny_pipeline: Path, tmp_path: Path) -> None:
    place = tiny_decoder(tmp_path / "tiny")
    generator = fitted(tiny_pipeline, tmp_path, decoder=str(place))
    (place / "config.json").write_text((place / "config.json").read_text() + "\n")
    with pytest.raises(InputError, match="another one than was planned with"):
        draw(generator)
    with pytest.raises(InputError, match=r"decoder '.*' does not exist"):
        TextToImageConfig(model=str(tiny_pipeline), decoder=str(tmp_path / "gone"))
    for part, kind in (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL")):
        with pytest.raises(InputError, match=f"is a model of class '{kind}'"):
            draw(fitted(tiny_pipeline, tmp_path, decoder=str(tiny_pipeline / part)))


def test_one_adapter_a_class_is_not_compiled(tiny_pipeline: Path) -> None:
    adapt = {"kind": "lora", "per_class": True}
    with pytest.raises(ValueError, match="compile: true goes with one adapter for all classes"):
        TextToImageConfig.model_validate(
            {"model": str(tiny_pipeline), "adapt": adapt, "compile": True}
        )


def test_where_nothing_can_compile_it_is_said_before_anything_is_done(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "true")  # a program that is there
    generator = fitted(tiny_pipeline, tmp_path, compile=True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="nothing here can compile") as caught:
        fitted(tiny_pipeline, tmp_path, compile=True)
    assert "C++ compiler" in caught.value.rule
    with pytest.raises(InputError, match="nothing here can compile"):
        draw(generator)  # as where it was fitted elsewhere
    with pytest.raises(InputError, match="nothing here can compile"):
        changed(tiny_pipeline, tmp_path, compile=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("interval", [1, 2])
def test_a_compiled_network_draws_the_same_but_for_rounding(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: int
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    settings = {"sampler_steps": 4, "cache_interval": interval}
    usual = draw(fitted(tiny_pipeline, tmp_path, **settings)).pixels.astype(int)
    compiled = draw(fitted(tiny_pipeline, tmp_path, compile=True, **settings)).pixels.astype(int)
    assert np.abs(compiled - usual).max() <= 1
    assert np.ptp(compiled) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_is_compiled_is_kept_for_the_next_process(tiny_pipeline: Path, tmp_path: Path) -> None:
    home, told, pixels = tmp_path / "home", [], []
    environment = {**os.environ, "SYNTHLIFT_DATA_HOME": str(home)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    for number in range(2):
        out = tmp_path / f"{number}.npy"
        script = [sys.executable, "-c", DRAWN_BY_ANOTHER_PROCESS, tiny_pipeline, tmp_path, out]
        done = subprocess.run(
            list(map(str, script)), env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(tuple(map(int, done.stdout.split()[-2:])))
        pixels.append(np.load(out))
    assert any((home / "kernels").rglob("*"))
    (hits, misses), (hits_again, misses_again) = told
    assert misses > 0
    assert hits == 0
    assert misses_again == 0, "everything was found"
    assert hits_again == misses
    assert np.array_equal(*pixels)
