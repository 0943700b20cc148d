"""A pretrained generator that learns nothing samples one pool, whatever the fits and folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthlift import api
from synthlift.spec.study import Study
from tests.e2e.test_cells import cell_study, source
from tests.e2e.tiny import Ran, comparable, home_of, run, study_of

__all__ = ["source"]  # the folder of drawn images and the table beside it

ARM = "mixed@0.5+rival"
MIXED = {"kind": "mixed", "multiples": [0.5], "recipes": ["best_rival"]}
CLASSES = 3


def prompting(model: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "text_to_image",
        "model": str(model),
        "sampler_steps": 1,
        "micro_batch": 16,
        **changes,
    }


def prompted(source: Path, model: Path, **changes: Any) -> Study:
    arms = ["real", "augmented", {**MIXED, "multiples": [0.5, 1]}]
    changes = {"arms": arms, **changes}
    return study_of(source, generators=[prompting(model)], replicates=4, **changes)


@pytest.fixture(scope="module")
def ran(source: Path, tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(prompted(source, tiny_pipeline), home=tmp_path_factory.mktemp("home"))


def test_two_fits_share_a_pool(ran: Ran) -> None:
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert set(told["fit"]) == {0}
    assert len(ran.computed("fit")) == 1
    # Of every class a chunk to train on, and one that is kept for the tests.
    assert len(told) == 64 * CLASSES
    assert len(ran.computed("sample")) == 2 * CLASSES
    generator = ran.results["generators"][0]
    assert generator["fits"] == ran.results["study"]["generator_fits"] == 1
    assert generator["one_pool"]


def test_replicates_are_the_rows_and_the_verdict_says_given_what(ran: Ran) -> None:
    verdict = ran.results["verdict"]
    assert "given this pool of synthetic images" in verdict["scope"]
    assert verdict["contrast"]["components"]["rows"] == 4
    assert verdict["exploratory_reasons"] == ["4 replicates; a verdict needs at least 10"]
    assert set(pd.read_parquet(ran.folder / "predictions.parquet")["fit"]) == {-1}
    assert any("one pool serves all replicates" in note for note in ran.results["notes"])
    assert "one pool for all" in (ran.folder / "report.html").read_text()


def exported(ran: Ran, out: Path, *, arm: str, replicate: int) -> set[bytes]:
    with home_of(ran.folder.parent):
        api.export(
            ran.folder,
            arm=arm,
            out=out,
            form="csv",
            replicate=replicate,
            synthetic_only=True,
            accept_copies=True,
        )
    table = pd.read_csv(out / "metadata.csv")
    images = {path.read_bytes() for path in (out / "images").rglob("*.png")}
    assert len(images) == len(table) > 0
    assert "which learns nothing" in (out / "DATA_CARD.md").read_text()
    return images


def test_every_replicate_draws_its_own_nested_sets_from_the_pool(ran: Ran, tmp_path: Path) -> None:
    half, whole = (
        [exported(ran, tmp_path / f"{arm}{r}", arm=arm, replicate=r) for r in (0, 1)]
        for arm in (ARM, "mixed@1+rival")
    )
    assert half[0] != half[1]
    assert len(half[0]) == len(half[1]) == len(whole[0]) // 2
    for smaller, larger in zip(half, whole, strict=True):
        assert smaller < larger


def test_the_export_names_the_images_of_the_model_itself(ran: Ran, tmp_path: Path) -> None:
    with home_of(ran.folder.parent):
        done = api.export(
            ran.folder, arm=ARM, out=tmp_path / "out", replicate=1, accept_copies=True
        )
    # The model is found by the images that it was trained on.
    assert done.model == f"the model of arm '{ARM}', replicate 2"


@pytest.mark.slow
def test_workers_do_not_change_a_bit(
    ran: Ran, source: Path, tiny_pipeline: Path, tmp_path: Path
) -> None:
    other = run(prompted(source, tiny_pipeline), home=tmp_path, workers=2)
    assert other.computed("fit", "sample") == ran.computed("fit", "sample")
    assert comparable(other.results, other.folder) == comparable(ran.results, ran.folder)


@pytest.mark.slow
def test_beside_a_generator_that_learns_the_fits_are_the_rows(
    source: Path, tiny_pipeline: Path, ran: Ran
) -> None:
    study = prompted(
        source,
        tiny_pipeline,
        arms=["real", "augmented", MIXED, {**MIXED, "generator": "class_gaussian"}],
    )
    learner = {"kind": "class_gaussian"}
    study = study.model_copy(
        update={
            "generators": (*study.generators, *study_of(source, generators=[learner]).generators)
        }
    )
    both = run(study, home=ran.folder.parent, out="both")
    told = pd.read_parquet(both.folder / "verdicts.parquet")
    fits = told.groupby("generator")["fit"].agg(set).to_dict()
    assert fits == {"text_to_image": {0}, "class_gaussian": {0, 1}}
    assert not both.computed("sample") & ran.computed("sample")
    assert set(pd.read_parquet(both.folder / "predictions.parquet")["fit"]) == {0, 1}
    assert "given this pool" in both.results["verdict"]["scope"]


FOLDS = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.25}


@pytest.mark.slow
def test_folds_share_the_pool_where_prompts_say_the_class_alone(
    source: Path, tiny_pipeline: Path, ran: Ran
) -> None:
    study = prompted(source, tiny_pipeline, data={"source": str(source), "split": FOLDS})
    folds = run(study, home=ran.folder.parent, out="folds")
    told = pd.read_parquet(folds.folder / "verdicts.parquet")
    own = told.groupby("fit")["chunk"].agg(set)
    assert len(own) == 2
    assert own[0] == own[1]
    # Every fold judges for itself, by its own training images.
    assert len(folds.computed("judge")) == 2 * CLASSES
    assert len(folds.computed("sample")) == 2 * CLASSES
    assert "given this pool" in folds.results["verdict"]["scope"]
    assert any("judged it by filters of its own" in note for note in folds.results["notes"])


@pytest.mark.slow
def test_attributes_of_prompts_are_those_of_the_own_training_set(
    source: Path, tiny_pipeline: Path, ran: Ran
) -> None:
    base = cell_study(source)
    data = base.data.model_copy(
        update={"split": study_of(source, data={"source": "x", "split": FOLDS}).data.split}
    )
    generator = prompting(tiny_pipeline, prompt="a {tone} {label}")
    study = prompted(source, tiny_pipeline).model_copy(update={"data": data})
    study = study.model_copy(
        update={"generators": study_of(source, generators=[generator]).generators}
    )
    folds = run(study, home=ran.folder.parent, out="attributes")
    told = pd.read_parquet(folds.folder / "verdicts.parquet")
    own = told.groupby("fit")["chunk"].agg(set)
    assert not own[0] & own[1]
    assert "given this pool" not in folds.results["verdict"]["scope"]
    split = pd.read_csv(folds.folder / "splits.csv")
    table = pd.read_csv(source / "tones.csv")
    tones = dict(zip(table.iloc[:, 0], table["tone"], strict=True))
    for fold, prompts in told.groupby("fit")["prompt"].agg(set).items():
        train = split[(split["draw"] == fold) & (split["part"] == "train")]
        known = {f"a {tones[Path(str(row.id)).name]} {row.label}" for row in train.itertuples()}
        assert prompts <= known


def test_plan_counts_the_time_that_sampling_takes(
    source: Path, tiny_pipeline: Path, ran: Ran
) -> None:
    def seconds(multiple: float) -> float:
        study = prompted(source, tiny_pipeline, arms=["real", {**MIXED, "multiples": [multiple]}])
        with home_of(ran.folder.parent) as store:
            planned = api.plan(study, store=store, workers=1)
        assert not any("text_to_image" in name for name in planned["steps"])
        return float(planned["seconds"])

    # The speed of both is the same measurement; no model of an arm takes longer for it.
    assert seconds(50) > 1.5 * seconds(1)
