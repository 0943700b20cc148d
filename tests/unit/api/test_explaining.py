"""Explanations of a finished run's answers beside masks of what they should look at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_explanations_are_held_against_masks(finished: api.Run, tmp_path: Path) -> None:
    source = Path(finished.study.data.source)
    file = source / "cross/000.png"
    with Image.open(file) as image:
        width, height = image.size
    left = np.zeros((height, width), np.uint8)
    left[:, : width // 2] = 255
    for name, mask in (("left", left), ("right", 255 - left), ("all", np.full_like(left, 9))):
        (tmp_path / name / "cross").mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / name / "cross" / "000_mask.png")
    told = {}
    for name in ("left", "right", "all"):
        result = cli("classify", finished.path, source, "--masks", tmp_path / name, "--json")
        answers = {Path(one["file"]): one for one in json.loads(result.stdout)}
        assert len(answers) == 30
        assert sum(one["mask_covers"] is not None for one in answers.values()) == 1
        told[name] = answers[file]["evidence_inside"], answers[file]["mask_covers"]
    # The picture is padded to a square, and what was added belongs to no mask.
    assert told["all"][1] == pytest.approx(0.75)
    for part in (0, 1):
        parts = told["left"][part] + told["right"][part]
        assert parts == pytest.approx(told["all"][part], abs=1e-6)
    text = cli("classify", finished.path, source, "--masks", tmp_path / "left").stdout
    told_of = "mean of 1 picture" if told["left"][0] is not None else "no picture has a mask"
    assert told_of in text


def test_masks_that_do_not_fit_the_pictures(finished: api.Run, tmp_path: Path) -> None:
    source = Path(finished.study.data.source)
    with pytest.raises(InputError, match="none of 30 images has a mask in"):
        api.classify(finished.path, [source], masks=tmp_path)
    (tmp_path / "cross").mkdir()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "cross" / "000.png")
    with pytest.raises(InputError, match=r"another size than their image: .*000.png \(4 × 3"):
        api.classify(finished.path, [source], masks=tmp_path)
