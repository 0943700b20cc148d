"""Digit thumbnails, generators and costs for the report's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits

from synthlift.reporting import Picture, write_gallery
from synthlift.seeds import generator_for
from synthlift.spec.facts import (
    Cost,
    Estimate,
    GalleryImage,
    GeneratorResult,
    MembershipFigure,
    QualityFigure,
)


def sample_gallery(folder: Path, classes: Sequence[str]) -> list[GalleryImage]:
    """Digits as real, kept (smoothed mixtures) and rejected images, and four pairs."""
    digits = load_digits()
    pixels = (digits.images / 16 * 255).astype(np.uint8)[..., None]
    random = generator_for(7, "gallery")
    reasons = ("taken for class eight", "copy of training image 12_3", "exact duplicate")
    items: list[Picture] = []
    for index, name in enumerate(classes):
        rows = np.flatnonzero(digits.target == index % 10)[:24]
        for row in rows[:8]:
            items.append(Picture(pixels[row], "real", name))
        for a, b in zip(rows[:8], rows[8:16], strict=True):
            mixed = (pixels[a] * 0.5 + pixels[b] * 0.5).astype(np.uint8)
            items.append(Picture(mixed, "kept", name, generator="flow", score=0.93))
        for k, row in enumerate(rows[16:20]):
            noise = random.integers(-70, 70, pixels[row].shape)
            noisy = np.clip(pixels[row] + noise, 0, 255).astype(np.uint8)
            reason = reasons[k % 3]
            items.append(Picture(noisy, "rejected", name, "flow", reason, 0.12 + 0.1 * k))
    for pair in range(4):
        second = pixels[pair * 11]
        shaken = second + random.integers(-25, 25, second.shape)
        first = np.clip(shaken, 0, 255).astype(np.uint8)
        label = classes[pair % len(classes)]
        distance = 0.31 + 0.12 * pair
        items.append(
            Picture(first, "copy_query", label, "flow", "kept", pair=pair, distance=distance)
        )
        items.append(Picture(second, "copy_neighbour", label, pair=pair, distance=distance))
    return write_gallery(folder, items)


def sample_costs() -> list[Cost]:
    rows = [("read", 1, 2.1, 190), ("fit", 5, 71.0, 640), ("sample", 60, 33.0, 655)]
    rows += [("judge", 60, 6.0, 410), ("model", 160, 154.0, 520), ("predict", 160, 9.0, 300)]
    return [
        Cost(
            stage=stage,
            tasks=tasks,
            seconds=seconds,
            cpu_seconds=seconds * 0.97,
            peak_memory_mib=mib,
            energy_kwh=seconds * 4.2e-6,
            energy_method="estimated: CPU seconds × 15 W per core",
            disk_mib=seconds / 3,
        )
        for stage, tasks, seconds, mib in rows
    ]


def sample_generator() -> GeneratorResult:
    history = [
        {
            "step": float(step),
            "loss": 0.15 + 0.9 * 2 ** (-step / 300),
            "copying_ratio": 1.6 - 0.55 * step / 2000,
        }
        for step in range(0, 2001, 100)
    ]
    return GeneratorResult(
        name="flow",
        kind="flow",
        fits=5,
        parameters=412_000,
        copying_ratio=Estimate(
            value=1.07, low=1.01, high=1.12, n=5, method="mean and range, 5 fits"
        ),
        copying_controls={"blurred": 0.81, "noised": 1.34},
        under_trained=True,
        images_per_second=212.0,
        fit_seconds=41.0,
        energy_kwh=0.0017,
        quality=[
            _quality(name, value)
            for name, value in {
                "cas": 0.86,
                "kid": 0.21,
                "told_apart": 0.7,
                "precision": 0.8,
                "recall": 0.55,
            }.items()
        ],
        membership=[_attack("loss", 0.62, 0.04), _attack("likelihood", 0.57, 0.02)],
        history=history,
        config={"steps": 2000, "guidance_scale": 1.5, "ema": 0.999},
    )


def _attack(name: Literal["loss", "likelihood"], auc: float, caught: float) -> MembershipFigure:
    return MembershipFigure(
        attack=name,
        auc=Estimate(value=auc, low=auc - 0.04, high=auc + 0.04, n=5, method="mean over fits"),
        caught=Estimate(value=caught, low=0.0, high=0.1, n=5, method="mean and range over fits"),
        images=100,
    )


def sample_gan() -> GeneratorResult:
    values = {"cas": 0.62, "kid": 1.8, "told_apart": 0.97, "precision": 0.31, "recall": 0.08}
    return sample_generator().model_copy(
        update={
            "name": "gan",
            "membership": [],
            "kind": "gan",
            "images_per_second": 5400.0,
            "energy_kwh": 0.00021,
            "quality": [_quality(name, value) for name, value in values.items()],
            "under_trained": False,
        }
    )


def _quality(name: str, value: float) -> QualityFigure:
    floors = {"cas": 0.93, "kid": 0.01, "told_apart": 0.51, "precision": 0.88, "recall": 0.9}
    estimate = Estimate(
        value=value, low=0.9 * value, high=1.02 * value, n=5, method="mean and range over fits"
    )
    return QualityFigure(name=name, value=estimate, floor=floors[name], images=300, held_out=90)
