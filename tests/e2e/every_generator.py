"""A small study of drawn images for every registered generator, with what that generator needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthlift.spec.study import Study
from tests.e2e.tiny import draw_folder, study_of

KINDS = (
    "flow",
    "gan",
    "vae",
    "translation",
    "cut_paste",
    "pool",
    "text_to_image",
    "image_to_image",
)
TRAINED = ("flow", "gan", "vae", "translation", "text_to_image")
"""Those whose fit takes steps, with check-points in between."""

PROMPTED = ("text_to_image", "image_to_image")
"""Those that draw with a pretrained pipeline."""

STEPS: dict[str, Any] = {"steps": 300, "checkpoint_seconds": 0.05, "readings": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "flow": {**STEPS, "sampler_steps": 2},
    "gan": {**STEPS, "batch_size": 8, "width": 16},
    "vae": {**STEPS, "width": 32},
    "translation": {**STEPS, "steps": 60, "batch_size": 4, "width": 8, "reserved": 0.1},
    "cut_paste": {"backgrounds": ["ramp"]},
    "pool": {"reserved": 0.1},
    "text_to_image": {
        "sampler_steps": 1,
        "micro_batch": 16,
        "adapt": {**STEPS, "kind": "lora", "batch_size": 4, "monitor_images": 20},
    },
    "image_to_image": {"method": "between_classes", "sampler_steps": 2, "micro_batch": 16},
}


def study_with(
    kind: str, place: Path, *, pipeline: Path | None = None, per_class: int = 36, **changes: Any
) -> Study:
    """A study whose one generator is of this kind; what it reads lies in ``place``.

    Args:
        kind: of the generator.
        place: a folder that is made, or was made by an earlier call.
        pipeline: folder of a text-to-image pipeline, for the kinds that draw with one.
        per_class: images a class.
        changes: of the generator's settings.
    """
    source = place / "ours"
    if not source.is_dir():
        draw_folder(source, per_class=per_class)
    settings: dict[str, Any] = {"kind": kind, **SETTINGS[kind], **changes}
    data: dict[str, Any] = {
        "source": str(source),
        "split": {"design": "fixed", "validation": 0.25},
    }
    if kind in ("pool", "translation"):
        elsewhere = place / "theirs"
        if not elsewhere.is_dir():
            draw_folder(elsewhere, per_class=150, seed=91)
        settings["source"] = str(elsewhere)
    if kind == "cut_paste":
        data["masks"] = str(masks_of(source, place / "masks"))
    if kind in PROMPTED:
        settings["model"] = str(pipeline)
    mixed = {"kind": "mixed", "multiples": [4], "recipes": ["best_rival"]}
    return study_of(
        source,
        name=f"every {kind}",
        data=data,
        generators=[settings],
        arms=["real", mixed],
        curation=["exact_duplicates"],
        replicates=1,
        generator_fits=1,
        plugins=[],
    )


def masks_of(source: Path, place: Path) -> Path:
    """A folder of masks beside drawn images: a square in discs and bars, nothing in ramps."""
    for path in sorted(source.glob("*/*.png")):
        mask = np.zeros((8, 8), np.uint8)
        if path.parent.name != "ramp":
            mask[2:6, 3:6] = 255
        target = place / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    return place
