"""A finished run of a tiny study on drawn images, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from synthlift import api

CLASSES = ("circle", "cross", "square")


@pytest.fixture(scope="session")
def draw_images() -> Callable[..., Path]:
    """Draw a folder of circles, crosses and squares, 20 × 16 pixels, in colour."""

    def draw(folder: Path, *, per_class: int = 10) -> Path:
        rng = np.random.default_rng(0)
        for name in CLASSES:
            (folder / name).mkdir(parents=True)
            for number in range(per_class):
                image = Image.new("RGB", (20, 16), tuple(map(int, rng.integers(0, 60, 3))))
                pen, colour = ImageDraw.Draw(image), tuple(map(int, rng.integers(150, 255, 3)))
                x, y, side = int(rng.integers(2, 8)), int(rng.integers(1, 5)), 8
                box = (x, y, x + side, y + side)
                if name == "circle":
                    pen.ellipse(box, outline=colour)
                elif name == "square":
                    pen.rectangle(box, outline=colour)
                else:
                    pen.line(box, fill=colour)
                    pen.line((x + side, y, x, y + side), fill=colour)
                image.save(folder / name / f"{number:03d}.png")
        return folder

    return draw


@pytest.fixture(scope="session")
def tiny_study(
    tmp_path_factory: pytest.TempPathFactory, draw_images: Callable[..., Path]
) -> dict[str, Any]:
    """A study that ends in seconds and shows nothing."""
    source = draw_images(tmp_path_factory.mktemp("data") / "shapes")
    split = {"design": "fixed", "test": 0.3, "validation": 0.2}
    return {
        "name": "tiny",
        "data": {"source": str(source), "image_size": 8, "split": split},
        "generators": [{"kind": "flow", "steps": 30}],
        "curation": ["exact_duplicates"],
        "arms": ["real", {"kind": "mixed", "multiples": [2], "recipes": ["plain"]}],
        "training": {"steps": 10, "flip": "no"},
        "replicates": 1,
        "generator_fits": 1,
    }


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_study: dict[str, Any], private_folders: Path
) -> api.Run:
    """The tiny study, done."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return api.run(tiny_study, out=out, workers=1, device="cpu", command="synthlift run tiny")
