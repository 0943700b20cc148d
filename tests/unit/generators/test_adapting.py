"""Pipelines adapted to few images: what is learnt, kept, loaded and refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError, SynthliftError
from synthlift.generators.learning.checkpoints import FILE
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.spec.study import Component
from synthlift.study.components import settings_of
from synthlift.study.steps import generator_effort
from synthlift.types import ImageBatch, MonitorReading
from tests.unit.generators.adapting import draw, fit, images, inputs, learnt_files, settings

LORA = {"kind": "lora"}
WORDS = {"kind": "textual_inversion"}
LORA_FILE = "pytorch_lora_weights.safetensors"


def drawn_by_diffusers(pipeline: Any, prompts: list[str]) -> np.ndarray:
    """What the four requests of ``draw`` ask for, drawn without this package."""
    import torch

    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        prompt=prompts,
        guidance_scale=2.0,
        num_inference_steps=1,
        generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
        output_type="np",
    ).images
    pixels: np.ndarray = np.rint(drawn * 255).astype(np.uint8)
    return pixels


def opened(model: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(model, local_files_only=True)


def test_lora_is_learnt_saved_and_read_by_diffusers(tiny_pipeline: Path, tmp_path: Path) -> None:
    adapt = {**LORA, "text_encoder": True, "learning_rate": 0.3, "readings": 0}
    config = settings(tiny_pipeline, adapt=adapt)
    generator = fit(config, tmp_path / "fit")
    adapted = draw(generator)
    assert not np.array_equal(adapted, draw(fit(settings(tiny_pipeline), tmp_path)))
    files = learnt_files(generator, tmp_path / "saved")
    assert [*files] == [LORA_FILE]
    again = TextToImageGenerator(config).load(tmp_path / "saved")
    assert np.array_equal(draw(again), adapted)
    pipeline = opened(tiny_pipeline)
    pipeline.load_lora_weights(str(files[LORA_FILE].parent), weight_name=LORA_FILE)
    assert np.array_equal(drawn_by_diffusers(pipeline, [*_prompts("crane", "gull")]), adapted)
    told = generator.facts()["adaptation"]
    assert (told["images"], told["steps_done"], told["adapters"]) == (6, 4, 1)


def _prompts(*words: str) -> tuple[str, ...]:
    return tuple(f"a photo of {words[i % 2]}" for i in range(4))


def test_words_are_learnt_saved_and_read_by_diffusers(tiny_pipeline: Path, tmp_path: Path) -> None:
    config = settings(tiny_pipeline, adapt={**WORDS, "learning_rate": 0.5, "readings": 0})
    generator = fit(config, tmp_path / "fit")
    adapted = draw(generator)
    files = learnt_files(generator, tmp_path / "saved")
    assert [*files] == [
        f"text_encoder/{name}/learned_embeds.safetensors" for name in ("crane", "gull")
    ]
    again = TextToImageGenerator(config).load(tmp_path / "saved")
    assert np.array_equal(draw(again), adapted)
    pipeline = opened(tiny_pipeline)
    for file in files.values():
        pipeline.load_textual_inversion(str(file), use_safetensors=True)
    assert np.array_equal(drawn_by_diffusers(pipeline, [*_prompts("<crane>", "<gull>")]), adapted)
    # What was there before is as it was: other words draw what they drew.
    plain = fit(settings(tiny_pipeline), tmp_path)
    assert np.array_equal(draw(generator, prompt="a crab"), draw(plain, prompt="a crab"))
    assert not np.array_equal(adapted, draw(plain))


def test_several_vectors_begin_as_the_tokens_of_the_name(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    # Nothing is learnt at this rate: with as many vectors as its name has tokens, a word is it.
    adapt = {**WORDS, "vectors": 5, "learning_rate": 1e-30, "readings": 0, "steps": 1}
    named = {"gull": "gulls"}
    config = settings(tiny_pipeline, adapt=adapt, names=named, prompt="{label}")
    plain = settings(tiny_pipeline, names=named, prompt="{label}")
    generator = fit(config, tmp_path / "fit")
    assert np.array_equal(draw(generator), draw(fit(plain, tmp_path)))


def test_every_vector_of_a_word_is_learnt(tiny_pipeline: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    def vectors(name: str, **changes: Any) -> dict[str, Any]:
        adapt = {**WORDS, "vectors": 3, "readings": 0, **changes}
        generator = fit(settings(tiny_pipeline, adapt=adapt), tmp_path / name)
        files = learnt_files(generator, tmp_path / f"{name}-saved").values()
        return {word: rows for file in files for word, rows in load_file(file).items()}

    before = vectors("before", learning_rate=1e-30, steps=1)
    after = vectors("after", learning_rate=0.05)
    assert {*before} == {"<crane>", "<gull>"}
    for word, rows in before.items():
        assert rows.shape == (3, 16)
        moved = (after[word] - rows).abs().amax(1)
        assert (moved > 0.01).all(), (word, moved)


def test_unseen_images_are_explained_by_all_vectors_of_a_word(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    # Nothing is learnt: two further vectors are two further words of each prompt.
    def loss(vectors: int) -> float:
        adapt = {**WORDS, "vectors": vectors, "learning_rate": 1e-30, "steps": 1}
        config = settings(tiny_pipeline, adapt=adapt, names={"crane": "a", "gull": "a"})
        return float(fit(config, tmp_path / str(vectors)).facts()["adaptation"]["loss_before"])

    assert loss(3) != pytest.approx(loss(1), rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adam8bit"])
def test_a_killed_fit_goes_on_to_the_same_bits(
    tiny_pipeline: Path, tmp_path: Path, optimizer: str
) -> None:
    config = settings(
        tiny_pipeline,
        adapt={**LORA, "steps": 6, "readings": 2, "checkpoint_seconds": 1e-9, "flip": True}
        | {"optimizer": optimizer, "prior": {"images": 5, "prompts": ["a bird", "a crab"]}},
    )
    calm = fit(config, tmp_path / "calm")
    heard: list[tuple[str, dict[str, Any]]] = []

    def killed(done: int, _total: int, note: str) -> None:
        if note.startswith("loss") and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "killed", progress=killed)
    assert (tmp_path / "killed" / "learnt" / FILE).is_file()
    resumed = fit(
        config, tmp_path / "killed", log=lambda event, **fields: heard.append((event, fields))
    )
    assert ("adapted.resumed", {"step": 4}) in heard
    assert resumed.facts()["adaptation"] == calm.facts()["adaptation"]
    assert np.array_equal(draw(resumed), draw(calm))


def test_a_killed_fit_does_not_learn_finished_classes_again(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    adapt = {**LORA, "per_class": True, "steps": 6, "readings": 1}
    config = settings(tiny_pipeline, adapt=adapt)
    calm = fit(config, tmp_path / "calm")
    heard: list[tuple[str, dict[str, Any]]] = []
    losses: list[int] = []

    def killed(done: int, _total: int, note: str) -> None:
        losses.extend([done] if note.startswith("loss") else [])
        if len(losses) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "killed", progress=killed)
    assert losses == [1, 2, 3, 1]
    assert not (tmp_path / "killed" / "class-1" / FILE).exists()
    resumed = fit(
        config, tmp_path / "killed", log=lambda event, **fields: heard.append((event, fields))
    )
    assert [one for one in heard if one[0] == "adapted.resumed"] == [
        ("adapted.resumed", {"step": 3})
    ]
    assert resumed.facts()["adaptation"] == calm.facts()["adaptation"]
    assert np.array_equal(draw(resumed), draw(calm))


def test_images_of_the_prior_that_stay_black_are_not_learnt(tmp_path: Path) -> None:
    from tests.pipelines import tiny_stable_diffusion

    adapt = {**LORA, "readings": 0, "prior": {"images": 6, "prompts": ["a bird", "a crab"]}}
    some = tiny_stable_diffusion(tmp_path / "some", objecting=True, objects_above=-0.65)
    heard: list[str] = []
    for _ in range(2):  # what an earlier attempt has left tells the same
        generator = fit(settings(some, adapt=adapt), tmp_path / "fit")
        heard += [one for one in generator.facts()["warnings"] if "prior" in one]
    assert heard[0] == heard[1]
    count = int(heard[0].split()[0])
    assert 1 <= count <= 5
    assert heard[0].startswith(f"{count} of 6 images of the prior stayed black")
    every = tiny_stable_diffusion(tmp_path / "every", objecting=True)
    with pytest.raises(InputError, match="all 6 images of the prior stayed black"):
        fit(settings(every, adapt=adapt), tmp_path / "none")


def test_words_of_the_prior_that_the_encoder_does_not_read_are_named(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    prompts = ["a bird of many colours", "a crab", "a bird of many colours"]
    adapt = {**LORA, "steps": 1, "readings": 0, "prior": {"images": 2, "prompts": prompts}}
    config = settings(
        tiny_pipeline, adapt=adapt, names={"crane": "a", "gull": "b"}, prompt="{label}"
    )
    (words,) = fit(config, tmp_path / "fit").facts()["warnings"]
    assert words.startswith("the prompt of the prior 'a bird of many colours' is longer than")


def test_each_class_is_drawn_with_its_own_adapter(tiny_pipeline: Path, tmp_path: Path) -> None:
    config = settings(tiny_pipeline, adapt={**LORA, "per_class": True, "readings": 0})
    generator = fit(config, tmp_path / "fit")
    before = draw(generator)
    files = learnt_files(generator, tmp_path / "saved")
    assert [*files] == [f"class-0/{LORA_FILE}", f"class-1/{LORA_FILE}"]
    files[f"class-1/{LORA_FILE}"].write_bytes(files[f"class-0/{LORA_FILE}"].read_bytes())
    changed = draw(TextToImageGenerator(config).load(tmp_path / "saved")) != before
    assert changed.any(axis=(1, 2, 3)).tolist() == [False, True, False, True]


def test_lora_files_act_with_their_weights(tiny_pipeline: Path, tmp_path: Path) -> None:
    adapt = {**LORA, "learning_rate": 0.3, "readings": 0}
    learnt = fit(settings(tiny_pipeline, adapt=adapt), tmp_path / "fit")
    path = str(learnt_files(learnt, tmp_path / "saved")[LORA_FILE])
    adapted, plain = draw(learnt), draw(fit(settings(tiny_pipeline), tmp_path))
    assert not np.array_equal(adapted, plain)

    def with_files(*loras: Any) -> np.ndarray:
        return draw(fit(settings(tiny_pipeline, loras=loras), tmp_path))

    assert np.array_equal(with_files(path), adapted)
    assert np.array_equal(with_files({"path": path, "weight": 0}), plain)
    halves = with_files(*[{"path": path, "weight": 0.5}] * 2)
    assert np.abs(halves.astype(int) - adapted).max() <= 1
    # An adapter can be learnt on top of a file.
    config = settings(tiny_pipeline, adapt={**LORA, "learning_rate": 1e-30}, loras=path)
    assert np.array_equal(draw(fit(config, tmp_path / "further")), adapted)


def test_a_check_point_that_copies_is_not_kept(tiny_pipeline: Path, tmp_path: Path) -> None:
    def copying(step: int, samples: ImageBatch) -> MonitorReading:
        assert len(samples) == 6
        return MonitorReading(value=1.2 if step < 4 else 0.4, acceptable=step < 4)

    adapt = {**LORA, "steps": 6, "readings": 3, "monitor_images": 6, "layers": "all"}
    config = settings(tiny_pipeline, adapt=adapt)
    # Images that are learnt are explained better and better.
    seen = inputs(validation=images(0, 0, 0, 1, 1, 1, prefix="v"))
    facts = fit(config, tmp_path, monitor=copying, inputs=seen).facts()
    assert [one["step"] for one in facts["readings"]] == [0, 2, 4, 6]
    losses = dict(facts["curves"]["validation_loss"])
    assert losses[6] < losses[4] < losses[2], "validation alone would keep the last step"
    assert facts["kept_step"] == facts["adaptation"]["steps_kept"] == 2
    assert facts["copying_acceptable"]
    assert not any("adaptation" in words for words in facts["warnings"])
    assert facts["adaptation"]["loss_after"] < facts["adaptation"]["loss_before"]


def test_a_check_point_that_explains_unseen_images_less_is_not_kept(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    config = settings(tiny_pipeline, adapt={**LORA, "layers": "all", "learning_rate": 1.0})
    generator = fit(config, tmp_path / "fit")
    assert any("was better than the pretrained" in words for words in generator.facts()["warnings"])
    assert np.array_equal(draw(generator), draw(fit(settings(tiny_pipeline), tmp_path)))


def test_numbers_that_are_not_finite_end_the_fit(tiny_pipeline: Path, tmp_path: Path) -> None:
    config = settings(tiny_pipeline, adapt={**LORA, "learning_rate": 1e30})
    with pytest.raises(SynthliftError, match="lower 'learning_rate'"):
        fit(config, tmp_path)


def test_one_image_of_one_class_can_be_learnt(tiny_pipeline: Path, tmp_path: Path) -> None:
    few = inputs(images(0), images())
    config = settings(tiny_pipeline, adapt={**WORDS, "readings": 1})
    generator = fit(config, tmp_path, inputs=few)
    assert generator.facts()["words"] == {"crane": "<crane>"}
    assert generator.facts()["adaptation"]["images"] == 1


def test_a_pipeline_that_knows_the_word_already_is_refused(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    import torch

    pipeline = opened(tiny_pipeline)
    pipeline.load_textual_inversion({"<crane>": torch.zeros(1, 16)})
    pipeline.save_pretrained(tmp_path / "knowing")
    with pytest.raises(InputError, match="takes no new words: it has <crane>"):
        fit(settings(tmp_path / "knowing", adapt=WORDS), tmp_path)


def test_a_lora_file_that_does_not_fit_is_refused(tiny_pipeline: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_{}.weight"
    other = {name.format("A"): torch.zeros(2, 999), name.format("B"): torch.zeros(999, 2)}
    save_file(other, tmp_path / "wide.safetensors")
    save_file({"unet.some.lora_A.weight": torch.zeros(2, 4)}, tmp_path / "other.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not safe")
    for file in ("wide", "other", "none", "broken"):
        config = settings(tiny_pipeline, loras=str(tmp_path / f"{file}.safetensors"))
        with pytest.raises(InputError, match=rf"LoRA file .*{file}\.safetensors'"):
            draw(fit(config, tmp_path))


def test_a_lora_file_that_has_changed_is_refused(tiny_pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(b"before")
    config = settings(tiny_pipeline, loras=str(path))
    assert config.loras[0].sha256
    path.write_bytes(b"after!")
    assert settings(tiny_pipeline, loras=str(path)).loras[0].sha256 != config.loras[0].sha256
    with pytest.raises(InputError, match="another one than was planned with"):
        draw(fit(config, tmp_path))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"loras": __file__}, "is no file of safetensors"),
        ({"loras": "gone.safetensors"}, "does not exist"),
        ({"adapt": {"kind": "full"}}, "'lora', 'textual_inversion'"),
        ({"adapt": {**LORA, "vectors": 2}}, "Extra inputs"),
        ({"adapt": WORDS, "class_prompts": {"gull": "a bird"}}, "has no room for the word"),
        ({"adapt": {**WORDS, "prior": {"images": 4}}}, "stays as it is, and forgets nothing"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    tiny_pipeline: Path, given: dict[str, Any], says: str
) -> None:
    from synthlift.generators.text_to_image.config import TextToImageConfig

    with pytest.raises((ValueError, InputError), match=says):
        TextToImageConfig.model_validate({"model": str(tiny_pipeline), **given})


def test_new_words_saved_with_the_empty_prior_of_earlier_versions_open(tiny_pipeline: Path) -> None:
    config = settings(tiny_pipeline, adapt=WORDS)
    saved = config.model_dump(mode="json")
    saved["adapt"]["prior"] = None
    assert config.model_validate(saved) == config


def test_without_peft_it_is_said_how_to_get_it(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("diffusers.utils.import_utils._peft_available", False)
    with pytest.raises(InputError, match=r"pip install 'synthlift\[text2image\]'"):
        fit(settings(tiny_pipeline, adapt=LORA), tmp_path)


def test_without_bitsandbytes_it_is_said_how_to_get_it(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    adapt = {**LORA, "optimizer": "adam8bit"}
    with pytest.raises(InputError, match=r"pip install 'synthlift\[adam8bit\]'"):
        fit(settings(tiny_pipeline, adapt=adapt), tmp_path)


def test_a_budget_cuts_the_steps_of_the_adaptation(tiny_pipeline: Path) -> None:
    config = settings(tiny_pipeline, adapt={**LORA, "steps": "auto", "rank": 3})
    assert config.automatic_steps(examples=40, image_shape=(16, 16, 3)) == 1000
    cut = config.model_validate({**config.model_dump(), **config.trained_with(steps=7)})
    assert cut.adapt.steps == 7
    assert cut.adapt.rank == 3
    assert cut.monitored_images(examples=40, image_shape=(16, 16, 3)) == 2 * 32
    assert settings(tiny_pipeline).trained_with(steps=7) == {}


def test_a_plan_times_one_adapter_and_counts_the_images_of_all(tiny_pipeline: Path) -> None:
    prior = {"images": 50, "weight": 2.0}
    adapt = {**LORA, "steps": "auto", "readings": 4, "per_class": True, "prior": prior}
    component = Component.model_validate(
        {"kind": "text_to_image", "model": str(tiny_pipeline), "adapt": adapt}
    )
    counts = dict.fromkeys(range(10), 8) | {10: 0}
    steps, images = generator_effort(component, counts=counts, image_shape=(16, 16, 3))
    assert (steps, images) == (4000, 10 * 5 * 32 + 50)
    timed = settings_of("generators", component).shortened(2)["adapt"]
    assert (timed["per_class"], timed["steps"], timed["rank"]) == (False, 2, 8)
    assert timed["prior"] == {"images": 32, "weight": 2.0, "prompts": []}
    words = settings(tiny_pipeline, adapt={"kind": "textual_inversion"}).shortened(2)["adapt"]
    assert not {"prior", "per_class"} & {*words}
