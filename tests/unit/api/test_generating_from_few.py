"""A folder in which a class has hardly any image: generators learn from it, studies refuse it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError


@pytest.fixture
def few(tmp_path: Path, draw_images: Callable[..., Path]) -> Path:
    """Twelve circles, one cross, two squares."""
    place = draw_images(tmp_path / "few", per_class=12)
    for name, kept in (("cross", 1), ("square", 2)):
        for path in sorted((place / name).glob("*.png"))[kept:]:
            path.unlink()
    return place


def test_generate_learns_from_one_image_of_a_class_and_claims_nothing(
    few: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = ["generate", str(few), "--out", str(out), "--per-class", "2", "--workers", "1"]
    learner = "generators=[{kind: vae, steps: 5, readings: 1}]"
    said = CliRunner().invoke(app, [*asked, "--set", learner])
    assert said.exit_code == 0, said.output
    counts = {path.name: len(list(path.iterdir())) for path in (out / "images").iterdir()}
    assert counts == {"circle": 2, "cross": 2, "square": 2}
    words = " ".join(said.output.split())
    assert "fitted on 13 images, watched on 1, 1 left out; none of 'cross', 'square' is" in words
    assert "held out to tell whether images of it are copies." in words


def test_a_study_of_it_is_refused(few: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few usable images: 'cross' has 1, 'square' has 2"):
        api.run(few, out=tmp_path / "run", workers=1)
