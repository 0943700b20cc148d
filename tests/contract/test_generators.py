from __future__ import annotations

import pytest

from synthlift.registry import ComponentConfig, available
from synthlift.testing.generators import CHECKS, Check, check_generator

CONFIGS: dict[str, list[dict[str, object]]] = {
    "flow": [
        {"steps": 4, "sampler_steps": 2, "micro_batch": 4},
        {"steps": 3, "sampler_steps": 3, "sampler": "euler", "guidance_scale": 1, "micro_batch": 5},
        {"steps": 2, "sampler_steps": 1, "network": "unet", "width": 8, "micro_batch": 4},
        {"steps": 3, "sampler_steps": 3, "parametrisation": "edm", "micro_batch": 4},
        {
            "steps": 2,
            "sampler_steps": 3,
            "parametrisation": "edm",
            "network": "unet",
            "width": 8,
            "guidance_interval": [0.2, 0.8],
            "micro_batch": 5,
        },
        {"steps": 3, "sampler_steps": 2, "width": 8, "micro_batch": 4, "autoencoder": "tiny"},
    ],
    "gan": [
        {"steps": 4, "batch_size": 8, "width": 16, "micro_batch": 4, "augmentation": 0.0},
        {"steps": 3, "batch_size": 8, "width": 16, "micro_batch": 5, "readings": 0},
    ],
    "vae": [{"steps": 4, "width": 32, "micro_batch": 4}, {"steps": 2, "latent": 2, "depth": 1}],
    "cut_paste": [{}, {"blend": "alpha", "objects": [1, 2], "apart": False}, {"blend": "mixed"}],
    "pool": [{"source": "./elsewhere"}],
    "translation": [
        {"source": "./elsewhere", "steps": 3, "batch_size": 4, "width": 8, "micro_batch": 4},
        {
            "source": "./elsewhere",
            "pairing": "name",
            "steps": 3,
            "batch_size": 4,
            "width": 8,
            "micro_batch": 5,
        },
        {"source": "masks", "steps": 3, "batch_size": 4, "width": 8, "reserved": 0.3},
    ],
    "text_to_image": [
        {"model": "tiny", "sampler_steps": 2, "micro_batch": 4},
        {
            "model": "tiny",
            "sampler_steps": 1,
            "micro_batch": 3,
            "prompt": ["a photo of {label}", "{label} on {ground}"],
            "phrases": {"ground": ["sand", "snow", "grass"]},
            "combine": "all",
            "scheduler": "EulerDiscreteScheduler",
        },
    ],
    "image_to_image": [
        {"model": "tiny", "sampler_steps": 4, "micro_batch": 4},
        {"model": "tiny", "method": "between_classes", "sampler_steps": 2, "micro_batch": 3},
        {"model": "tiny", "method": "inpainting", "sampler_steps": 1, "micro_batch": 4},
    ],
}
CASES = [(kind, settings) for kind, several in CONFIGS.items() for settings in several]


def test_every_registered_generator_is_tested() -> None:
    assert set(available("generators")) == set(CONFIGS)


@pytest.fixture
def config(
    kind: str, settings: dict[str, object], request: pytest.FixtureRequest
) -> ComponentConfig:
    """The settings, with a model where the kind needs one: its libraries take seconds."""
    if settings.get("model") == "tiny":
        settings = {**settings, "model": str(request.getfixturevalue("tiny_pipeline"))}
    if settings.get("autoencoder") == "tiny":
        settings = {**settings, "autoencoder": str(request.getfixturevalue("tiny_autoencoder"))}
    return available("generators")[kind].config.model_validate(settings)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "settings"), CASES, ids=lambda value: str(value))
def test_contract(
    kind: str, settings: dict[str, object], config: ComponentConfig, check: Check
) -> None:
    check(available("generators")[kind], config)


def test_the_whole_suite_runs_at_once() -> None:
    descriptor = available("generators")["flow"]
    check_generator(descriptor, descriptor.config.model_validate(CONFIGS["flow"][0]))
