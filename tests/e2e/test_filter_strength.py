"""Strengths of filters are chosen on validation, once, and never by the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from synthlift.api.run_folder import load
from synthlift.errors import InputError
from synthlift.store import Store
from synthlift.store.images import DataKeys, members
from tests.e2e.tiny import Ran, comparable, draw_folder, home_of, run, study_of

CHOSEN = [
    "near_copies",
    {"name": "agreement", "kind": "class_agreement", "strength": "auto"},
    {"kind": "diversity", "strength": "auto", "method": "k_centre"},
]
LADDER = ["off", "light", "medium", "strong"]
FIXED = {"split": {"design": "fixed", "validation": 0.4}}


def strengths_study(source: Path, **changes: Any) -> Any:
    data = {"source": str(source), **FIXED}
    return study_of(
        source, **{"data": data, "curation": CHOSEN, "selection": "validation", **changes}
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def chosen(source: Path, home: Path) -> Ran:
    return run(strengths_study(source), home=home)


def decision(ran: Ran, name: str = "filter_strengths") -> dict[str, Any]:
    return next(one for one in ran.results["decisions"] if one["name"] == name)


def judged_with(ran: Ran, home: Path) -> list[dict[str, Any]]:
    """The filters of every judgement that the run asked for, in order."""
    store = Store(home / "store")
    keys = [f["key"] for n, f in ran.events if n == "stage_done" and f["stage"] == "judge"]
    return [store.open(key).record["config"] for key in keys]


def test_each_strength_is_tried_and_the_weakest_good_one_is_chosen(chosen: Ran) -> None:
    found = decision(chosen)["value"]["class_gaussian"]
    assert [one["filter"] for one in found] == ["agreement", "diversity"]
    for one in found:
        assert [tried["strength"] for tried in one["tried"]] == LADDER
        kept = [tried["kept"] for tried in one["tried"]]
        assert kept == sorted(kept, reverse=True)
        scores = {tried["strength"]: tried["score"] for tried in one["tried"]}
        assert all(0 <= score <= 1 for score in scores.values())
        first_best = next(name for name in LADDER if scores[name] == max(scores.values()))
        assert LADDER.index(one["strength"]) <= LADDER.index(first_best)
    assert "one standard error" in decision(chosen)["reason"]


def test_the_pool_is_curated_as_chosen(chosen: Ran, home: Path) -> None:
    taken = {one["filter"]: one["strength"] for one in decision(chosen)["value"]["class_gaussian"]}
    keep = {"off": 1.0, "light": 0.95, "medium": 0.9, "strong": 0.8}[taken["agreement"]]
    with home_of(home):
        opened = load(chosen.folder)
    assert opened.results.strengths[0].strength == taken["agreement"]
    last = judged_with(chosen, home)
    settings = [{f["name"]: f["config"] for f in one["filters"]} for one in last]
    assert any(one["agreement"]["keep"] == keep for one in settings)
    assert {one["agreement"]["keep"] for one in settings} == {1.0, 0.95, 0.9, 0.8}
    # What is tried is the strength alone.
    assert {one["diversity"]["method"] for one in settings} == {"k_centre"}


def test_choosing_never_meets_a_test_image(chosen: Ran, home: Path) -> None:
    store = Store(home / "store")
    models = [f["key"] for n, f in chosen.events if n == "stage_done" and f["stage"] == "model"]
    record = store.open(models[0]).record
    keys = DataKeys(**{k: record["inputs"][k] for k in ("inventory", "pixels", "split")})  # type: ignore[typeddict-item]
    tested = set(members(store, keys, 0, "test").tolist())
    assert tested
    for key in models:
        with np.load(store.open(key).path("predictions.npz")) as found:
            assert not tested & set(found["ids"].tolist())
    order = [f["stage"] for n, f in chosen.events if n == "stage_done"]
    decided = next(
        i for i, (n, f) in enumerate(chosen.events) if n == "decision" and "filter" in f["name"]
    )
    before = [f["stage"] for n, f in chosen.events[:decided] if n == "stage_done"]
    assert "predict" in order
    assert "predict" not in before


def test_the_chosen_models_are_the_studys_own(source: Path, chosen: Ran, home: Path) -> None:
    """Asking costs the models of the other strengths, and running again costs nothing."""
    models = [f["label"] for n, f in chosen.events if n == "stage_done" and f["stage"] == "model"]
    # A scorer; of two replicates real, three augmentations, the probe, three more a filter.
    assert len(models) <= 1 + 2 * (1 + 3 + 1 + 2 * 3)
    again = run(strengths_study(source), home=home)
    assert not again.computed("sample", "judge", "model", "predict")
    assert comparable(again.results, again.folder) == comparable(chosen.results, chosen.folder)


def test_the_report_shows_what_was_tried(chosen: Ran) -> None:
    page = (chosen.folder / "report.html").read_text()
    assert "Strengths chosen on validation" in page
    for one in decision(chosen)["value"]["class_gaussian"]:
        for tried in one["tried"]:
            assert f"{100 * tried['score']:.1f}" in page


def test_without_selection_the_strength_is_predeclared(source: Path, home: Path) -> None:
    ran = run(strengths_study(source, selection="predeclared"), home=home, out="predeclared")
    found = decision(ran)["value"]["class_gaussian"]
    assert {(one["strength"], len(one["tried"])) for one in found} == {("medium", 0)}
    assert "Strengths chosen on validation" not in (ran.folder / "report.html").read_text()


def test_every_fold_chooses_for_itself(source: Path, home: Path) -> None:
    split = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.4}
    study = strengths_study(source, data={"source": str(source), "split": split})
    ran = run(study, home=home, out="folds")
    for fold in (1, 2):
        assert decision(ran, f"filter_strengths_fold_{fold}")["value"]["class_gaussian"]
    assert {one["split"] for one in ran.results["strengths"]} == {0, 1}


def test_a_resolved_study_brings_its_choice_along(
    source: Path, chosen: Ran, tmp_path: Path
) -> None:
    written = yaml.safe_load((chosen.folder / "study.yaml").read_text())
    assert "filter_strengths" in written["run"]["decisions"]
    preset = {
        "filter_strengths": {
            "value": {
                "class_gaussian": [
                    {"filter": "agreement", "strength": "strong", "tried": []},
                    {"filter": "diversity", "strength": "light", "tried": []},
                ]
            },
            "reason": "for this test",
        }
    }
    ran = run(strengths_study(source), home=tmp_path, preset=preset)
    settings = judged_with(ran, tmp_path)
    assert {f["config"].get("keep") for one in settings for f in one["filters"]} == {
        None,
        0.8,
        0.85,
    }
    preset["filter_strengths"]["value"]["class_gaussian"][0]["strength"] = "stronger"  # type: ignore[index]
    with pytest.raises(InputError, match="'stronger' for filter 'agreement'"):
        run(strengths_study(source), home=tmp_path / "wrong", preset=preset)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "near_copies", "strength": "auto"}, "this filter has no strengths"),
        ({"kind": "outliers", "strength": "auto", "quantile": 0.1}, "remove 'strength' or"),
        ({"kind": "outliers", "strength": "auto", "quantil": 0.1}, "quantile"),
    ],
)
def test_a_strength_that_means_nothing_is_refused_before_anything_is_trained(
    source: Path, home: Path, wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(strengths_study(source, curation=[wrong]), home=home, out="wrong")
    assert not (home / "wrong").exists()


def test_a_selector_gets_as_many_more_images(source: Path, tmp_path: Path) -> None:
    """A fifth of the samples is kept by design, which three times the request would not give."""
    arms = ["real", "augmented", {"kind": "mixed", "multiples": [4], "recipes": ["best_rival"]}]
    study = study_of(source, curation=[{"kind": "diversity", "keep": 0.2}], arms=arms)
    ran = run(study, home=tmp_path)
    table = pd.read_parquet(ran.folder / "verdicts.parquet")
    arm = ran.results["arms"][-1]
    assert sum(arm["synthetic"].values()) == pytest.approx(4 * sum(arm["real"].values()))
    assert table["kept"].mean() == pytest.approx(0.2, abs=0.05)
