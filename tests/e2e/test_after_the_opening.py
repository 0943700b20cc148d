"""What may still be done to a study once its test set is open, and what that counts for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image, ImageOps

from synthlift.spec.study import Study
from tests.e2e.tiny import Ran, draw_folder, run, study_of


def replicates(ran: Ran) -> int:
    """Replicates in the table of predictions, added ones included."""
    return int(pd.read_parquet(ran.folder / "predictions.parquet")["replicate"].nunique())


def decisions(ran: Ran) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ran.results["decisions"]}


def inverted(folder: Path) -> Path:
    """The same pictures with light and dark exchanged, so that they are copies of nothing."""
    for file in folder.rglob("*.png"):
        with Image.open(file) as image:
            changed = ImageOps.invert(image)
        changed.save(file)
    return folder


def study_in_folds(source: Path, **changes: Any) -> Study:
    split = {"design": "cross_validated", "folds": 2, "repeats": 1, "validation": 0.4}
    return study_of(
        source,
        data={"source": str(source), "split": split},
        training={"steps": 2, "batch_size": 16, "flip": "no"},
        curation=["exact_duplicates"],
        generator_fits=1,
        **changes,
    )


def test_rounds_are_added_where_folds_choose_inside_their_training_sets(tmp_path: Path) -> None:
    pool = inverted(draw_folder(tmp_path / "pool", per_class=12, seed=99))
    study = study_in_folds(
        draw_folder(tmp_path / "drawn", per_class=18),
        generators=[{"kind": "pool", "source": str(pool)}],
        plugins=[],
        arms=["real", {"kind": "mixed", "multiples": [0.5], "recipes": ["best_rival"]}],
        selection="cross_selection",
    )
    before = run(study, home=tmp_path)
    more = run(study, home=tmp_path, more=7.0)  # a round takes a quarter of it on a busy machine
    assert more.results["verdict"] == before.results["verdict"]
    trained = replicates(more)
    assert trained >= 4
    chosen = {name for name in decisions(more) if name.startswith("best_rival_fold_")}
    assert chosen == {f"best_rival_fold_{number + 1}" for number in range(trained)}
    assert all("on validation" in decisions(more)[name]["reason"] for name in chosen)
    again = run(study, home=tmp_path)
    assert not again.computed()
    assert again.results == more.results
    # Whoever has seen the answer does not get another one by choosing again.
    replanned = run(study, home=tmp_path, replan=True)
    reasons = replanned.results["verdict"]["exploratory_reasons"]
    assert [one for one in reasons if "--replan" in one]
    assert not [one for one in more.results["verdict"]["exploratory_reasons"] if "--replan" in one]
    assert run(study, home=tmp_path).results == replanned.results


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, Ran, Ran]:
    """A study without synthetic images, before and after rounds were added."""
    home = tmp_path_factory.mktemp("extended")
    study = study_in_folds(
        draw_folder(home / "drawn", per_class=12), arms=["real"], generators=[], plugins=[]
    )
    return study, home, run(study, home=home), run(study, home=home, more=4.0)


def test_added_rounds_change_no_figure_of_a_study_without_a_contrast(
    extended: tuple[Study, Path, Ran, Ran],
) -> None:
    _, _, before, after = extended
    assert replicates(after) >= 4
    assert after.results["study"]["replicates"] == before.results["study"]["replicates"] == 2
    for name in ("replicates", "validation", "real"):
        now, then = (one.results["arms"][0][name] for one in (after, before))
        assert now == then, name
    assert [note for note in after.results["notes"] if "added after the test was opened" in note]


def test_added_rounds_outlive_the_store(extended: tuple[Study, Path, Ran, Ran]) -> None:
    study, home, _, after = extended
    written = yaml.safe_load((after.folder / "study.yaml").read_text())
    assert "added_round_2" in written["run"]["decisions"]
    shutil.rmtree(home / "store")
    again = run(study, home=home)
    assert again.results["study"]["replicates"] == 2
    assert replicates(again) == replicates(after)
    assert decisions(again).keys() == decisions(after).keys()
