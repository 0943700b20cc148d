"""The small CLIP that comes with the package tells what drawings show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthlift.drawings import BACKGROUNDS, COLOURS, SLANTS, THICKNESSES, WORDS
from synthlift.embedded import embedded_model
from tests.judges import fresh_drawings

MOST_BYTES = 3 * 2**20
ASKED = {
    "word": ("a photo of a {}", WORDS, 0.75),
    "colour": ("a {} drawing", tuple(COLOURS), 0.95),
    "slant": ("a drawing {}", tuple(SLANTS), 0.9),
    "thickness": ("a {} drawing", tuple(THICKNESSES), 0.9),
    "background": ("a drawing on a {} background", tuple(BACKGROUNDS), 0.95),
}
"""Trait → text, values, and the least share of held-out drawings that zero-shot gets right."""


def test_zero_shot_tells_traits_of_drawings_that_it_never_saw() -> None:
    transformers = pytest.importorskip("transformers")
    folder = embedded_model("clip")
    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32)
    processor = transformers.CLIPProcessor.from_pretrained(folder)
    pictures, traits = fresh_drawings(400, seed=11)
    found = {}
    for name, (text, values, least) in ASKED.items():
        asked = processor(
            text=[text.format(value) for value in values],
            images=list(pictures),
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            best = model(**asked).logits_per_image.argmax(dim=1).numpy()
        shown = np.array([values.index(getattr(one, name)) for one in traits])
        found[name] = float((best == shown).mean())
        assert found[name] >= least, found


def test_the_packaged_model_is_small_and_has_safe_weights_only() -> None:
    files = [path for path in embedded_model("clip").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
