"""Studies with arms that augment in feature space: they make no pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.spec.study import Study
from tests.e2e.tiny import FLOW, Ran, comparable, home_of, run, study_of

HEADLESS = """
from torch import nn

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.vision.classifiers.base import ImageClassifier, ImageNetwork


class Headless(ImageClassifier):
    def __init__(self, config):
        pass

    initialisation = "trained from scratch"

    def build(self, task):
        height, width, channels = task.image_shape
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, task.classes))
        return ImageNetwork(trunk, nn.Identity(), mean=task.mean, std=task.std)


SYNTHLIFT = {
    "classifiers": [
        Descriptor(kind="headless", config=ComponentConfig, version="1",
                   target=f"{__name__}:Headless")
    ]
}
"""
MIXED = {"kind": "mixed", "multiples": [0.5], "recipes": ["plain"]}


def digits_study(**changes: Any) -> Study:
    split = {
        "design": "redrawn",
        "draws": 2,
        "long_tail": {"largest": 20, "smallest": 2},
        "validation": 0.1,
    }
    arms = ["real", "augmented", "feature_smote", "feature_mixup", MIXED]
    data = {"source": "sklearn:digits", "split": split}
    # Few steps teach a flow nothing that it could copy.
    asked = {"data": data, "arms": arms, "generators": [FLOW], "curation": []}
    return study_of("digits", **{**asked, **changes})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ran(home: Path) -> Ran:
    return run(digits_study(), home=home)


def test_heads_are_trained_on_real_images_alone(ran: Ran, home: Path) -> None:
    arms = {arm["name"]: arm for arm in ran.results["arms"]}
    for name in ("feature_smote", "feature_mixup"):
        assert arms[name]["role"] == "rival"
        assert sum(arms[name]["synthetic"].values()) == 0
        assert arms[name]["real"] == arms["augmented"]["real"]
    models = {
        name: {m: one["value"] for m, one in arms[name]["metrics"].items()}
        for name in ("augmented", "feature_smote", "feature_mixup")
    }
    assert models["feature_smote"] != models["augmented"]
    assert models["feature_smote"] != models["feature_mixup"]
    text = (ran.folder / "report.html").read_text()
    assert "head trained on features filled by SMOTE" in text
    with home_of(home):
        data = api.load(ran.folder).dataset("feature_smote")
    assert {image.origin for image in data.images} == {"real"}


@pytest.mark.slow  # the same for error targets is in the quick tests
def test_nothing_depends_on_the_number_of_workers(ran: Ran, tmp_path: Path) -> None:
    again = run(digits_study(), home=tmp_path, workers=2)
    assert comparable(again.results, again.folder) == comparable(ran.results, ran.folder)


def test_a_classifier_without_a_head_is_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "headless.py"
    plugin.write_text(HEADLESS)
    arms = ["real", "feature_smote"]
    study = digits_study(classifier="headless", arms=arms, generators=[], plugins=[str(plugin)])
    with pytest.raises(InputError, match="no weights"):
        run(study, home=tmp_path / "home")
    # Nothing half-written is left, and without the arm the classifier is as good as any.
    assert not (tmp_path / "home" / "run").exists()
    fine = digits_study(classifier="headless", arms=["real"], generators=[], plugins=[str(plugin)])
    assert run(fine, home=tmp_path / "home", out="fine").results["arms"]


@pytest.mark.parametrize("key", ["multiples: [2]", "generator: flow", "target: all"])
def test_what_means_nothing_to_it_is_refused(key: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"arms: [real, {{kind: feature_smote, {key}}}]\n")
    found = CliRunner().invoke(app, ["plan", str(file)])
    assert found.exit_code == 2
    assert "uses no synthetic images" in found.stderr
