"""What the tests of adapted pipelines share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted, TextToImageGenerator
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8

CLASSES = ("crane", "gull")
QUICK = {"batch_size": 4, "steps": 4, "readings": 1, "learning_rate": 0.02}


def images(*labels: int, seed: int = 0, prefix: str = "") -> ImageSet:
    """Noise, an image for each label."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 16, 16, 3), np.uint8)
    names = [f"{prefix}{i}" for i in range(len(labels))]
    return ImageSet.from_arrays(pixels, np.array(labels, np.int64), CLASSES, ids=names)


def inputs(train: ImageSet | None = None, validation: ImageSet | None = None) -> FitInputs:
    """Three images a class, and two a class for validation."""
    train = images(0, 0, 0, 1, 1, 1) if train is None else train
    none = train.ids[:0]
    return FitInputs(
        train=train,
        validation=images(0, 0, 1, 1, seed=1, prefix="v") if validation is None else validation,
        test=LockedTest(ids=none, groups=none, hashes=none),
    )


def settings(model: Path, *, adapt: dict[str, Any] | None = None, **further: Any) -> Any:
    """A Config with few steps."""
    given = {} if adapt is None else {"adapt": {**QUICK, **adapt}}
    return TextToImageConfig.model_validate(
        {"model": str(model), "sampler_steps": 1, "micro_batch": 4, **given, **further}
    )


def fit(config: TextToImageConfig, folder: Path, **run: Any) -> TextToImageFitted:
    """Fit on :func:`inputs`, or on those that are given."""
    given = run.pop("inputs", None) or inputs()
    context = RunContext(folder=folder, seed=run.pop("seed", 1), **run)
    return TextToImageGenerator(config).fit(given, run=context)


def draw(generator: TextToImageFitted, **params: Any) -> UInt8:
    """Two images a class."""
    wanted = [SampleRequest(index=i, label=i % 2, seed=i, params=params) for i in range(4)]
    return np.concatenate([batch.pixels for batch in generator.sample(wanted)])


def learnt_files(generator: TextToImageFitted, folder: Path) -> dict[str, Path]:
    """Save a generator; what it has learnt, by path within."""
    generator.save(folder)
    found = (folder / "adapter").rglob("*.safetensors")
    return {path.relative_to(folder / "adapter").as_posix(): path for path in sorted(found)}
