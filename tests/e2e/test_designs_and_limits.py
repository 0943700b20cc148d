"""Other designs, selection, added replicates, gates, shortfalls and budgets, on whole studies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthlift import api
from synthlift.api.classifying import kept_models
from synthlift.api.references import open_reference
from synthlift.errors import InputError
from synthlift.study.assembly import ADDED_FAMILY
from synthlift.study.budget import RESERVE
from synthlift.study.expecting import CHUNK
from synthlift.vision.prediction import load_classifier
from synthlift.web.inference.explaining import likeness
from tests.e2e.tiny import EXAMPLE, GAUSSIAN, Ran, draw_folder, names, run, study_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "howto"
PLUGINS = Path(__file__).resolve().parent / "plugins"
CURATION = ["exact_duplicates", "near_copies"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def balanced_accuracies(ran: Ran, evaluation_set: str = "test") -> pd.DataFrame:
    """One column an arm, one row a replicate."""
    table = pd.read_parquet(ran.folder / "predictions.parquet")
    table = table[table["evaluation_set"] == evaluation_set]
    table["right"] = np.stack(table["probabilities"].to_list()).argmax(axis=1) == table["label"]
    recall = table.groupby(["arm", "replicate", "label"])["right"].mean()
    return recall.groupby(["arm", "replicate"]).mean().unstack("arm")


def decision(ran: Ran, name: str) -> dict[str, object]:
    return next(one for one in ran.results["decisions"] if one["name"] == name)


def computed_as_documented(folder: Path) -> tuple[float, float]:
    """What the program in the documentation of the run folder prints, for another folder."""
    text = (DOCS / "run-folder.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", program.replace("runs/demo", folder.as_posix())],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(float, done.stdout.split())
    return first, second


def test_more_replicates_leave_the_verdict(source: Path, tmp_path: Path) -> None:
    study = study_of(source)
    before = run(study, home=tmp_path)
    more = run(study, home=tmp_path, more=8.0)  # room for one round at least, on any machine
    assert more.results["verdict"] == before.results["verdict"]
    assert more.results["study"]["replicates"] == 2
    (added,) = [c for c in more.results["contrasts"] if c["family"] == ADDED_FAMILY]
    assert not [c for c in before.results["contrasts"] if c["family"] == ADDED_FAMILY]
    scores = balanced_accuracies(more)
    assert len(scores) >= 4
    difference = (scores[added["arm"]] - scores[added["reference"]]).mean()
    assert added["difference"]["value"] == pytest.approx(difference, abs=1e-9)
    assert "exploratory" in ADDED_FAMILY
    assert not more.computed("read", "split", "pixels", "fit", "sample", "judge")
    opened = [one.results["openings"]["this_study"] for one in (before, more)]
    assert opened[1] == opened[0] + 3 * (len(scores) - 2)
    verdict = before.results["verdict"]
    repeated = api.evaluate(more.folder).verdict.model_dump(mode="json")
    told = ("word", "sentence", "exploratory", "exploratory_reasons")
    assert [repeated[name] for name in told] == [verdict[name] for name in told]
    assert repeated["contrast"]["difference"] == verdict["contrast"]["difference"]
    computed, declared = computed_as_documented(more.folder)
    assert computed == pytest.approx(declared, abs=1e-9)
    assert declared == verdict["contrast"]["difference"]["value"]
    text = (more.folder / "results.json").read_bytes()
    again = run(study, home=tmp_path)
    assert not again.computed()
    assert (again.folder / "results.json").read_bytes() == text


def test_a_second_study_on_the_same_test_set_is_exploratory(source: Path, tmp_path: Path) -> None:
    first = run(study_of(source), home=tmp_path, out="first")
    training = {"steps": 8, "batch_size": 16, "flip": "no"}
    other = study_of(source, training={**training, "precision": "bfloat16"})
    second = run(other, home=tmp_path, out="second")
    # Every model is trained anew in the other number format, and from the same images.
    assert second.computed("model")
    assert not second.computed("split", "fit", "sample")
    tables = [pd.read_parquet(ran.folder / "predictions.parquet") for ran in (first, second)]
    differing = [
        a
        for a, b in zip(*(np.stack(t["probabilities"].to_list()) for t in tables), strict=True)
        if not np.array_equal(a, b)
    ]
    assert len(differing) > len(tables[0]) / 2
    reasons = [ran.results["verdict"]["exploratory_reasons"] for ran in (first, second)]
    opened = [[reason for reason in given if "opened" in reason] for given in reasons]
    assert opened[0] == []
    assert opened[1] == ["this test set was opened before, by 1 differing study"]
    assert second.results["openings"]["studies"] == 2
    text = (first.folder / "results.json").read_bytes()
    again = run(study_of(source), home=tmp_path, out="first")
    assert (again.folder / "results.json").read_bytes() == text, "the first study was the first"


def test_cross_validation_tests_every_image_and_refits_on_all(source: Path, home: Path) -> None:
    split = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.25}
    study = study_of(source, data={"source": str(source), "split": split})
    ran = run(study, home=home, out="folds")
    assert ran.results["study"]["design"] == "cross_validated"
    table = pd.read_parquet(ran.folder / "predictions.parquet")
    real = table[(table["evaluation_set"] == "test") & (table["arm"] == "real")]
    assert sorted(real["fold"].unique()) == [0, 1]
    assert real["image_id"].is_unique
    assert len(real) == ran.results["counts"]["used"]
    verdict, counts = ran.results["verdict"], ran.results["counts"]
    scores = balanced_accuracies(ran)
    gaps = scores[verdict["arm"]] - scores[verdict["rival"]]
    error = np.sqrt((1 / len(gaps) + counts["test"] / counts["train"]) * gaps.var(ddof=1))
    contrast = verdict["contrast"]
    assert contrast["difference"]["value"] == pytest.approx(gaps.mean(), abs=1e-9)
    assert contrast["standard_error"] == pytest.approx(error, abs=1e-9)
    reach = stats.t.ppf(0.975, len(gaps) - 1) * error
    high = contrast["difference"]["high"]
    assert high == pytest.approx(min(1.0, gaps.mean() + reach), abs=1e-6)
    assert any("trained again on all 108 images" in note for note in ran.results["notes"])
    (key,) = [
        fields["key"]
        for name, fields in ran.events
        if name == "stage_done" and fields["key"].startswith("split-") and "all" in fields["label"]
    ]
    record = json.loads((home / "store" / "artefacts" / key / "record.json").read_text())
    assert record["summary"]["images"] == 108


def test_choices_are_made_on_validation(source: Path, home: Path) -> None:
    mixed = {"kind": "mixed", "multiples": [0.5, 1], "recipes": ["best_rival"]}
    study = study_of(source, arms=["real", "augmented", mixed], selection="validation")
    ran = run(study, home=home, out="chosen")
    assert ran.results["study"]["selection"] == "validation"
    assert ran.results["verdict"]["selected"]
    scores = balanced_accuracies(ran, "validation").mean()
    rivals = scores[["real", "augmented"]]
    rival = ran.results["verdict"]["rival"]
    assert rivals[rival] == pytest.approx(rivals.max())
    assert decision(ran, "best_rival")["value"] == rival
    assert "validation" in str(decision(ran, "best_rival")["reason"])
    assert ran.results["verdict"]["arm"] in ("mixed@0.5+rival", "mixed@1+rival")


def test_a_generator_that_copies_is_stopped(source: Path, home: Path) -> None:
    study = study_of(
        source, generators=["copier"], curation=CURATION, plugins=[str(PLUGINS / "copier.py")]
    )
    ran = run(study, home=home, out="copier")
    assert ran.results["verdict"] is None
    because = ran.results["verdict_missing_because"]
    assert "are copies of training images, more than 10%" in because
    assert "It has memorised instead of learnt" in because
    assert names(ran.results) == ["real", "augmented"]
    assert ran.results["generators"][0]["gate_stopped"]
    assert ran.results["counts"]["kept"] == 0
    assert "memorised" in (ran.folder / "report.html").read_text()
    assert (ran.folder / "model" / "model.safetensors").is_file()
    # What it draws can still be compared with the training images that it copied.
    (kept,) = kept_models(ran.folder)
    assert (kept.role, kept.arm) == ("rival", "real")
    reference = open_reference(ran.folder, load_classifier(kept.folder))
    assert reference is not None
    (found,) = likeness(reference, [reference.picture(5)[0]])
    assert found is not None
    assert (found["row"], found["near_copy"]) == (5, True)


def test_beside_a_verdict_it_is_said_which_generator_was_stopped(source: Path, home: Path) -> None:
    mixed = {"kind": "mixed", "generator": "every", "multiples": [0.5], "recipes": ["plain"]}
    study = study_of(
        source,
        generators=[GAUSSIAN, "copier"],
        arms=["real", mixed],
        curation=["exact_duplicates"],
        plugins=[str(EXAMPLE), str(PLUGINS / "copier.py")],
    )
    ran = run(study, home=home, out="one-copies")
    assert names(ran.results) == ["real", "mixed@0.5"]
    told = ran.results["verdict"]["warnings"]
    assert [words for words in told if "'copier' was tested" in words]
    assert ran.results["verdict"]["rival"] == "real"


@pytest.mark.parametrize("blind", [[], [{"kind": "near_copies", "quantile": 0, "relative": 0}]])
def test_a_study_without_a_filter_that_finds_copies_has_a_gate(
    source: Path, home: Path, blind: list[Any]
) -> None:
    plugins = [str(PLUGINS / "copier.py")]
    study = study_of(source, generators=["copier"], curation=blind, plugins=plugins)
    ran = run(study, home=home, out=f"blind{len(blind)}")
    assert "are copies of training images, more than 10%" in ran.results["verdict_missing_because"]
    (told,) = ran.results["generators"]
    assert (told["gate_stopped"], told["copies"]) == (True, 1.0)
    assert told["held_out_copies"] < 0.2
    assert "100.0 % of its samples before filtering" in (
        (ran.folder / "report.html").read_text().replace("\u00a0", " ")
    )


def test_refilling_stops_and_says_which_class_fell_short(source: Path, home: Path) -> None:
    study = study_of(
        source,
        curation=[{"kind": "strict", "refused": "disc"}],
        plugins=[*study_of(source).plugins, str(PLUGINS / "strict.py")],
        generators=[GAUSSIAN],
        arms=["real", "augmented", {"kind": "mixed", "multiples": [3], "recipes": ["best_rival"]}],
    )
    ran = run(study, home=home, out="short")
    counts = ran.results["counts"]
    wanted = 3 * counts["per_class"]["disc"]["train"]
    fits = ran.results["study"]["generator_fits"]
    asked = counts["per_class"]["disc"]["generated"] / fits
    assert 3 * wanted <= asked < 3 * wanted + CHUNK
    assert counts["per_class"]["disc"]["kept"] == 0
    assert counts["fell_short"] == {"disc": fits * wanted}
    assert counts["per_class"]["bars"]["generated"] / fits < wanted + CHUNK
    used = next(arm for arm in ran.results["arms"] if arm["name"] == "mixed@3+rival")["synthetic"]
    assert used == {"disc": 0, "bars": wanted, "ramp": wanted}
    report = (ran.folder / "report.html").read_text()
    assert f"disc ({fits * wanted:.0f} missing)" in report


def test_a_budget_is_kept_and_says_what_it_gave_up(source: Path, home: Path) -> None:
    arms = ["real", "augmented", "class_balanced", {"kind": "mixed", "multiples": [0.5, 1, 2]}]
    # Few looks at the samples, so that one replicate fits into the budget of a slow machine, too.
    generators = [{"kind": "flow", "readings": 2, "sampler_steps": 4}]
    study = study_of(
        source, arms=arms, generators=generators, replicates=40, training={}, budget="30s"
    )
    ran = run(study, home=home, out="budget", workers=2)
    chosen = decision(ran, "budget")
    assert "given up: " in str(chosen["reason"])
    value = chosen["value"]
    assert isinstance(value, dict)
    assert value["seconds"] <= RESERVE * 30
    assert 3 <= len(names(ran.results)) == len(value["arms"])
    assert {"real", "augmented"} <= set(names(ran.results))
    assert value["replicates"] < 40
    dropped = ran.results["study"]["replicates"] < 40
    said = any("planned replicates were dropped" in text for text in ran.results["limitations"])
    assert said == dropped
    (generator,) = ran.results["generators"]
    assert value["generator_steps"] == {"flow": generator["config"]["steps"]}
    assert generator["under_trained"] == (value["generator_share"] < 1)
    warned = any("under-trained" in text for text in ran.results["verdict"]["warnings"])
    assert warned == (value["generator_share"] < 0.5)
    cut = any("classifiers of all arms had" in text for text in ran.results["limitations"])
    assert cut == (value["training_share"] < 1)


def test_a_budget_that_is_too_small_names_the_minimum(source: Path, home: Path) -> None:
    study = study_of(source, generators=["flow"], training={}, budget="2s")
    with pytest.raises(InputError) as caught:
        run(study, home=home, out="no-budget")
    assert caught.value.given == "a budget of 2 seconds is too small for one replicate"
    assert re.match(r"allow at least --budget \d+m on this machine", caught.value.remedy)
    assert not (home / "no-budget" / "results.json").exists()
