"""Pipelines in one file of safetensors: where their settings come from, and what they draw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthlift.errors import InputError
from synthlift.generators.pipelines.single_file import FIRST_LAYER, layout_of
from synthlift.generators.pipelines.suited import native_side
from synthlift.generators.pipelines.tokens import lost_words
from synthlift.generators.pipelines.vocabularies import LAYOUTS, known_tokenizer
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.weights.recognising import recognise
from tests.single_files import settings_alone, single_file
from tests.unit.generators.test_text_to_image import draw, fitted

FLOW = {"vae": 83.8}
SD3 = {"text_encoder": 123.7, "text_encoder_2": 694.7, "text_encoder_3": 4762.3}
MILLIONS = {
    "sd1": {"unet": 859.5, "vae": 83.7, "text_encoder": 123.1},
    "sd2": {"unet": 865.9, "vae": 83.7, "text_encoder": 340.4},
    "sd2-base": {"unet": 865.9, "vae": 83.7, "text_encoder": 340.4},
    "sd2-turbo": {"unet": 865.9, "vae": 83.7, "text_encoder": 340.4},
    "sdxl": {"unet": 2567.5, "vae": 83.7, "text_encoder": 123.1, "text_encoder_2": 694.7},
    "sdxl-lightning": {"unet": 2567.5, "vae": 83.7, "text_encoder": 123.1, "text_encoder_2": 694.7},
    "sdxl-turbo": {"unet": 2567.5, "vae": 83.7, "text_encoder": 123.1, "text_encoder_2": 694.7},
    "sd3": {"transformer": 2028.3, **FLOW, **SD3},
    "sd35-medium": {"transformer": 2243.2, **FLOW, **SD3},
    "sd35-large": {"transformer": 8056.6, **FLOW, **SD3},
    "flux-dev": {"transformer": 11901.4, **FLOW, "text_encoder": 123.1, "text_encoder_2": 4762.3},
    "flux-schnell": {
        "transformer": 11891.2,
        **FLOW,
        "text_encoder": 123.1,
        "text_encoder_2": 4762.3,
    },
}
"""Published numbers of weights."""


@pytest.fixture(scope="module")
def whole(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single_file(tiny_pipeline, tmp_path_factory.mktemp("single") / "tiny.safetensors")


def test_a_file_draws_what_its_folder_draws(
    tiny_pipeline: Path, whole: Path, tmp_path: Path
) -> None:
    settings = settings_alone(tiny_pipeline, tmp_path / "settings")
    assert recognise(whole).kind == "pipeline file"
    ours = fitted(whole, tmp_path / "a", config=str(settings))
    theirs = fitted(tiny_pipeline, tmp_path / "b")
    drawn, expected = (draw(one).pixels.astype(int) for one in (ours, theirs))
    assert np.abs(drawn - expected).max() <= 1
    assert np.ptp(drawn) > 0
    other = shutil.copytree(settings, tmp_path / "other")
    scheduler = other / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"steps_offset": 1', '"steps_offset": 0'))
    hashes = [TextToImageConfig(model=str(whole), config=str(c)) for c in (settings, other)]
    assert hashes[0].model_sha256 != hashes[1].model_sha256


def test_settings_of_another_model_are_refused(
    tiny_pipeline: Path, whole: Path, tmp_path: Path
) -> None:
    settings = settings_alone(tiny_pipeline, tmp_path / "settings")
    config = settings / "unet" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "block_out_channels": [16, 32]}))
    with pytest.raises(InputError, match="cannot be opened") as caught:
        draw(fitted(whole, tmp_path / "out", config=str(settings)))
    assert "config: FOLDER" in caught.value.remedy
    with pytest.raises(InputError, match="holds no pipeline") as caught:
        TextToImageConfig(model=str(whole), config=str(tmp_path))
    assert "'config'" in caught.value.rule
    with pytest.raises(InputError, match="'config' beside"):
        TextToImageConfig(model=str(tiny_pipeline), config=str(settings))


def test_words_are_supplied_to_tokenizers_that_have_those_alone(
    tiny_pipeline: Path, whole: Path, tmp_path: Path
) -> None:
    settings = settings_alone(tiny_pipeline, tmp_path / "settings")
    for words in (settings / "tokenizer").glob("tokenizer.json"):
        words.unlink()
    said = settings / "tokenizer" / "tokenizer_config.json"
    assert "CLIPTokenizer" in said.read_text()
    assert TextToImageConfig(model=str(whole), config=str(settings)).model_sha256
    said.write_text(said.read_text().replace("CLIPTokenizer", "Qwen2Tokenizer"))
    with pytest.raises(InputError, match="has no vocabulary in tokenizer\n"):
        TextToImageConfig(model=str(whole), config=str(settings))


SD1 = "cond_stage_model.transformer.text_model.final_layer_norm.bias"
SD2 = "cond_stage_model.model.ln_final.bias"
SDXL = "conditioner.embedders.1.model.ln_final.bias"


@pytest.mark.parametrize(
    ("file", "tensor", "layout", "suits", "side"),
    [
        ("v1-5-pruned", SD1, "sd1", (30, 2), 512),
        ("dreamshaper_8_turbo", SD1, "sd1", (6, 2), 512),
        ("v2-1_768-ema", SD2, "sd2", (30, 2), 768),
        ("v2-1_512-ema", SD2, "sd2-base", (30, 2), 512),
        ("sd_turbo", SD2, "sd2-turbo", (4, 0), 512),
        ("sd_xl_base_1.0", SDXL, "sdxl", (30, 2), 1024),
        ("sd_xl_turbo_1.0_fp16", SDXL, "sdxl-turbo", (4, 0), 512),
        ("stabilityai_sd_xl_turbo_1.0", SDXL, "sdxl-turbo", (4, 0), 512),
        ("sdxl_lightning_4step", SDXL, "sdxl-lightning", (4, 0), 1024),
        ("sdxl_lightning_8step", SDXL, "sdxl-lightning", (8, 0), 1024),
        ("dreamshaperXL_v21TurboDPMSDE", SDXL, "sdxl-lightning", (6, 2), 1024),
        ("RealVisXL_V5_Lightning_5-steps", SDXL, "sdxl-lightning", (5, 2), 1024),
    ],
)
def test_known_models_bring_no_settings(
    tmp_path: Path, file: str, tensor: str, layout: str, suits: tuple[int, float], side: int
) -> None:
    path = tmp_path / f"{file}.safetensors"
    tensors = {tensor: torch.zeros(1), FIRST_LAYER: torch.zeros(1, 4, 3, 3)}
    first = {"conditioner.embedders.0.x": torch.zeros(1)} if tensor == SDXL else {}
    save_file({**tensors, **first, "first_stage_model.x": torch.zeros(1)}, path)
    found = layout_of(path)
    assert (found, native_side(found)) == (LAYOUTS / layout, side)
    config = TextToImageConfig(model=str(path))
    assert (config.sampler_steps, config.guidance_scale) == suits
    scheduler = json.loads((found / "scheduler" / "scheduler_config.json").read_text())
    few = scheduler.get("timestep_spacing") == "trailing"
    assert few == (layout in ("sd2-turbo", "sdxl-turbo", "sdxl-lightning"))


def test_words_of_a_file_name_are_whole_words(tmp_path: Path) -> None:
    tensors = {
        "conditioner.embedders.1.model.ln_final.bias": torch.zeros(1),
        FIRST_LAYER: torch.zeros(1, 4, 3, 3),
    }
    path = tmp_path / "turbochargedXL.safetensors"
    save_file(tensors, path)
    assert layout_of(path) == LAYOUTS / "sdxl"


@pytest.mark.parametrize(
    ("file", "tensor"), [("LCM_Dreamshaper_v7", SD1), ("sdxl_lightning_1step_x0", SDXL)]
)
def test_a_model_with_a_scheduler_of_its_own_in_one_file_asks_for_it(
    tmp_path: Path, file: str, tensor: str
) -> None:
    path = tmp_path / f"{file}.safetensors"
    save_file({tensor: torch.zeros(1), FIRST_LAYER: torch.zeros(1, 4, 3, 3)}, path)
    with pytest.raises(InputError, match="are not known") as caught:
        TextToImageConfig(model=str(path))
    assert "scheduler of their own" in caught.value.rule
    assert "config: FOLDER" in caught.value.remedy


def test_other_models_ask_for_a_folder_of_settings(tmp_path: Path) -> None:
    inpainting = {
        "cond_stage_model.model.ln_final.bias": torch.zeros(1),
        FIRST_LAYER: torch.zeros(1, 9, 3, 3),
    }
    flux_2 = {"double_stream_modulation_img.lin.weight": torch.ones(1)}
    for number, tensors in enumerate((flux_2, inpainting)):
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path)
        with pytest.raises(InputError, match="are not known") as caught:
            TextToImageConfig(model=str(path))
        assert "config: FOLDER" in caught.value.remedy
    pickled = tmp_path / "v1-5.ckpt"
    pickled.write_bytes(b"any code")
    with pytest.raises(InputError, match="another format") as caught:
        TextToImageConfig(model=str(pickled))
    assert "one file of safetensors" in caught.value.rule


@pytest.mark.parametrize(
    "layout",
    [
        "sd1",
        pytest.param("sd2", marks=pytest.mark.slow),
        pytest.param("sd2-base", marks=pytest.mark.slow),
        pytest.param("sd2-turbo", marks=pytest.mark.slow),
        pytest.param("sdxl", marks=pytest.mark.slow),
        pytest.param("sdxl-lightning", marks=pytest.mark.slow),
        pytest.param("sdxl-turbo", marks=pytest.mark.slow),
        "sd3",
        "sd35-medium",
        "sd35-large",
        "flux-dev",
        "flux-schnell",
    ],
)
def test_settings_that_come_with_the_package_are_of_the_published_size(layout: str) -> None:
    import diffusers
    import transformers

    index = json.loads((LAYOUTS / layout / "model_index.json").read_text())
    for part, millions in MILLIONS[layout].items():
        library, name = index[part]
        content = json.loads((LAYOUTS / layout / part / "config.json").read_text())
        with torch.device("meta"):
            if library == "diffusers":
                model = getattr(diffusers, name).from_config(content)
            else:
                kind = getattr(transformers, name)
                model = kind(kind.config_class.from_dict(content))
        weights = sum(one.numel() for one in model.parameters())
        assert weights / 1e6 == pytest.approx(millions, abs=0.1), part
    kind = getattr(diffusers, index["scheduler"][1])
    scheduler = kind.from_config(
        json.loads((LAYOUTS / layout / "scheduler" / "scheduler_config.json").read_text())
    )
    assert scheduler.config.num_train_timesteps == 1000


def test_words_are_read_as_openai_reads_them() -> None:
    from open_clip import SimpleTokenizer

    tokenizer = known_tokenizer(LAYOUTS / "sd1" / "tokenizer")
    for text in ("a photo of a Great Spotted Woodpecker, 1920s – naïve café", "über 32×32 px's"):
        ids = tokenizer(text, padding="max_length", truncation=True)["input_ids"]
        theirs = SimpleTokenizer()(text)[0].tolist()
        end = theirs.index(49407) + 1
        assert ids[:end] == theirs[:end]
        assert len(ids) == 77
        assert set(ids[end:]) == {49407}
    assert lost_words(LAYOUTS / "sdxl", "word " * 75) == ""
    assert lost_words(LAYOUTS / "sdxl", "word " * 76) == "word"
