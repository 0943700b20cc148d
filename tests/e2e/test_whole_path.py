"""One small study on digits, from reading to the report, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from synthlift import api
from synthlift.registry import descriptor
from synthlift.seeds import seed_for
from synthlift.spec.results import Results
from synthlift.spec.study import Study
from synthlift.store import Store
from synthlift.types import SampleRequest
from tests.e2e.tiny import Ran, committed, names, read_log, run, study_of

FILES = (
    "report.html",
    "results.json",
    "results.csv",
    "predictions.parquet",
    "verdicts.parquet",
    "splits.csv",
    "study.yaml",
    "log.jsonl",
)


def digits_study() -> Study:
    split = {"design": "redrawn", "draws": 2, "per_class": 12, "validation": 0.25}
    return study_of(
        "sklearn:digits",
        name="digits",
        data={"source": "sklearn:digits", "split": split},
        generators=[{"kind": "flow", "steps": 25, "sampler_steps": 2, "readings": 2}],
        arms=["real", "augmented", {"kind": "mixed", "multiples": [0.5]}, "synthetic_only"],
        training={"steps": 20, "batch_size": 32},
        replicates=4,
        plugins=[],
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def digits(home: Path) -> Ran:
    return run(digits_study(), home=home)


def test_how_real_the_images_look_is_measured(digits: Ran) -> None:
    found = Results.model_validate(digits.results)
    (generator,) = found.generators
    assert {one.name for one in generator.quality} >= {"kid", "cas", "gan_test", "told_apart"}
    for figure in generator.quality:
        assert figure.value.n == generator.fits
        assert min(figure.images, figure.held_out) >= 10
        if figure.name in ("cas", "gan_test"):
            assert 0.2 < figure.floor <= 1
            assert 0 <= figure.value.value <= 1
    assert [one.attack for one in generator.membership] == ["loss", "likelihood"]
    for attacked in generator.membership:
        assert attacked.auc.n == generator.fits
        assert attacked.auc.low is not None
        assert (
            0.2 < attacked.auc.low <= attacked.auc.value < 0.8
        )  # a fit of seconds gives nothing away
        assert attacked.images >= 10
    assert generator.fit_seconds is not None
    assert generator.energy_kwh is not None
    assert generator.energy_kwh > 0
    made_by = {arm.name for arm in found.arms if arm.generator}
    assert made_by == {arm.name for arm in found.arms if arm.role == "generative"}


def test_the_run_folder_is_complete(digits: Ran) -> None:
    for name in FILES:
        assert (digits.folder / name).stat().st_size > 0, name
    results = digits.results
    assert results["study"]["complete"]
    assert results["verdict"]["exploratory"], "four replicates are no verdict"
    for image in results["gallery"]:
        assert Image.open(digits.folder / image["file"]).size[0] > 0
    kinds = {image["kind"] for image in results["gallery"]}
    assert {"real", "kept", "copy_query", "copy_neighbour"} <= kinds
    report = (digits.folder / "report.html").read_text()
    assert results["verdict"]["sentence"] in report
    resolved = yaml.safe_load((digits.folder / "study.yaml").read_text())
    assert resolved["run"]["key"] == results["study"]["key"]
    assert {"best_rival", "primary_arm", "image_size"} <= set(resolved["run"]["decisions"])


def test_every_arm_was_trained_for_every_replicate(digits: Ran) -> None:
    wanted = {"real", "augmented", "mixed@0.5", "mixed@0.5+rival", "synthetic_only@1"}
    assert set(names(digits.results)) == wanted
    assert {arm["replicates"] for arm in digits.results["arms"]} == {4}
    assert {(c["train"], c["test"]) for c in digits.results["table_3x3"]} >= {
        (trained, tested)
        for trained in ("real", "synthetic", "mixed")
        for tested in ("real", "synthetic")
    }


def test_counts_add_up(digits: Ran) -> None:
    counts = digits.results["counts"]
    assert counts["read"] == 1797 == sum(counts["excluded"].values()) + counts["used"]
    parts = ("train", "validation", "test", "pool")
    assert sum(counts[part] for part in parts) == counts["used"]
    assert counts["generated"] == counts["kept"] + sum(counts["rejected"].values())
    classes = counts["per_class"].values()
    for name in ("train", "validation", "test", "generated", "kept"):
        assert sum(one[name] for one in classes) == counts[name], name
    assert all(one["train"] == 12 for one in classes)


def test_tables_say_the_same_as_the_counts(digits: Ran) -> None:
    counts = digits.results["counts"]
    verdicts = pd.read_parquet(digits.folder / "verdicts.parquet")
    assert len(verdicts) == counts["generated"]
    assert int(verdicts["kept"].sum()) == counts["kept"]
    rejected = verdicts.loc[~verdicts["kept"], "rejected_by"].value_counts().to_dict()
    assert rejected == counts["rejected"]
    splits = pd.read_csv(digits.folder / "splits.csv")
    for draw, rows in splits.groupby("draw"):
        assert rows["id"].is_unique, draw
        assert (rows["part"] == "test").sum() == counts["test"]
    tests = splits[splits["part"] == "test"].groupby("draw")["id"].apply(frozenset)
    assert tests.nunique() == 1, "every draw has the same locked test set"


def balanced_accuracy(rows: pd.DataFrame) -> float:
    right = np.stack(rows["probabilities"].to_list()).argmax(axis=1) == rows["label"].to_numpy()
    return float(pd.Series(right).groupby(rows["label"].to_numpy()).mean().mean())


def test_predictions_give_the_primary_difference_again(digits: Ran) -> None:
    verdict = digits.results["verdict"]
    table = pd.read_parquet(digits.folder / "predictions.parquet")
    table = table[(table["evaluation_set"] == "test") & (table["variant"] == "clean")]
    scores = {
        arm: [balanced_accuracy(rows) for _, rows in members.groupby("replicate")]
        for arm, members in table.groupby("arm")
    }
    assert verdict["metric"] == "balanced_accuracy"
    difference = np.mean(scores[verdict["arm"]]) - np.mean(scores[verdict["rival"]])
    assert verdict["contrast"]["difference"]["value"] == pytest.approx(difference, abs=1e-9)
    for arm in digits.results["arms"]:
        value = arm["metrics"]["balanced_accuracy"]["value"]
        assert value == pytest.approx(np.mean(scores[arm["name"]]), abs=1e-9)


def test_what_the_draws_share_is_told_beside_the_verdict(digits: Ran) -> None:
    splits = pd.read_csv(digits.folder / "splits.csv")
    first, second = (
        set(rows["id"]) for _, rows in splits[splits["part"] == "train"].groupby("draw")
    )
    share, verdict = len(first & second) / len(first), digits.results["verdict"]
    assert 0 < share < 1
    assert verdict["contrast"]["components"]["overlap"] == pytest.approx(share, abs=1e-6)
    assert verdict["scope"].startswith("for training sets of this size, drawn from these images")
    said = [*verdict["warnings"], *digits.results["limitations"]]
    (text,) = [one for one in said if "drawn from one stock" in one]
    assert f"{share:.0%} of their images" in text
    assert f"{share:.0%} of their images" in (digits.folder / "report.html").read_text("utf-8")


def test_the_test_set_is_opened_once_and_last(digits: Ran, home: Path) -> None:
    lines = (home / "data-home" / "openings.jsonl").read_text().splitlines()
    openings = [json.loads(line) for line in lines]
    models = [opening["model"] for opening in openings]
    assert len(models) == len(set(models)) == 4 * 5
    assert {opening["test"] for opening in openings} == {digits.results["openings"]["test_hash"]}
    assert digits.results["openings"]["this_study"] == len(models)
    log = read_log(digits.folder)
    events = [name for name, _ in log]
    opened = events.index("test_opened")
    assert events.count("test_opened") == 1
    trained = [i for i, (_, fields) in enumerate(log) if fields.get("stage") == "model"]
    predicted = [i for i, (_, fields) in enumerate(log) if fields.get("stage") == "predict"]
    assert max(trained) < opened < min(predicted)


def test_the_model_classifies_without_the_store(digits: Ran, tmp_path: Path) -> None:
    pixels = load_digits().images[:6]
    paths = [tmp_path / f"{row}.png" for row in range(len(pixels))]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).save(path)
    found = api.load(digits.folder).classify(paths)
    assert len(found) == len(paths)
    assert all(sum(one.probabilities.values()) == pytest.approx(1, abs=1e-5) for one in found)


def test_the_generator_draws_the_same_images_again(digits: Ran, home: Path) -> None:
    folder = digits.folder / "generators" / "flow"
    facts = json.loads((folder / "component.json").read_text())
    found = descriptor("generators", facts["kind"])
    loaded = found.build(found.config.model_validate(facts["config"])).load(folder)
    requests = [
        SampleRequest(index=i, label=3, seed=seed_for(facts["seed"], "train", 3, i))
        for i in range(4)
    ]
    pixels = np.concatenate([batch.pixels for batch in loaded.sample(requests)])
    store = Store(home / "store")
    chunks = [store.open(key) for key in committed(home) if key.startswith("sample-")]
    (first,) = [
        chunk
        for chunk in chunks
        if chunk.record["inputs"]["fit"] == facts["fit"]
        and (chunk.record["config"]["label"], chunk.record["config"]["stream"]) == (3, "train")
    ]
    assert np.array_equal(pixels, np.load(first.path("pixels.npy"))[:4])


def test_running_again_computes_nothing(digits: Ran, home: Path) -> None:
    before = (digits.folder / "results.json").read_bytes()
    keys = committed(home)
    again = run(digits_study(), home=home)
    assert not again.computed()
    assert committed(home) == keys
    assert (again.folder / "results.json").read_bytes() == before
    openings = (home / "data-home" / "openings.jsonl").read_text().splitlines()
    assert len(openings) == 20


def test_another_run_folder_holds_the_same_results(digits: Ran, home: Path) -> None:
    other = run(digits_study(), home=home, out="elsewhere")
    assert not other.computed()
    for name in ("predictions.parquet", "verdicts.parquet", "splits.csv"):
        assert (other.folder / name).read_bytes() == (digits.folder / name).read_bytes(), name
