"""Parts of adapting that are numbers alone, and other families of pipelines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.generators.adapting.bench import open_bench
from synthlift.generators.adapting.examples import past_examples
from synthlift.generators.adapting.learner import AdapterLearner
from synthlift.generators.adapting.noise import noising_of
from synthlift.generators.adapting.parts import LearntLora, layers_of
from synthlift.generators.adapting.prior import Preserved, preserved
from synthlift.generators.adapting.summing import told_together, validation_losses, warnings_of
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.image_to_image.generator import ImageToImageGenerator
from synthlift.generators.pipelines.noting import noted
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.types import ImageBatch, MonitorReading, RunContext, SampleRequest
from tests.pipelines import tiny_flux, tiny_stable_diffusion_3, tiny_stable_diffusion_xl
from tests.unit.generators.adapting import QUICK, draw, fit, inputs, settings


def with_scheduler(name: str, **config: Any) -> Any:
    import diffusers

    return SimpleNamespace(scheduler=getattr(diffusers, name)(**config))


CLEAN = torch.linspace(-1, 1, 2 * 4 * 4).view(2, 1, 4, 4)
NOISE = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LEVELS = torch.tensor([0.2, 0.7])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_scheduler_recovers_the_image_from_the_target(prediction: str) -> None:
    pipeline = with_scheduler("DDIMScheduler", prediction_type=prediction, clip_sample=False)
    noised = noising_of(pipeline, min_snr=None)(CLEAN, NOISE, LEVELS)
    pipeline.scheduler.set_timesteps(1000)
    for row, time in enumerate(noised.times_n):
        step = pipeline.scheduler.step(noised.target_nchw[row], time, noised.x_nchw[row])
        assert torch.allclose(step.pred_original_sample, CLEAN[row], atol=1e-4)


def test_a_flow_leads_from_noise_to_the_image() -> None:
    pipeline = with_scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0)
    noised = noising_of(pipeline, min_snr=None)(CLEAN, NOISE, LEVELS)
    sigmas = (noised.times_n / 1000)[:, None, None, None]
    assert torch.allclose(noised.x_nchw - sigmas * noised.target_nchw, CLEAN, atol=1e-5)
    assert torch.allclose(noised.x_nchw + (1 - sigmas) * noised.target_nchw, NOISE, atol=1e-5)
    # Half of all levels lie above what the shift makes of one half.
    middle = noising_of(pipeline, min_snr=None)(CLEAN[:1], NOISE[:1], torch.tensor([0.5]))
    assert float(middle.times_n) == pytest.approx(750)
    with pytest.raises(InputError, match="min_snr"):
        noising_of(pipeline, min_snr=5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_limits_the_weight_of_clean_levels(prediction: str) -> None:
    pipeline = with_scheduler("DDPMScheduler", prediction_type=prediction)
    weights = noising_of(pipeline, min_snr=5)(CLEAN, NOISE, LEVELS).weights_n
    power = pipeline.scheduler.alphas_cumprod[[200, 700]]
    ratio = power / (1 - power)
    divided = ratio if prediction == "epsilon" else ratio + 1
    assert torch.allclose(weights, torch.minimum(ratio, torch.tensor(5.0)) / divided)


def test_an_unknown_scheduler_is_refused() -> None:
    with pytest.raises(InputError, match="EDMEulerScheduler predicts"):
        noising_of(with_scheduler("EDMEulerScheduler"), min_snr=None)


def test_what_is_learnt_is_little_beside_stable_diffusion() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
    found, layers = layers_of(unet, every=False), dict(unet.named_modules())
    # Query, key, value and output of two attentions in 16 transformer blocks.
    assert len(found) == 4 * 2 * 16
    numbers = 8 * sum(layers[name].in_features + layers[name].out_features for name in found)
    whole = sum(weight.numel() for weight in unet.parameters())
    assert (numbers, whole) == (1_594_368, 859_520_964)


@pytest.mark.parametrize(
    "build",
    [
        tiny_stable_diffusion_3,
        pytest.param(tiny_stable_diffusion_xl, marks=pytest.mark.slow),
        pytest.param(tiny_flux, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "adapt",
    [
        {"kind": "lora", "text_encoder": True},
        pytest.param(
            {"kind": "lora", "layers": "all", "gradient_checkpointing": True},
            marks=pytest.mark.slow,
        ),
        {"kind": "textual_inversion", "vectors": 2, "learning_rate": 0.5},
    ],
    ids=["attention", "all", "words"],
)
def test_other_families_are_adapted(
    build: Callable[[Path], Path], adapt: dict[str, Any], tmp_path: Path
) -> None:
    model = build(tmp_path / "model")
    config = settings(model, adapt={**adapt, "readings": 0}, size=16)
    generator = fit(config, tmp_path / "fit")
    adapted = draw(generator)
    generator.save(tmp_path / "saved")
    assert np.array_equal(draw(TextToImageGenerator(config).load(tmp_path / "saved")), adapted)
    assert not np.array_equal(adapted, draw(fit(settings(model, size=16), tmp_path)))


def test_latents_meet_those_of_the_prior_on_one_device(tiny_pipeline: Path, tmp_path: Path) -> None:
    config = settings(tiny_pipeline, adapt={"kind": "lora", "batch_size": 2, "prior": {}})
    facts = noted(config, inputs().train, seed=1)
    bench = open_bench(config, facts=facts, run=RunContext(folder=tmp_path, seed=1))
    learnt = LearntLora(bench.pipeline, config.adapt, name="learnt", given={}, seed=0)
    past = Preserved(np.zeros((3, 8, 8, 4), np.float16), ("a", "b", "c"), 0)
    # A device that every machine has, beside the processor.
    kept, prompting = past_examples(past, device="meta")
    # Too many to be in memory: read step by step from where they lie.
    read = replace(kept, pixels_nchw=None)
    for own, beside in ((kept, read), (read, kept)):
        learner = AdapterLearner(
            learnt,
            bench.denoising,
            config=config,
            steps=1,
            seed=0,
            examples=(own, prompting),
            beside=(beside, prompting),
        )
        latents = next(learner.batches(range(1))).latents_nchw
        assert (len(latents), latents.device.type) == (4, "meta")


def test_changed_images_are_adapted_too(tiny_pipeline: Path, tmp_path: Path) -> None:
    def changed(**adapt: Any) -> np.ndarray:
        config = ImageToImageConfig.model_validate(
            {"model": str(tiny_pipeline), "sampler_steps": 4, "micro_batch": 4, **adapt}
        )
        folder = tmp_path / str(len(adapt))
        fitted = ImageToImageGenerator(config).fit(inputs(), run=RunContext(folder=folder, seed=1))
        fitted.save(folder / "saved")
        read = ImageToImageGenerator(config).reload(folder / "saved", inputs=inputs())
        wanted = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(4)]
        drawn, again = (next(iter(one.sample(wanted))).pixels for one in (fitted, read))
        assert np.array_equal(drawn, again)
        return drawn

    adapt = {**QUICK, "kind": "lora", "layers": "all", "learning_rate": 0.1}
    assert not np.array_equal(changed(), changed(adapt=adapt))


@pytest.mark.parametrize("readings", [0, 1])
def test_a_model_with_numbers_that_are_not_finite_is_named(
    tiny_pipeline: Path, tmp_path: Path, readings: int
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_pipeline, tmp_path / "broken")
    (file,) = (tmp_path / "broken" / "unet").glob("*.safetensors")
    weights = load_file(file)
    weights["conv_out.bias"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    config = settings(tmp_path / "broken", adapt={"kind": "lora", "readings": readings})
    with pytest.raises(InputError, match="before anything was learnt") as caught:
        fit(config, tmp_path / "fit")
    assert "learning_rate" not in str(caught.value)
    assert "dtype: float32" in str(caught.value)


def test_classes_whose_adapter_did_not_help_are_named(tiny_pipeline: Path, tmp_path: Path) -> None:
    def copying(_step: int, samples: ImageBatch) -> MonitorReading:
        copies = 0 in samples.labels
        return MonitorReading(value=0.4 if copies else 1.2, acceptable=not copies)

    adapt = {"kind": "lora", "per_class": True, "layers": "all", "learning_rate": 1.0}
    config = settings(tiny_pipeline, adapt={**adapt, "monitor_images": 2})
    facts = fit(config, tmp_path, monitor=copying).facts()
    assert [words for words in facts["warnings"] if "step" in words] == [
        "No step of the adaptation of 'crane' drew samples that do not copy.",
        (
            "No step of the adaptation of 'gull' was better than the pretrained pipeline: what is "
            "sampled of this class is the pipeline as it was."
        ),
    ]
    assert facts["copying_acceptable"] is False
    assert [one["value"] for one in facts["readings"]] == pytest.approx([0.8, 0.8])


def test_losses_of_several_adapters_are_means() -> None:
    def told(kept: int, *losses: float) -> dict[str, Any]:
        curve = [*enumerate(losses)]
        return {
            **dict.fromkeys(("steps_planned", "steps_done"), len(losses) - 1),
            "kept_step": kept,
            "parameters": 5,
            "losses": curve[1:],
            "readings": [],
            "copying_watched": False,
            "copying_acceptable": None,
            "curves": {"validation_loss": curve},
        }

    every = [told(0, 1.0, 3.0, 4.0), told(2, 2.0, 1.5, 1.0), told(1, 3.0, 2.0)]
    assert validation_losses(every) == {"loss_before": 2.0, "loss_after": pytest.approx(4 / 3)}
    together = told_together(every)
    assert together["losses"] == [(1, pytest.approx(6.5 / 3))]
    assert together["curves"]["validation_loss"] == [(0, 2.0), (1, pytest.approx(6.5 / 3))]
    assert (together["kept_step"], together["steps_done"], together["parameters"]) == (3, 5, 15)
    assert told_together(every[:1]) == every[0]
    (words,) = warnings_of(every, ("crane", "gull", "tern"))
    assert "the adaptation of 'crane' was" in words
    (words,) = warnings_of(every[:1], ("crane",))
    assert words.startswith("No step of its adaptation was better")
    # Better by its loss at each step, and copying from the first on.
    copying = [{"step": k, "value": 0.5, "acceptable": k == 0, "detail": {}} for k in range(3)]
    watched = {"readings": copying, "copying_watched": True, "copying_acceptable": True}
    (words,) = warnings_of([{**told(0, 3.0, 2.0, 1.0), **watched}], ("crane",))
    assert words.startswith("No step of its adaptation drew samples that do not copy: what is")


def prior_prompts(model: Path, folder: Path, prior: dict[str, Any], **further: Any) -> list[str]:
    """What the images of a prior are drawn from: cranes stand on grass, gulls on sand or rock."""
    config = settings(model, adapt={"kind": "lora", "prior": prior}, **further)
    places = np.array(["grass", "grass", "grass", "sand", "sand", "rock"])
    train = replace(inputs().train, attributes={"place": places})
    run, facts = RunContext(folder=folder, seed=1), noted(config, train, seed=1)
    bench = open_bench(config, facts=facts, run=run)
    assert config.adapt.prior is not None
    found = preserved(
        config.adapt.prior, bench.draws, bench.latents, config=config, facts=facts, run=run
    )
    return [*found.prompts]


def test_a_prior_shows_attributes_as_the_training_images_have_them(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    told = prior_prompts(tiny_pipeline, tmp_path, {"images": 8}, prompt="a {label} on {place}")
    assert told[::2] == ["a crane on grass"] * 4
    assert {*told[1::2]} == {"a gull on sand", "a gull on rock"}


def test_placeholders_of_a_prior_are_filled_for_the_classes_in_turn(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    prior = {"images": 12, "prompts": ["{label}, {place}", "a bird", "an old {label}"]}
    told = prior_prompts(tiny_pipeline, tmp_path / "1", prior, names={"gull": "sea gull"})
    assert told.count("a bird") == 4
    named = [text for text in told if text != "a bird"]
    assert ["crane" in text for text in named] == [True, False] * 4
    assert all("sea gull" in text for text in named[1::2])
    assert sum(text.startswith("an old ") for text in named) == 4
    assert {text.partition(", ")[2] for text in named[::2]} <= {"", "grass"}
    assert told == prior_prompts(tiny_pipeline, tmp_path / "2", prior, names={"gull": "sea gull"})
    with pytest.raises(InputError, match="attribute 'palce'"):
        prior_prompts(tiny_pipeline, tmp_path, {"prompts": ["{label} on {palce}"]})


def test_filled_prompts_of_a_prior_that_are_not_read_to_their_end_are_told(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    prior = {"images": 4, "prompts": ["a {label} of many colours"]}
    config = settings(
        tiny_pipeline,
        adapt={"kind": "lora", "steps": 1, "readings": 0, "prior": prior},
        names={"crane": "a", "gull": "b"},
        prompt="{label}",
    )
    (words,) = fit(config, tmp_path).facts()["warnings"]
    assert words.startswith("the prompt of the prior 'a a of many colours' is longer than")
