"""Benchmarks for machines with a GPU, in miniature: they measure what they say they measure."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import cifar_minutes, few_shot_lora, large_pipelines, prompt_agreement
from benchmarks.edm_recipe import Denoiser, draw_edm, train_edm
from benchmarks.power import Energy
from benchmarks.real_shapes import SHAPES, T5, TRANSFORMER
from synthlift.generators.flow.edm import edm_noise, edm_scales
from synthlift.testing.inputs import draw_images
from synthlift.types import ImageSet

SMALL = ("--device", "cpu", "--dtype", "float32", "--rounds", "1")


def measured(shape: str, *said: str) -> Any:
    given = large_pipelines.arguments(
        ["--shapes", shape, *SMALL, "--images", "2", "--together", "2", "--steps", "2", *said]
    )
    found = large_pipelines.measure(given)
    json.dumps(found)
    return found["found"][shape]


@pytest.mark.parametrize(
    "shape",
    [
        "tiny-sd15",
        pytest.param("tiny-sdxl", marks=pytest.mark.slow),
        pytest.param("tiny-dit", marks=pytest.mark.slow),
    ],
)
def test_every_shape_is_drawn_by_both_sides(shape: str) -> None:
    sides = ("eager", "ours", "cached", "decoder")
    found = measured(shape, "--no-compile", "--sides", *sides)
    (one,) = found["rounds"]
    assert {*one} == {*sides}
    assert all(side["images"] == 2 and side["seconds_an_image"] > 0 for side in one.values())
    assert {*found["faster_than"]} == {f"ours, {other}" for other in sides if other != "ours"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_compiled_recipe_is_followed() -> None:
    found = measured("tiny-sd15", "--no-autotune", "--sides", "recipe", "ours")
    (one,) = found["rounds"]
    first = found["first_call"]
    for side in ("recipe", "ours"):
        compiling = first[side]["seconds_an_image"]
        assert compiling > 3 * one[side]["seconds_an_image"]


@pytest.mark.slow
def test_both_ways_of_training_take_as_many_passes() -> None:
    given = few_shot_lora.arguments(
        ["--shape", "tiny-sd15", *SMALL, "--passes", "16", "--images", "8"]
    )
    found = few_shot_lora.measure(given)
    (share,) = found["share_of_loop"]
    assert share > 0


def test_real_shapes_have_the_published_size() -> None:
    from diffusers import PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    with torch.device("meta"):
        transformer = PixArtTransformer2DModel(**TRANSFORMER)
        text = T5EncoderModel(T5Config(**{**T5, "num_layers": 24, "vocab_size": 32_128}))
    # PixArt-Σ has 0.6 billion weights (Chen 2024), the encoder of T5-XXL 4.76.
    assert sum(w.numel() for w in transformer.parameters()) / 1e6 == pytest.approx(610, abs=5)
    assert sum(w.numel() for w in text.parameters()) / 1e9 == pytest.approx(4.76, abs=0.01)
    assert {shape.side for shape in SHAPES.values()} == {64, 512, 1024}


def test_edms_denoiser_gives_the_velocity_of_our_parametrisation() -> None:
    torch.manual_seed(0)
    network = Denoiser(side=8, classes=3, width=32, blocks=1).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    times = torch.tensor([0.1, 0.5, 0.9])
    sigma, labels = times / (1 - times), torch.tensor([0, 1, 2])
    x = torch.randn(3, 3, 8, 8) * (1 + sigma[:, None, None, None])  # an image with noise of level σ
    mixed = x * (1 - times[:, None, None, None])  # ours: (1 - t) image + t noise
    scales = edm_scales(times)
    into, past, out = (one[:, None, None, None] for one in (scales.into, scales.past, scales.out))
    with torch.inference_mode():
        layers = network.layers(into * mixed, edm_noise(times), class_labels=labels).sample
        velocity = past * mixed + out * layers
        found = (mixed - network(x, sigma, labels)) / times[:, None, None, None]
    torch.testing.assert_close(found, velocity, atol=1e-4, rtol=1e-3)


def test_edm_learns_and_is_looked_at_on_time() -> None:
    pixels, labels = draw_images(60, seed=0, size=8, channels=3)
    train = ImageSet.from_arrays(pixels, labels, ("disc", "bars", "ramp"))
    # A clock by which each step takes a quarter of a second, on whatever machine.
    ticks = count(0.0, 0.25)
    run = train_edm(
        train,
        looks=[0.5, 1.4],
        device="cpu",
        seed=0,
        batch=8,
        width=32,
        blocks=1,
        clock=lambda: next(ticks),
    )
    assert {*run.averages} == {0.5, 1.4}
    assert run.images == {0.5: 2 * 8, 1.4: 6 * 8}
    early, late = (
        torch.cat([weight.flatten() for weight in run.averages[look].parameters()])
        for look in (0.5, 1.4)
    )
    assert not torch.equal(early, late)
    drawn = draw_edm(run.averages[1.4], [0, 1, 2], seed=0, steps=4)
    assert drawn.shape == (3, 8, 8, 3)
    assert np.array_equal(drawn, draw_edm(run.averages[1.4], [0, 1, 2], seed=0, steps=4))


@pytest.mark.slow
def test_the_flow_is_held_beside_edm_after_the_same_minutes(tmp_path: Path) -> None:
    pixels, labels = draw_images(90, seed=0, size=32, channels=3)
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = tmp_path / ("test" if row % 3 == 0 else "train") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row}.png")
    small = ["--width", "32", "--blocks", "1", "--batch", "4", "--images", "12", "--device", "cpu"]
    flow = ["--set", "{batch_size: 8, width: 16}", "--sampling", "{sampler_steps: 2}"]
    words = [str(tmp_path), "--minutes", "0.05", "0.1", "--train", "20", "--test", "10"]
    found = cifar_minutes.measure(cifar_minutes.arguments([*words, *small, *flow]))
    json.dumps(found)
    for side in ("edm", "flow"):
        assert [one["minutes"] for one in found[side]] == pytest.approx([0.05, 0.1])
        assert all(np.isfinite(one["kid"]) for one in found[side])
    assert found["flow"][0]["steps"] < found["flow"][1]["steps"]


def test_energy_of_a_processor_is_estimated_from_busy_cores() -> None:
    with Energy("cpu") as spent:
        sum(number * number for number in range(200_000))
    assert spent.seconds > 0
    assert 0 < spent.kwh <= 1.5 * spent.seconds * 10 / 3.6e6
    assert spent.method.startswith("estimated")


def test_one_command_measures_all_shapes(tmp_path: Path) -> None:
    given = large_pipelines.arguments(["--json", str(tmp_path / "found.json")])
    assert given.shapes == ["sd15", "sdxl", "dit"]
    assert given.json == tmp_path / "found.json"


def test_settings_are_compared_picture_by_picture() -> None:
    said = ["--each", "1", "--together", "16", "--sampler-steps", "3", "--judged-by", "300"]
    given = prompt_agreement.arguments([*said, "--threads", "1", "--cache-interval", "1", "2"])
    found = prompt_agreement.measure(given)
    json.dumps(found)
    plain, cached = found["found"]
    assert (found["images"], plain["settings"]["cache_interval"]) == (16, 1)
    assert cached["images_a_cpu_second"] > 0
    assert all(change == [0.0, 0.0] for change in plain["change"].values())
    for name, share in cached["shares"].items():
        assert cached["change"][name][0] == pytest.approx(share - plain["shares"][name])
