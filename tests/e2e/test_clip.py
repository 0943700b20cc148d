"""A study with a CLIP checkpoint: tunings as rivals of one study, the CLIP score, and CMMD."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthlift import api
from synthlift.errors import InputError
from synthlift.spec.loading import dump_study, load_study
from synthlift.spec.study import Study
from synthlift.web.inference.worker import Worker
from tests.e2e.tiny import Ran, draw_folder, home_of, run, study_of

ARMS: tuple[Any, ...] = (
    {"kind": "real", "tuning": "zero_shot"},
    {"kind": "real", "tuning": "linear_probe"},
    "real",
    {"kind": "mixed", "recipes": ["plain"]},
    {"kind": "pretrain_finetune", "recipes": ["plain"]},
)
CURATION: tuple[Any, ...] = ("exact_duplicates", {"kind": "clip_score", "keep": 0.8})


def clip_study(source: Path, model: Path, **changes: Any) -> Study:
    split = {"design": "redrawn", "draws": 2, "per_class": 16, "validation": 0.25}
    settings: dict[str, Any] = {
        "data": {"source": str(source), "split": split, "names": {"ramp": "slope"}},
        "clip": {"model": str(model), "templates": "a drawing of a {label}"},
        "classifier": "clip",
        "arms": list(ARMS),
        "curation": list(CURATION),
    }
    return study_of(source, **{**settings, **changes})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def ran(source: Path, tiny_clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("home")
    place = shutil.copytree(tiny_clips["transformers"], home / "weights")
    found = run(clip_study(source, place), home=home, out="clip")
    shutil.rmtree(place)  # what follows needs the checkpoint no more
    return found


def test_tunings_are_rows_of_one_study(ran: Ran) -> None:
    arms = {arm["name"]: arm for arm in ran.results["arms"]}
    assert list(arms) == [
        "real-zero_shot",
        "real-linear_probe",
        "real",
        "mixed@1",
        "pretrain_finetune@1",
    ]
    assert arms["real-zero_shot"]["recipe"]["tuning"] == "zero_shot"
    assert "tuning" not in arms["real"]["recipe"]
    for arm in arms.values():
        assert arm["replicates"] == 2
        assert 0 <= arm["metrics"]["balanced_accuracy"]["value"] <= 1
    assert sum(arms["real"]["real"].values()) == 3 * 16
    assert ran.results["verdict"]["rival"] == "real"  # predeclared: what trains as the study says
    assert "clip, lora" in ran.results["verdict"]["scope"]
    page = (ran.folder / "report.html").read_text()
    assert "tuning zero shot" in page


def test_zero_shot_is_the_same_whatever_it_was_given(ran: Ran) -> None:
    told = pd.read_parquet(ran.folder / "predictions.parquet")
    tested = told[(told["arm"] == "real-zero_shot") & (told["evaluation_set"] == "test")]
    by_replicate = tested.sort_values("image_id").groupby("replicate")["probabilities"]
    first, second = (np.stack(group.to_list()) for _, group in by_replicate)
    # The temperature follows the draw's validation images; what is likelier does not.
    assert np.array_equal(first.argsort(axis=1), second.argsort(axis=1))


def test_the_clip_score_and_cmmd_are_told(ran: Ran) -> None:
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    scored = told["score_clip_score"]
    assert scored.between(0, 1).all()
    assert scored.nunique() > 5
    rejected = told[told["rejected_by"] == "clip_score"]
    assert 0 < len(rejected) < len(told) / 2
    assert rejected["reason"].str.contains("among the least like the text of").all()
    (generator,) = ran.results["generators"]
    figures = {one["name"]: one for one in generator["quality"]}
    assert figures["cmmd"]["value"]["n"] == 2
    assert min(figures["cmmd"]["value"]["value"], figures["cmmd"]["floor"]) > 0
    assert ">CMMD<" in (ran.folder / "report.html").read_text()


def test_the_model_that_is_handed_over_classifies(ran: Ran, source: Path) -> None:
    with home_of(ran.folder.parent):
        found = list(api.classify(ran.folder, [source]))
    assert len(found) == 3 * 36
    assert {one.label for one in found} <= {"bars", "disc", "ramp"}


def test_the_web_app_classifies_with_it(ran: Ran, source: Path) -> None:
    models = {role: str(ran.folder / "models" / role) for role in ("rival", "generative")}
    files = sorted(source.glob("*/*.png"))[:3]
    request = {
        "do": "classify",
        "id": "one",
        "run": str(ran.folder),
        "models": list(models.values()),
        "rival": models["rival"],
        "files": [str(path) for path in files],
        "max_pixels": 10_000,
        "explain": True,
    }
    heard: list[Mapping[str, Any]] = []
    with home_of(ran.folder.parent):
        Worker(heard.append, device="cpu").take([request])
    told = heard[-1]
    assert told["event"] == "done", told
    assert {one["event"] for one in heard[:-1]} <= {"reading", "read"}
    expected = {one.file: one for one in api.classify(ran.folder / "models" / "rival", files)}
    for path, picture in zip(files, told["pictures"], strict=True):
        answer = picture["answers"][models["rival"]]
        assert set(answer) == {"bars", "disc", "ramp"}
        assert sum(answer.values()) == pytest.approx(1, abs=1e-4)
        assert max(answer, key=lambda name: answer[name]) == expected[str(path)].label


def test_a_pool_is_curated_by_its_clip_score(source: Path, tiny_clip: Path, tmp_path: Path) -> None:
    pool = draw_folder(tmp_path / "pool", per_class=8, seed=9)
    quick = ["training.steps=20", "training.flip=no", f"clip={tiny_clip}"]

    def curate(**settings: Any) -> api.Curated:
        with home_of(tmp_path) as store:
            return api.curate(
                pool,
                real=source,
                filters=[{"kind": "clip_score", **settings}],
                store=store,
                workers=1,
                overrides=quick,
            )

    found = curate(keep=0.5)
    rejected = [one for one in found.verdicts if one["rejected_by"] == "clip_score"]
    assert 3 <= len(rejected) <= found.images - 3
    assert all("the least like the text of" in one["reason"] for one in rejected)
    with pytest.raises(InputError, match="got images without prompts") as caught:
        curate(text="prompt")
    assert "text: class" in caught.value.remedy


def test_one_place_names_the_checkpoint(tiny_clips: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(tiny_clips["transformers"], tmp_path / "weights")
    (tmp_path / "study.yaml").write_text(
        "clip: ./weights\nclassifier: {kind: clip, tuning: full}\ndata: {names: {zero: nought}}\n"
    )
    study = load_study(tmp_path / "study.yaml")
    assert study.clip is not None
    assert study.clip.model == str((tmp_path / "weights").resolve())
    settings = study.classifier.settings()
    assert settings["model"] == study.clip.model
    assert settings["names"] == {"zero": "nought"}
    (tmp_path / "again.yaml").write_text(dump_study(study))
    assert load_study(tmp_path / "again.yaml") == study


def refused(study: Study, home: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        run(study, home=home)
    return caught.value


def test_mistakes_are_refused_before_anything_is_trained(
    source: Path, tiny_clips: dict[str, Path], tmp_path: Path
) -> None:
    model = tiny_clips["transformers"]
    plain = {"clip": None, "classifier": "small_cnn"}
    lacking = refused(clip_study(source, model, **plain, arms=["real", "mixed"]), tmp_path)
    assert "'clip_score' without a CLIP checkpoint" in lacking.given
    assert "clip: ./weights/clip" in lacking.remedy
    alone = refused(clip_study(source, model, **plain, curation=[]), tmp_path)
    assert "classifier 'small_cnn' has none" in alone.given
    still = {"kind": "clip", "tuning": "zero_shot"}
    nothing = refused(clip_study(source, model, classifier=still), tmp_path)
    assert "uses synthetic images, and the classifier trains nothing" in nothing.given
    nowhere = refused(clip_study(source, tmp_path / "nowhere"), tmp_path)
    assert "does not exist" in nowhere.given
    unnamed = refused(clip_study(source, model, clip=None, curation=[]), tmp_path)
    assert "no CLIP checkpoint is named" in unnamed.given


def test_names_follow_tunings() -> None:
    study = Study.model_validate(
        {"arms": ["real", {"kind": "mixed", "tuning": "full", "recipes": ["plain"]}]}
    )
    assert study.arms[1].tuning == "full"
    with pytest.raises(ValueError, match="'zero_shot' trains nothing"):
        Study.model_validate({"arms": [{"kind": "mixed", "tuning": "zero_shot"}]})
