"""Text-to-image through a real, tiny pipeline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError
from synthlift.generators.pipelines.tokens import lost_words, tokens_lost
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted, TextToImageGenerator
from synthlift.spec.provenance import LICENCE
from synthlift.types import FitInputs, ImageBatch, ImageSet, LockedTest, RunContext, SampleRequest
from tests.reading import LETTER, MUCH, READERS, reading

CLASSES = ("crane", "gull")


def fitted(model: Path, folder: Path, *, seed: int = 3, **settings: Any) -> TextToImageFitted:
    return fitted_on(images(), model, folder, seed=seed, **settings)


def images() -> ImageSet:
    """Three a class."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    return ImageSet.from_arrays(pixels, np.array([0, 0, 0, 1, 1, 1]), CLASSES)


def fitted_on(
    train: ImageSet, model: Path, folder: Path, *, seed: int = 3, **settings: Any
) -> TextToImageFitted:
    config = TextToImageConfig.model_validate(
        {"model": str(model), "sampler_steps": 1, "micro_batch": 4, **settings}
    )
    none = train.ids[:0]
    inputs = FitInputs(
        train=train, validation=train, test=LockedTest(ids=none, groups=none, hashes=none)
    )
    return TextToImageGenerator(config).fit(inputs, run=RunContext(folder=folder, seed=seed))


def draw(generator: TextToImageFitted, count: int = 4, **params: Any) -> ImageBatch:
    requests = [SampleRequest(index=i, label=i % 2, seed=i, params=params) for i in range(count)]
    (batch,) = generator.sample(requests)
    return batch


def test_classes_can_have_prompts_of_their_own(tiny_pipeline: Path, tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text("label,prompt\ncrane,a tall bird\ncrane,a bird with long legs\n")
    found = draw(fitted(tiny_pipeline, tmp_path, prompt="one {label}", prompt_table=str(table)))
    assert found.prompts is not None
    assert {*found.prompts[::2]} <= {"a tall bird", "a bird with long legs"}
    assert {*found.prompts[1::2]} == {"one gull"}


def test_a_request_may_say_its_own_words(tiny_pipeline: Path, tmp_path: Path) -> None:
    generator = fitted(tiny_pipeline, tmp_path)
    usual, asked = draw(generator), draw(generator, prompt="snow")
    assert asked.prompts == ("snow",) * 4
    assert not np.array_equal(usual.pixels, asked.pixels)
    same = draw(fitted(tiny_pipeline, tmp_path, class_prompts=dict.fromkeys(CLASSES, "snow")))
    assert np.array_equal(same.pixels, asked.pixels)


def test_a_combination_that_was_never_seen_keeps_the_other_attributes(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    tones, places = ["dark"] * 3 + ["light"] * 3, ["sea", "sea", "lake"] + ["moor"] * 3
    seen = {"tone": np.array(tones), "place": np.array(places)}
    generator = fitted_on(
        replace(images(), attributes=seen),
        tiny_pipeline,
        tmp_path,
        prompt="a {tone} {label} by the {place}",
    )

    def asked(**attributes: str) -> set[str]:
        requests = [
            SampleRequest(index=i, label=0, seed=i, attributes=attributes) for i in range(32)
        ]
        return {generator.prompt(request) for request in requests}

    assert asked(tone="light") == {"a light crane by the sea", "a light crane by the lake"}
    assert asked(tone="dark", place="moor") == {"a dark crane by the moor"}
    assert asked(place="lake") == {"a dark crane by the lake"}


def test_what_a_class_is_not_can_be_said(tiny_pipeline: Path, tmp_path: Path) -> None:
    usual = draw(fitted(tiny_pipeline, tmp_path))
    avoiding = draw(fitted(tiny_pipeline, tmp_path, class_negative_prompts={"crane": "machine"}))
    changed = (usual.pixels != avoiding.pixels).any(axis=(1, 2, 3))
    assert changed.tolist() == [True, False, True, False]


def test_what_others_avoid_changes_no_image(tmp_path: Path) -> None:
    from tests.pipelines import tiny_stable_diffusion_xl

    # Where nothing is said, this pipeline takes zeros for it, and not what "" is encoded to.
    model = tiny_stable_diffusion_xl(tmp_path / "xl")
    generator = fitted(model, tmp_path, class_negative_prompts={"crane": "machine"})
    together = draw(generator).pixels
    for i in range(4):
        (alone,) = generator.sample([SampleRequest(index=i, label=i % 2, seed=i)])
        assert np.array_equal(alone.pixels[0], together[i]), i


@pytest.mark.parametrize(
    "params", [{"guidance_scale": 99}, {"sampler_steps": 0}, {"prompt": 3}, {"steps": 2}]
)
def test_a_parameter_out_of_range_is_refused(
    tiny_pipeline: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=next(iter(params))):
        draw(fitted(tiny_pipeline, tmp_path), **params)


def test_words_that_the_encoder_does_not_read_are_named(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    # This tokenizer knows letters only and reads 14 of them.
    assert lost_words(tiny_pipeline, "abcdefghijklmn") == ""
    assert lost_words(tiny_pipeline, "abcdefghijklmno").replace(" ", "") == "o"
    told = fitted(tiny_pipeline, tmp_path, prompt="a photo of the {label}").facts()["warnings"]
    assert any("'a photo of the crane' is longer" in words for words in told)


def test_a_short_prompt_of_many_tokens_is_warned_of(tmp_path: Path) -> None:
    from synthlift.embedded import embedded_model

    long, dense = "a photo" + " photo" * 11 + " of a {label}", "qxzv " * 12 + "{label}"
    model = embedded_model("text_to_image")
    settings: dict[str, Any] = {"names": {"crane": "heron"}}
    assert len(long) > len(dense)
    assert "warnings" not in fitted(model, tmp_path, prompt=long, **settings).facts()
    told = fitted(model, tmp_path, prompt=[long, dense], **settings).facts()["warnings"]
    assert [words.partition(" ' ")[0][:20] for words in told] == ["the prompt 'qxzv qxz"] * 2
    assert len({*told}) == 2, "one a class"
    several = [dense, "qxzv " * 13 + "{label}", dense + "!"]
    told = fitted(model, tmp_path, prompt=several, **settings).facts()["warnings"]
    assert told[0].startswith(f"the prompt '{'qxzv ' * 13}heron' is longer")
    assert told[0].endswith("; so it is with 2 more of 'crane'")


def test_of_more_prompts_than_are_measured_each_class_has_some(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthlift.generators.pipelines import too_long

    monkeypatch.setattr(too_long, "MOST_CHECKED", 4)
    own = {"crane": ["a", "b", "c", "d", "e"], "gull": ["a photo of the gull"]}
    told = fitted(tiny_pipeline, tmp_path, class_prompts=own).facts()["warnings"]
    assert any("'a photo of the gull' is longer" in words for words in told)


def test_negative_prompts_that_the_encoder_does_not_read_are_named(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    usual: dict[str, Any] = {
        "prompt": "{label}",
        "names": {"crane": "heron"},
        "guidance_scale": 2,
    }
    avoided = {"crane": "hands with many fingers", "gull": "ice"}
    told = fitted(tiny_pipeline, tmp_path, class_negative_prompts=avoided, **usual).facts()
    (words,) = told["warnings"]
    assert words.startswith("the negative prompt 'hands with many fingers' is longer")
    told = fitted(tiny_pipeline, tmp_path, negative_prompt=avoided["crane"], **usual).facts()
    assert told["warnings"] == [words]


def test_words_that_the_pipeline_cuts_off_are_lost_too(tmp_path: Path) -> None:
    from tests.further_pipelines import tiny_flux_2
    from tests.pipelines import tiny_pixart, tiny_sana, tiny_stable_diffusion_3

    pixart, sd3 = tiny_pixart(tmp_path / "pixart"), tiny_stable_diffusion_3(tmp_path / "sd3")
    alpha = shutil.copytree(pixart, tmp_path / "alpha")
    index = alpha / "model_index.json"
    index.write_text(index.read_text().replace("PixArtSigmaPipeline", "PixArtAlphaPipeline"))
    # One token a word, and one that ends the text.
    for model, most in ((pixart, 299), (alpha, 119), (sd3, 255)):
        assert lost_words(model, "a " * most) == ""
        assert lost_words(model, "a " * (most + 1)) == "a"
    # Where what reads prompts reads images, too, and has no limit itself.
    assert lost_words(tiny_flux_2(tmp_path / "flux-2"), "a " * 150) == ""
    sana = tiny_sana(tmp_path / "sana")
    assert lost_words(sana, "a" * 290) == ""
    assert lost_words(sana, "a" * 310) != ""


@pytest.mark.parametrize("kind", READERS)
def test_as_much_is_told_to_be_lost_as_the_pipeline_cuts_off(kind: str, tmp_path: Path) -> None:
    most = reading(kind, tmp_path / "pipeline")
    assert 50 < most < MUCH
    assert lost_words(tmp_path / "pipeline", LETTER * most) == ""
    assert lost_words(tmp_path / "pipeline", LETTER * (most + 2)) == LETTER * 2
    assert tokens_lost(tmp_path / "pipeline", [LETTER * most, LETTER * (most + 2)]) == [0, 2]


def test_what_leads_to_prompts_takes_no_room_of_negative_ones(tmp_path: Path) -> None:
    lumina, most = tmp_path / "lumina", reading("Lumina2Pipeline", tmp_path / "lumina")
    assert lost_words(lumina, LETTER * (most + 1), avoided=True) == ""
    assert lost_words(lumina, LETTER * 257, avoided=True) == LETTER


def test_a_class_name_of_two_meanings_is_pointed_out(tiny_pipeline: Path, tmp_path: Path) -> None:
    told = fitted(tiny_pipeline, tmp_path, prompt="{label}").facts()["warnings"]
    assert [words for words in told if "'crane' means a bird as well as a machine" in words]
    named = {"crane": "crane, a bird"}
    explained = fitted(tiny_pipeline, tmp_path, prompt="{label}", names=named).facts()
    assert "warnings" not in explained


def test_negative_prompts_that_do_nothing_are_pointed_out(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    plain: dict[str, Any] = {
        "prompt": "{label}",
        "names": {"crane": "heron"},
        "negative_prompt": "machine",
    }
    told = fitted(tiny_pipeline, tmp_path, guidance_scale=1, **plain)
    (words,) = told.facts()["warnings"]
    assert "negative prompts have no effect at guidance_scale 1" in words
    unguided = fitted(tiny_pipeline, tmp_path, guidance_scale=1, prompt="{label}")
    assert np.array_equal(draw(told, prompt="heron").pixels, draw(unguided, prompt="heron").pixels)
    assert "warnings" not in fitted(tiny_pipeline, tmp_path, **plain).facts()


def test_a_pipeline_that_cannot_be_told_what_to_avoid_is_told_nothing_of_it(tmp_path: Path) -> None:
    from tests.pipelines import tiny_consistency_model

    model = tiny_consistency_model(tmp_path / "consistent")
    avoiding = fitted(model, tmp_path, negative_prompt="machine", names={"crane": "heron"})
    (words,) = (one for one in avoiding.facts()["warnings"] if "negative" in one)
    assert words.endswith("a LatentConsistencyModelPipeline takes none")
    assert avoiding.remarks({"negative_prompt": "snow"}) == [words]
    usual = fitted(model, tmp_path, names={"crane": "heron"})
    assert np.array_equal(draw(avoiding).pixels, draw(usual).pixels)


def test_guidance_that_does_nothing_is_pointed_out(tmp_path: Path) -> None:
    from tests.pipelines import tiny_flux

    told = tiny_flux(tmp_path / "told")
    deaf = tiny_flux(tmp_path / "deaf", guided=False)
    usual: dict[str, Any] = {"size": 16, "prompt": "{label}", "names": {"crane": "heron"}}
    assert "warnings" not in fitted(told, tmp_path, guidance_scale=4, **usual).facts()
    assert "warnings" not in fitted(deaf, tmp_path, **usual).facts(), "none is the default"
    guided = fitted(deaf, tmp_path, guidance_scale=4, **usual)
    (words,) = guided.facts()["warnings"]
    assert words.startswith("guidance_scale 4 has no effect on this pipeline")
    unguided = fitted(deaf, tmp_path, **usual)
    assert guided.remarks({"guidance_scale": 4.0}) == unguided.remarks({"guidance_scale": 4.0})
    assert np.array_equal(draw(guided).pixels, draw(unguided).pixels)


def test_guidance_that_goes_by_another_name_is_told(tmp_path: Path) -> None:
    from tests.further_pipelines import tiny_qwen_image

    model = tiny_qwen_image(tmp_path / "qwen")
    usual: dict[str, Any] = {"size": 16, "prompt": "{label}", "names": {"crane": "heron"}}
    drawn = {}
    for scale in (1, 4):
        for avoided in ("", "machine"):
            generator = fitted(
                model, tmp_path, guidance_scale=scale, negative_prompt=avoided, **usual
            )
            told = " ".join(generator.facts().get("warnings", ()))
            assert ("negative prompts have no effect at" in told) == (avoided != "" and scale == 1)
            assert "guidance_scale 4 has no effect" not in told
            drawn[scale, avoided] = draw(generator).pixels
    assert np.array_equal(drawn[1, ""], drawn[1, "machine"])
    assert not np.array_equal(drawn[1, ""], drawn[4, ""])
    assert not np.array_equal(drawn[4, ""], drawn[4, "machine"])


def test_another_scheduler_draws_other_images(tiny_pipeline: Path, tmp_path: Path) -> None:
    usual = draw(fitted(tiny_pipeline, tmp_path, sampler_steps=2))
    other = fitted(
        tiny_pipeline, tmp_path, sampler_steps=2, scheduler="EulerAncestralDiscreteScheduler"
    )
    assert not np.array_equal(usual.pixels, draw(other).pixels)
    with pytest.raises(InputError, match=r"EulerScheduler.*EulerDiscreteScheduler"):
        draw(fitted(tiny_pipeline, tmp_path, scheduler="EulerScheduler"))
    # Its noise would not go by an image's seed.
    with pytest.raises(InputError, match="'DPMSolverSDEScheduler'") as caught:
        draw(fitted(tiny_pipeline, tmp_path, scheduler="DPMSolverSDEScheduler"))
    assert "SDE" not in caught.value.rule


def test_images_that_a_safety_checker_blackens_are_drawn_anew(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    from tests.pipelines import tiny_stable_diffusion

    model = tiny_stable_diffusion(tmp_path / "objecting", objecting=True)
    found = draw(fitted(model, tmp_path))
    assert not found.pixels.any()
    assert found.origins == ("drawn anew, black before: 3, black still",) * 4
    assert (found.redrawn, found.black) == (4, 4)
    usual = draw(fitted(tiny_pipeline, tmp_path))
    assert (usual.redrawn, usual.black) == (0, 0)


def test_numbers_that_are_no_colours_end_the_drawing(tiny_pipeline: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = shutil.copytree(tiny_pipeline, tmp_path / "broken")
    (weights,) = (model / "vae").glob("*.safetensors")
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"][:] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match="drew numbers that are no colours") as caught:
        draw(fitted(model, tmp_path / "out"))
    assert caught.value.remedy == "download the model again", "it is drawn in full numbers already"
    with pytest.raises(InputError, match="drew numbers that are no colours") as caught:
        draw(fitted(model, tmp_path / "out", dtype="bfloat16"))
    assert "dtype: float32, or else download the model again" in caught.value.remedy


def test_the_terms_of_the_model_go_with_what_was_noted(tiny_pipeline: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_pipeline, tmp_path / "licensed")
    (model / "LICENSE.md").write_text("Draw no swans.\n\nNor geese.\n")
    generator = fitted(model, tmp_path)
    assert "licence_text" not in generator.facts()
    generator.save(tmp_path / "saved")
    shutil.rmtree(model)
    assert (tmp_path / "saved" / LICENCE).read_text() == "Draw no swans.\n\nNor geese.\n"
    again = TextToImageGenerator(generator._config).load(tmp_path / "saved")
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / LICENCE).is_file()
    fitted(tiny_pipeline, tmp_path).save(tmp_path / "silent")
    assert not (tmp_path / "silent" / LICENCE).exists()


def test_the_terms_of_what_a_pipeline_draws_with_besides_go_along(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    def lora(place: Path, **told: str) -> str:
        place.parent.mkdir()
        save_file({"lora.weight": zeros(1)}, place, metadata=told)
        return str(place)

    with_text = lora(tmp_path / "ink" / "ink.safetensors")
    (tmp_path / "ink" / "LICENSE").write_text("Ink no swans.\n")
    stated = lora(tmp_path / "oil" / "oil.safetensors", **{"modelspec.license": "openrail++"})
    silent = lora(tmp_path / "wax" / "wax.safetensors")
    decoder = shutil.copytree(tiny_pipeline / "vae", tmp_path / "taesd")
    (decoder / "README.md").write_text("---\nlicense: mit\n---\n")
    settings: dict[str, Any] = {"loras": [with_text, stated, silent], "decoder": str(decoder)}
    fitted(tiny_pipeline, tmp_path, **settings).save(tmp_path / "saved")
    besides = (
        "Terms of the LoRA file 'ink.safetensors':\n\nInk no swans.\n\n"
        "The LoRA file 'oil.safetensors' states the licence: openrail++\n\n"
        "The decoder 'taesd' states the licence: mit\n"
    )
    assert (tmp_path / "saved" / LICENCE).read_text() == besides
    model = shutil.copytree(tiny_pipeline, tmp_path / "licensed")
    (model / "LICENSE.md").write_text("Draw no swans.\n")
    fitted(model, tmp_path, **settings).save(tmp_path / "both")
    own = "Terms of the pipeline 'licensed':\n\nDraw no swans.\n\n"
    assert (tmp_path / "both" / LICENCE).read_text() == own + besides


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prompt": ["a photo"]}, "does not name the class"),
        ({"prompt": "{label} {a"}, "expected '}'"),
        ({"phrases": {"light": ["noon"]}}, "'light' stand in no prompt"),
        ({"prompt": []}, "at least 1 item"),
        ({"class_prompts": {"crane": " "}}, "an empty text"),
        ({"prompt_table": "x.csv", "class_prompts": {"crane": "x"}}, "not both"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    tiny_pipeline: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        TextToImageConfig.model_validate({"model": str(tiny_pipeline), **settings})
