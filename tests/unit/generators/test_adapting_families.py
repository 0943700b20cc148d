"""Families of which a language model reads the prompts: what is learnt is what they sample by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.adapting.bench import Bench, open_bench
from synthlift.generators.adapting.learner import Batch
from synthlift.generators.pipelines.adapter_settings import LoraAdaptation
from synthlift.generators.pipelines.noting import noted
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.types import RunContext
from tests.further_pipelines import (
    tiny_flux_2,
    tiny_flux_2_klein,
    tiny_qwen_image,
    tiny_sana_sprint,
    tiny_z_image,
)
from tests.newer_pipelines import (
    tiny_aura_flow,
    tiny_chroma,
    tiny_cogview_4,
    tiny_krea_2,
    tiny_lumina,
    tiny_lumina_2,
    tiny_ovis_image,
    tiny_prx,
)
from tests.pipelines import tiny_flux, tiny_pixart, tiny_sana, tiny_stable_diffusion_3
from tests.rarer_pipelines import tiny_cogview_3, tiny_flux_kontext, tiny_kolors
from tests.unit.generators.adapting import draw, fit, images, inputs, learnt_files, settings

LORA = {"kind": "lora"}
LORA_FILE = "pytorch_lora_weights.safetensors"
PROMPTS = ("a crane", "two gulls")
"""Of different length, which some pad together."""
LEARNT_WORDS = {"kind": "textual_inversion", "vectors": 2, "learning_rate": 0.5}


class Family(NamedTuple):
    """A kind of pipelines, and how its call differs from that of others.

    Attributes:
        build: a tiny one.
        unguided: arguments with which its network is called once a step.
        packed: whether it takes given noise as a row of patches.
        side: of the images that it draws, in pixels.
    """

    build: Callable[[Path], Path]
    unguided: dict[str, Any]
    packed: bool = False
    side: int = 16


FAMILIES = {
    "qwen": Family(tiny_qwen_image, {"true_cfg_scale": 1}, packed=True),
    "z-image": Family(tiny_z_image, {"guidance_scale": 0}),
    "klein": Family(tiny_flux_2_klein, {"guidance_scale": 1}),
    "flux-2": Family(tiny_flux_2, {"guidance_scale": 2}),
    "flux": Family(tiny_flux, {"guidance_scale": 2}, packed=True),
    "sd3": Family(tiny_stable_diffusion_3, {"guidance_scale": 1}),
    "sana": Family(tiny_sana, {"guidance_scale": 1}, side=32),
    "lumina-2": Family(tiny_lumina_2, {"guidance_scale": 1}, side=64),
    "lumina": Family(tiny_lumina, {"guidance_scale": 1}, side=64),
    "chroma": Family(tiny_chroma, {"guidance_scale": 1}, packed=True),
    "aura-flow": Family(tiny_aura_flow, {"guidance_scale": 1}),
    "ovis": Family(tiny_ovis_image, {"guidance_scale": 1}, packed=True),
    "prx": Family(tiny_prx, {"guidance_scale": 1}),
    "krea-2": Family(tiny_krea_2, {"guidance_scale": 0}, packed=True),
    "kontext": Family(tiny_flux_kontext, {"guidance_scale": 2, "max_area": 256}, packed=True),
}
RARE = ("kontext",)
TOLD = [pytest.param(one, marks=pytest.mark.slow) if one in RARE else one for one in FAMILIES]
BINNED = ("sana", "prx")
"""Those that would draw at the nearest size that was published of their kind."""
READ_BY_LANGUAGE_MODELS = [
    "qwen",
    "z-image",
    "klein",
    pytest.param("flux-2", marks=pytest.mark.slow),
]


class Step(NamedTuple):
    """What a network was told in a step of a drawing, and what it would have answered."""

    told: dict[str, Any]
    answer: Any


@contextmanager
def knowing(bench: Bench, target: Tensor, steps: list[Step]) -> Iterator[None]:
    """Have a network answer what leads straight to an image, whatever it is told."""
    network = bench.pipeline.transformer
    shape = bench.denoising.shape

    signature = inspect.signature(network.forward)

    def answered(_network: Any, given: Sequence[Any], named: dict[str, Any], out: Any) -> Any:
        steps.append(Step(signature.bind(*given, **named).arguments, out[0]))
        right = shape.sign * target
        if not shape.listed:  # a variance, where there is one, is not used
            right = torch.cat([right, torch.zeros_like(out[0][:, right.shape[1] :])], dim=1)
        return (list(right) if shape.listed else right, *out[1:])

    handle = network.register_forward_hook(answered, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def bench_of(family: Family, folder: Path) -> Bench:
    guidance = family.unguided.get("guidance_scale", 1)
    model, adapt = family.build(folder / "model"), LORA
    size = "auto" if family.build in (tiny_sana, tiny_prx) else family.side
    config = settings(model, adapt=adapt, size=size, guidance_scale=guidance)
    facts = noted(config, inputs().train, seed=1)
    return open_bench(config, facts=facts, run=RunContext(folder=folder, seed=1))


def reconstructed(vae: Any, pixels_nhwc: np.ndarray) -> np.ndarray:
    """What an autoencoder makes of images, by itself."""
    x = torch.from_numpy(pixels_nhwc).permute(0, 3, 1, 2).float() / 127.5 - 1
    film = type(vae).__name__ == "AutoencoderKLQwenImage"
    with torch.no_grad():
        out = vae.encode(x[:, :, None] if film else x)
        z = out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latent
        decoded = vae.decode(z, return_dict=False)[0]
    found: Tensor = decoded[:, :, 0] if film else decoded
    return (found / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("family", TOLD)
def test_the_loss_is_that_of_the_way_which_the_pipeline_goes(family: str, tmp_path: Path) -> None:
    kind = FAMILIES[family]
    bench = bench_of(kind, tmp_path)
    pipeline, stream = bench.pipeline, np.random.default_rng(0)
    pixels = stream.integers(0, 256, (2, kind.side, kind.side, 3), np.uint8)
    clean = bench.latents.of_pixels(pixels)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    target, steps = bench.latents.packed(noise - clean), list[Step]()
    given = bench.latents.packed(noise) if kind.packed else noise
    with knowing(bench, target, steps):
        drawn = pipeline(
            prompt=list(PROMPTS),
            num_inference_steps=3,
            height=kind.side,
            width=kind.side,
            latents=given,
            output_type="np",
            **({"use_resolution_binning": False} if family in BINNED else {}),
            **kind.unguided,
        ).images
    # The pipeline's own steps with the velocity that is learnt end at the image: its layout, its
    # scale and its sign are those of the pipeline's own way back to pixels.
    assert np.abs(drawn - reconstructed(pipeline.vae, pixels)).max() < 2e-4
    assert len(steps) == 3
    compared = 0
    sigmas, times = pipeline.scheduler.sigmas, pipeline.scheduler.timesteps
    shift = pipeline.scheduler.config
    shift = 1 if shift.use_dynamic_shifting else shift.get("shift") or shift.get("flow_shift")
    shape = bench.denoising.shape
    for step, sigma, time in zip(steps, sigmas, times, strict=False):
        told = dict(step.told)
        packed = bench.latents.packed((1 - sigma) * clean + sigma * noise)
        shape.tells(told, images=packed, times_n=time.expand(2))
        for name in (shape.image, shape.time):
            told_, own = (stacked(one[name]) for one in (told, step.told))
            assert torch.allclose(told_, own, atol=1e-5), name
        # And so is the error of what the network itself answers there.
        level = torch.special.ndtr(torch.logit(sigma / (shift - (shift - 1) * sigma)))
        if not 1e-6 < level < 1 - 1e-6:  # which is never drawn
            continue
        batch = Batch(clean, PROMPTS, noise, level.expand(2), torch.ones(2))
        with torch.no_grad():
            learnt = bench.denoising.errors(batch)
        answer = shape.sign * stacked(step.answer)[:, : target.shape[1]]
        wrong = (answer - target).square().flatten(1).mean(1)
        assert torch.allclose(learnt, wrong, rtol=1e-3), float(sigma)
        compared += 1
    assert compared


def stacked(one: Any) -> Tensor:
    found: Tensor = torch.stack(one) if isinstance(one, list) else one
    return found


@pytest.mark.parametrize("family", READ_BY_LANGUAGE_MODELS)
def test_language_models_families_learn_and_diffusers_reads_it(family: str, tmp_path: Path) -> None:
    kind = FAMILIES[family]
    model = kind.build(tmp_path / "model")
    further = {"size": 16, "guidance_scale": kind.unguided.get("guidance_scale", 1)}
    adapt = {**LORA, "steps": 12, "layers": "all", "readings": 2}
    # Images that are learnt are explained better and better.
    own = inputs(validation=images(0, 0, 0, 1, 1, 1, prefix="v"))
    config = settings(model, adapt=adapt, **further)
    generator = fit(config, tmp_path / "fit", inputs=own)
    losses = [loss for _, loss in generator.facts()["curves"]["validation_loss"]]
    assert losses[0] > losses[1] > losses[2]
    adapted, plain = draw(generator), draw(fit(settings(model, **further), tmp_path))
    assert not np.array_equal(adapted, plain)
    file = learnt_files(generator, tmp_path / "saved")[LORA_FILE]
    assert np.array_equal(draw(TextToImageGenerator(config).load(tmp_path / "saved")), adapted)
    # A file of which diffusers leaves anything out is refused.
    read = settings(model, loras=str(file), **further)
    assert np.array_equal(draw(fit(read, tmp_path / "read")), adapted)
    assert np.array_equal(drawn_by_diffusers(model, file, **kind.unguided), adapted)


def drawn_by_diffusers(model: Path, file: Path, **unguided: Any) -> np.ndarray:
    """What the four requests of ``draw`` ask for, drawn without this package."""
    from diffusers import DiffusionPipeline

    pipeline: Any = DiffusionPipeline.from_pretrained(model, local_files_only=True)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        prompt=[f"a photo of {word}" for word in ("crane", "gull", "crane", "gull")],
        num_inference_steps=1,
        generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
        height=16,
        width=16,
        output_type="np",
        **unguided,
    ).images
    pixels: np.ndarray = np.rint(drawn * 255).astype(np.uint8)
    return pixels


@pytest.mark.parametrize(
    "family",
    [
        "qwen",
        "z-image",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("klein", "flux-2")),
    ],
)
def test_a_killed_fit_of_them_goes_on_to_the_same_bits(family: str, tmp_path: Path) -> None:
    adapt = {**LORA, "readings": 0, "checkpoint_seconds": 1e-9, "flip": True}
    adapt |= {"prior": {"images": 2, "prompts": ["a bird"]}, "batch_size": 2}
    config = settings(FAMILIES[family].build(tmp_path / "model"), adapt=adapt, size=16)
    calm = fit(config, tmp_path / "calm")
    heard: list[tuple[str, dict[str, Any]]] = []

    def killed(done: int, _total: int, note: str) -> None:
        if note.startswith("loss") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "killed", progress=killed)
    resumed = fit(
        config, tmp_path / "killed", log=lambda event, **fields: heard.append((event, fields))
    )
    assert ("adapted.resumed", {"step": 2}) in heard
    assert resumed.facts()["adaptation"] == calm.facts()["adaptation"]


@pytest.mark.parametrize(
    ("build", "adapt"),
    [
        (tiny_qwen_image, LEARNT_WORDS),
        (tiny_qwen_image, {**LORA, "text_encoder": True, "gradient_checkpointing": True}),
        (tiny_z_image, LEARNT_WORDS),
        (tiny_z_image, {**LORA, "text_encoder": True, "gradient_checkpointing": True}),
        (tiny_pixart, LORA),
        (tiny_sana, LORA),
        (tiny_lumina_2, {**LORA, "layers": "all"}),
        (tiny_krea_2, {**LORA, "text_encoder": True}),
        *(
            pytest.param(build, adapt, marks=pytest.mark.slow)
            for build in (tiny_lumina_2, tiny_lumina, tiny_chroma, tiny_aura_flow, tiny_ovis_image)
            for adapt in (LEARNT_WORDS, {**LORA, "text_encoder": True})
        ),
        pytest.param(tiny_krea_2, LEARNT_WORDS, marks=pytest.mark.slow),
        pytest.param(tiny_prx, LORA, marks=pytest.mark.slow),
        pytest.param(tiny_pixart, LEARNT_WORDS, marks=pytest.mark.slow),
        pytest.param(tiny_sana, LEARNT_WORDS, marks=pytest.mark.slow),
        pytest.param(tiny_flux_2_klein, LEARNT_WORDS, marks=pytest.mark.slow),
        pytest.param(tiny_flux_2, LEARNT_WORDS, marks=pytest.mark.slow),
        pytest.param(tiny_flux_2, {**LORA, "text_encoder": True}, marks=pytest.mark.slow),
    ],
)
def test_words_and_text_encoders_are_learnt_too(
    build: Callable[[Path], Path], adapt: dict[str, Any], tmp_path: Path
) -> None:
    model = build(tmp_path / "model")
    own = (tiny_pixart, tiny_sana, tiny_prx, tiny_lumina, tiny_lumina_2)
    size = "auto" if build in own else 16
    config = settings(model, adapt={**adapt, "readings": 0}, size=size)
    generator = fit(config, tmp_path / "fit")
    adapted = draw(generator)
    generator.save(tmp_path / "saved")
    assert np.array_equal(draw(TextToImageGenerator(config).load(tmp_path / "saved")), adapted)
    assert not np.array_equal(adapted, draw(fit(settings(model, size=size), tmp_path)))


def test_a_network_distilled_for_few_steps_is_refused(tmp_path: Path) -> None:
    model = tiny_sana_sprint(tmp_path / "model")
    with pytest.raises(InputError, match="was distilled into a consistency model") as caught:
        settings(model, adapt=LORA)
    assert "leave 'adapt' out" in caught.value.remedy


@pytest.mark.parametrize("adapt", [LEARNT_WORDS, {**LORA, "text_encoder": True}])
def test_texts_that_are_read_without_gradients_are_refused(
    adapt: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny_prx(tmp_path / "model")
    with pytest.raises(InputError, match="only its network learns"):
        settings(model, adapt=adapt)
    # Several images of several prompts are drawn together, guided or not.
    plain, guided = (draw(fit(settings(model, guidance_scale=s), tmp_path)) for s in (1, 2))
    assert not np.array_equal(plain, guided)


def test_a_network_that_is_told_other_times_than_its_noise_is_refused(tmp_path: Path) -> None:
    model = tiny_cogview_4(tmp_path / "model")
    with pytest.raises(InputError, match="the times that its network is told") as caught:
        settings(model, adapt=LORA)
    assert "Lumina" in caught.value.rule
    # So it is where only the pipeline itself tells.
    learns = LoraAdaptation(kind="lora", steps=1, readings=0)
    config = settings(model, size=16).model_copy(update={"adapt": learns})
    with pytest.raises(InputError, match="the times that its network is told"):
        fit(config, tmp_path / "fit")


def test_a_size_that_a_pipeline_cannot_draw_is_refused(tmp_path: Path) -> None:
    config = settings(tiny_pixart(tmp_path / "model"), adapt=LORA, size=16)
    with pytest.raises(InputError, match="cannot be adapted: it cannot draw: Invalid sample size"):
        fit(config, tmp_path / "fit")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "way"),
    [
        (tiny_kolors, LORA),
        (tiny_cogview_3, LORA),
        (tiny_cogview_3, LEARNT_WORDS),
        (tiny_flux_kontext, LEARNT_WORDS),
    ],
)
def test_rarer_families_learn(
    build: Callable[[Path], Path], way: dict[str, Any], tmp_path: Path
) -> None:
    model, own = build(tmp_path / "model"), inputs(validation=images(0, 0, 1, 1, prefix="v"))
    config = settings(model, adapt={**way, "steps": 12, "readings": 2}, size=16)
    generator = fit(config, tmp_path / "fit", inputs=own)
    losses = [loss for _, loss in generator.facts()["curves"]["validation_loss"]]
    assert losses[0] > losses[-1]
    assert not np.array_equal(draw(generator), draw(fit(settings(model, size=16), tmp_path)))
