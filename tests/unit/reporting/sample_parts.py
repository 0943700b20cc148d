"""Digit thumbnails and costs for the report's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from synthlift.reporting import Picture, write_gallery
from synthlift.seeds import generator_for
from synthlift.spec.facts import Cost, GalleryImage


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
