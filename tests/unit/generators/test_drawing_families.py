"""Families beside the usual ones draw: each as a tiny pipeline of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthlift.errors import InputError
from tests.newer_pipelines import (
    tiny_aura_flow,
    tiny_chroma,
    tiny_cogview_4,
    tiny_krea_2,
    tiny_lumina,
    tiny_lumina_2,
    tiny_ovis_image,
)
from tests.older_pipelines import tiny_deepfloyd_if, tiny_hunyuan_dit, tiny_kandinsky_3
from tests.unit.generators.test_abilities import called
from tests.unit.generators.test_text_to_image import draw, fitted

Build = Callable[[Path], Path]
OWN = "auto"
"""The size of those that draw at no other, or only at published ones."""
BUILT: list[tuple[Build, int | str]] = [
    (tiny_chroma, 32),
    (tiny_aura_flow, 32),
    (tiny_cogview_4, 32),
    (tiny_lumina_2, 32),
    (tiny_krea_2, 32),
    (tiny_deepfloyd_if, OWN),
    (tiny_hunyuan_dit, OWN),
    (tiny_kandinsky_3, 32),
]
FURTHER: list[tuple[Build, int | str]] = [(tiny_lumina, 32), (tiny_ovis_image, 32)]


def draws(build: Build, folder: Path, *, size: int | str) -> None:
    model = build(folder / "model")
    few: dict[str, Any] = {"size": size, "sampler_steps": 2, "guidance_scale": 3}
    generator = fitted(model, folder / "fit", negative_prompt="blur", **few)
    batch = draw(generator)
    assert batch.pixels.shape == (4, 16, 16, 3)
    assert all(np.ptp(image) > 0 for image in batch.pixels)
    assert np.array_equal(batch.pixels, draw(generator).pixels), "its noise goes by the seeds"
    assert (batch.pixels != draw(generator, prompt="z").pixels).any(), "words have a say"


@pytest.mark.parametrize(("build", "size"), BUILT, ids=lambda one: getattr(one, "__name__", one))
def test_they_draw(build: Build, size: int | str, tmp_path: Path) -> None:
    draws(build, tmp_path, size=size)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "size"), FURTHER, ids=lambda one: getattr(one, "__name__", one))
def test_further_ones_draw(build: Build, size: int | str, tmp_path: Path) -> None:
    draws(build, tmp_path, size=size)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("StableCascadeDecoderPipeline", "the second part of a cascade"),
        ("StableCascadePriorPipeline", "the first part of a cascade"),
        ("StableCascadeCombinedPipeline", "with guidance and steps for each"),
        ("WuerstchenCombinedPipeline", "with guidance and steps for each"),
    ],
)
def test_cascades_and_halves_of_them_are_refused(
    name: str, said: str, tiny_pipeline: Path, tmp_path: Path
) -> None:
    cascade = called(tiny_pipeline, tmp_path, _class_name=name)
    with pytest.raises(InputError, match=said):
        draw(fitted(cascade, tmp_path / "fit"))
