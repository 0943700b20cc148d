"""Image-to-image through a real, tiny pipeline: which image is started from, and what is kept."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from synthlift.errors import InputError
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.image_to_image.edges import edges
from synthlift.generators.image_to_image.generator import (
    ImageToImageFitted,
    ImageToImageGenerator,
)
from synthlift.generators.pipelines.varying import Variations
from synthlift.generators.pipelines.wishes import Wish
from synthlift.types import (
    FitInputs,
    GuardedPixels,
    ImageBatch,
    ImageSet,
    LockedTest,
    RunContext,
    SampleRequest,
)
from tests.control_nets import controlled

CLASSES = ("crane", "gull")
SIDE = 16


def inputs(*, masked: bool = True) -> FitInputs:
    """Six images of two classes, of two tones; those in even rows have a mask."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    train = replace(
        ImageSet.from_arrays(pixels, np.array([0, 0, 0, 1, 1, 1]), CLASSES, ids=list("abcdef")),
        attributes={"tone": np.array(["dark", "light", "light"] * 2)},
    )
    masks = np.zeros((6, SIDE, SIDE, 1), np.uint8)
    masks[::2, 4:9, 6:12] = 255
    none = train.ids[:0]
    return FitInputs(
        train=train,
        validation=train,
        test=LockedTest(ids=none, groups=none, hashes=none),
        masks=GuardedPixels(masks, np.arange(6)) if masked else None,
    )


def test_an_image_without_a_background_is_not_said_to_have_a_new_one(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    asked = {"model": str(tiny_pipeline), "sampler_steps": 4, "method": "inpainting"}
    config = ImageToImageConfig.model_validate({**asked, "repaint": "background"})
    given = inputs()
    assert given.masks is not None
    masks = given.masks.read(np.arange(6)).copy()
    masks[[0, 2]] = 255  # close-ups: nothing but the object
    run = RunContext(folder=tmp_path, seed=3)
    some = replace(given, masks=GuardedPixels(masks, np.arange(6)))
    found = draw(ImageToImageGenerator(config).fit(some, run=run), [1, 1])
    assert {*starts(found)} == {"e"}
    masks[4] = 255
    none = replace(given, masks=GuardedPixels(masks, np.arange(6)))
    with pytest.raises(InputError, match="no mask of a training image leaves a background"):
        ImageToImageGenerator(config).fit(none, run=run)


def fitted(model: Path, folder: Path, *, masked: bool = True, **settings: Any) -> Any:
    config = ImageToImageConfig.model_validate(
        {"model": str(model), "sampler_steps": 4, "micro_batch": 4, **settings}
    )
    generator = ImageToImageGenerator(config)
    return generator.fit(inputs(masked=masked), run=RunContext(folder=folder, seed=3))


def draw(
    generator: ImageToImageFitted, labels: list[int], *, attributes: Any = None, **params: Any
) -> ImageBatch:
    requests = [
        SampleRequest(index=i, label=k, seed=i, params=params, attributes=attributes or {})
        for i, k in enumerate(labels)
    ]
    (batch,) = generator.sample(requests)
    return batch


def starts(batch: ImageBatch) -> list[str]:
    assert batch.origins is not None
    return [words.split(",")[0].rsplit(" ", 1)[-1] for words in batch.origins]


def test_a_variation_starts_from_each_image_of_its_class_equally_often(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    found = draw(fitted(tiny_pipeline, tmp_path, strength=[0.5, 1.0]), [0] * 12)
    assert Counter(starts(found)) == {"a": 4, "b": 4, "c": 4}
    assert found.origins is not None
    assert Counter(words.rsplit(" ", 1)[-1] for words in found.origins) == {"0.5": 6, "1": 6}


def test_less_strength_keeps_more_of_the_image(tiny_pipeline: Path, tmp_path: Path) -> None:
    train, distances = inputs().train, []
    # This pipeline has learnt nothing: even its autoencoder changes images.
    passed_on = draw(fitted(tiny_pipeline, tmp_path, sampler_steps=50, strength=0.02), [0] * 6)
    for strength in (0.1, 0.5, 1.0):
        generator = fitted(tiny_pipeline, tmp_path, sampler_steps=50)
        found = draw(generator, [0] * 6, strength=strength)
        assert starts(found) == starts(passed_on)
        distances.append(np.abs(found.pixels.astype(int) - passed_on.pixels).mean())
    assert distances[0] < distances[1] < distances[2]
    assert len(train) == 6


def test_where_no_strength_is_said_few_steps_suit_it(tiny_pipeline: Path, tmp_path: Path) -> None:
    found = draw(fitted(tiny_pipeline, tmp_path, sampler_steps=2), [0, 1])
    assert len(found) == 2
    assert found.origins is not None
    assert {words.rsplit(" ", 1)[-1] for words in found.origins} <= {"0.25", "0.5", "0.75", "1"}


def test_images_go_between_classes_and_count_for_both(tiny_pipeline: Path, tmp_path: Path) -> None:
    generator = fitted(
        tiny_pipeline, tmp_path, method="between_classes", sampler_steps=25, strength=0.64
    )
    found = draw(generator, [0, 1, 0, 1])
    assert {*starts(found)[::2]} <= {*"def"}
    assert {*starts(found)[1::2]} <= {*"abc"}
    assert found.prompts == tuple(f"a photo of {name}" for name in CLASSES * 2)
    expected = np.array([[0.8, 0.2], [0.2, 0.8]] * 2, np.float32)
    assert found.soft_labels == pytest.approx(expected)
    hard = fitted(tiny_pipeline, tmp_path, method="between_classes", soft_labels=False)
    assert draw(hard, [0, 1]).soft_labels is None


@pytest.mark.parametrize("repaint", ["object", "background"])
def test_inpainting_leaves_the_rest_exactly_as_it_was(
    tiny_pipeline: Path, tmp_path: Path, repaint: str
) -> None:
    given = inputs()
    generator = fitted(tiny_pipeline, tmp_path, method="inpainting", repaint=repaint, margin=0)
    found = draw(generator, [0, 1])
    assert {*starts(found)} <= {*"ace"}, "an image without a mask was repainted"
    assert found.masks is not None
    for image, mask, name in zip(found.pixels, found.masks, starts(found), strict=True):
        before = given.train.pixels(np.array(["abcdef".index(name)]))[0]
        inside = (mask > 0) == (repaint == "object")
        assert mask.any()
        assert np.array_equal(image[~inside], before[~inside])
        assert not np.array_equal(image[inside], before[inside])


@pytest.mark.parametrize("size", [8, 32])
def test_what_is_not_repainted_is_that_of_the_study_whatever_size_the_pipeline_draws_at(
    tiny_pipeline: Path, tmp_path: Path, size: int
) -> None:
    generator = fitted(tiny_pipeline, tmp_path, method="inpainting", size=size, margin=1)
    found, train = draw(generator, [0, 1]), inputs().train
    assert found.masks is not None
    for image, mask, name in zip(found.pixels, found.masks, starts(found), strict=True):
        before = train.pixels(np.array(["abcdef".index(name)]))[0]
        area = binary_dilation(mask > 0)
        assert np.array_equal(image[~area], before[~area])
        assert (image[area] != before[area]).mean() > 0.9


def test_a_repainted_image_that_a_safety_checker_blackens_is_drawn_anew(tmp_path: Path) -> None:
    from tests.pipelines import tiny_stable_diffusion

    model = tiny_stable_diffusion(tmp_path / "objecting", objecting=True)
    found = draw(fitted(model, tmp_path, method="inpainting"), [0, 1])
    assert (found.redrawn, found.black) == (2, 2)
    assert not found.pixels.any(), "a hole in an image would look like an object"
    assert found.origins is not None
    assert all("black before: 3" in words for words in found.origins)


def test_the_words_are_those_of_the_image_but_for_what_is_asked_for(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    generator = fitted(tiny_pipeline, tmp_path, prompt="{tone} {label}")
    found = draw(generator, [0] * 3)
    tones = {"a": "dark", "b": "light", "c": "light"}
    assert found.prompts == tuple(f"{tones[name]} crane" for name in starts(found))
    asked = draw(generator, [0] * 3, attributes={"tone": "light"})
    assert {*starts(asked)} == {"b", "c"}
    assert {*(asked.prompts or ())} == {"light crane"}


def test_requests_of_several_strengths_come_in_their_order(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    generator = fitted(tiny_pipeline, tmp_path, strength=[0.5, 1.0])
    together = draw(generator, [0, 1] * 4)
    alone = [
        next(iter(generator.sample([SampleRequest(index=i, label=i % 2, seed=i)])))
        for i in range(8)
    ]
    assert np.array_equal(together.pixels, np.concatenate([one.pixels for one in alone]))
    assert together.origins == tuple(one.origins[0] for one in alone if one.origins)


def test_a_controlnet_draws_along_edges(tiny_pipeline: Path, tmp_path: Path) -> None:
    from tests.pipelines import tiny_controlnet

    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    settings: dict[str, Any] = {"method": "control", "control_model": str(control)}
    found = draw(fitted(tiny_pipeline, tmp_path, **settings), [0, 1])
    assert found.origins is not None
    assert found.origins[0].startswith("drawn along the edges of ")
    free = draw(fitted(tiny_pipeline, tmp_path, **settings, control_scale=0), [0, 1])
    assert not np.array_equal(found.pixels, free.pixels)
    along_mask = draw(fitted(tiny_pipeline, tmp_path, **settings, control_image="mask"), [0, 1])
    assert along_mask.masks is not None
    index = control / "config.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "AutoencoderKL"}))
    with pytest.raises(InputError, match="class 'AutoencoderKL'"):
        draw(fitted(tiny_pipeline, tmp_path, **settings), [0])


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_other_families_have_controlnets_too(tmp_path: Path, family: str) -> None:
    model, control = controlled(family, tmp_path)
    settings: dict[str, Any] = {"method": "control", "control_model": str(control), "size": SIDE}
    found = draw(fitted(model, tmp_path, **settings), [0, 1])
    free = draw(fitted(model, tmp_path, **settings, control_scale=0), [0, 1])
    assert (found.pixels != free.pixels).mean() > 0.5


@pytest.mark.parametrize(
    ("family", "beside", "said"),
    [
        ("sd1", "sdxl", "its cross_attention_dim is 32, that of the model 16"),
        ("sdxl", "sd1", "its cross_attention_dim is 16, that of the model 32"),
        ("sdxl", "union", "is one for several kinds of image (a ControlNetUnionModel)"),
        ("sd1", "sd3", "it is a SD3ControlNetModel, the model's network a UNet2DConditionModel"),
        ("sd3", "sdxl", "it is a ControlNetModel, the model's network a SD3Transformer2DModel"),
    ],
)
def test_a_controlnet_for_other_models_is_refused(
    tiny_pipeline: Path, tmp_path: Path, family: str, beside: str, said: str
) -> None:
    from tests.pipelines import tiny_controlnet

    if family == "sd1":
        model = tiny_pipeline
    else:
        model, _ = controlled(family, tmp_path / "model")
    if beside == "sd1":
        control = tiny_controlnet(tmp_path / "beside", tiny_pipeline)
    else:
        _, control = controlled("sdxl" if beside == "union" else beside, tmp_path / "beside")
    if beside == "union":
        index = control / "config.json"
        told = {**json.loads(index.read_text()), "_class_name": "ControlNetUnionModel"}
        index.write_text(json.dumps(told))
    settings: dict[str, Any] = {"method": "control", "control_model": str(control), "size": SIDE}
    with pytest.raises(InputError, match=re.escape(said)):
        draw(fitted(model, tmp_path, **settings), [0])


def test_what_the_pipeline_cannot_do_is_said_before_it_is_adapted(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    from tests.pipelines import tiny_controlnet, tiny_pixart

    model, adapt = tiny_pixart(tmp_path / "pixart"), {"kind": "lora", "steps": 1}
    with pytest.raises(InputError, match="no pipeline of its family that changes images"):
        fitted(model, tmp_path / "fit", adapt=adapt)
    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    beside: dict[str, Any] = {"method": "control", "control_model": str(control)}
    with pytest.raises(InputError, match="is a ControlNetModel, the model's network a PixArt"):
        fitted(model, tmp_path / "fit", adapt=adapt, **beside)
    assert not (tmp_path / "fit").exists()


def test_strength_says_nothing_where_images_are_drawn_anew(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    from tests.pipelines import tiny_controlnet

    control = tiny_controlnet(tmp_path / "control", tiny_pipeline)
    given = {"model": str(tiny_pipeline), "method": "control", "control_model": str(control)}
    with pytest.raises(ValueError, match="strength has no effect with method: control"):
        ImageToImageConfig.model_validate({**given, "strength": 0.5})
    kept = ImageToImageConfig.model_validate(given)
    assert ImageToImageConfig.model_validate(kept.model_dump()) == kept


def test_edges_are_thin_and_lie_on_the_border() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 8:24] = 200
    found = edges(image)
    assert {*np.unique(found)} == {0, 255}
    rows, columns = np.nonzero(found)
    inside = np.maximum(np.abs(rows - 15.5), np.abs(columns - 15.5))
    assert inside.min() > 5
    assert inside.max() < 10
    assert (found[16] > 0).sum() <= 4, "an edge is one or two pixels wide"
    assert not edges(np.full((8, 8, 1), 7, np.uint8)).any()


@pytest.mark.parametrize("method", ["variation", "inpainting", "vary"])
def test_a_pipeline_draws_at_the_size_that_is_asked_for(tmp_path: Path, method: str) -> None:
    from tests.pipelines import tiny_flux

    # Left to itself, this one draws 256 pixels, whatever the image's size.
    model = tiny_flux(tmp_path / "flux")
    usual = "variation" if method == "vary" else method
    generator = fitted(model, tmp_path, method=usual, size=SIDE, sampler_steps=1, strength=1)
    if method == "vary":
        start = inputs().train.pixels(np.array([0]))[0]
        generator = Variations(generator, start, strength=1)
    request = SampleRequest(index=0, label=0, seed=0)
    wish = Wish(request, "a crane", "", 0)
    pixels = generator._drawn([wish], generator._settings(request))
    assert pixels.shape == (1, SIDE, SIDE, 3)


def test_a_pipeline_that_knows_no_strength_is_refused(tmp_path: Path) -> None:
    from tests.pipelines import tiny_flux

    model = tiny_flux(tmp_path / "kontext", kind="FluxKontextPipeline")
    generator = fitted(model, tmp_path, size=16)
    with pytest.raises(InputError, match="a FluxKontextPipeline takes no strength") as caught:
        draw(generator, [0, 1])
    assert "strength" in caught.value.rule


def test_masks_that_are_missing_are_asked_for(tiny_pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no masks"):
        fitted(tiny_pipeline, tmp_path, masked=False, method="inpainting")


def test_a_class_without_images_to_start_from_ends_the_stream(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    generator = fitted(tiny_pipeline, tmp_path)
    requests = [SampleRequest(index=i, label=0, seed=i, sources=("d",)) for i in range(3)]
    assert [len(batch) for batch in generator.sample(requests)] == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strength": 0}, "greater than or equal to 0.01"),
        ({"strength": []}, "at least 1 item"),
        ({"method": "control"}, "needs control_model"),
        ({"control_model": "nowhere"}, "does not exist"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    tiny_pipeline: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises((ValueError, InputError), match=says):
        ImageToImageConfig.model_validate(
            {"model": str(tiny_pipeline), "sampler_steps": 4, **settings}
        )


def test_global_random_state_is_left_alone(tiny_pipeline: Path, tmp_path: Path) -> None:
    generator = fitted(tiny_pipeline, tmp_path)
    before = torch.get_rng_state()
    draw(generator, [0, 1])
    assert torch.equal(torch.get_rng_state(), before)
