"""Where validation is too small, a study chooses inside its training sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthlift.store import Store
from synthlift.store.images import DataKeys, members
from tests.e2e.tiny import Ran, home_of, run, study_of


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Store]:
    home = tmp_path_factory.mktemp("cross")
    study = study_of(
        "sklearn:digits",
        data={
            "source": "sklearn:digits",
            "split": {"design": "redrawn", "draws": 2, "per_class": 45, "validation": 0.25},
        },
        arms=["real", "augmented", {"kind": "mixed", "multiples": [0.5, 1]}],
        selection="cross_selection",
    )
    ran = run(study, home=home)
    with home_of(home) as store:
        return ran, Store(store)


def keys_of(ran: Ran, store: Store) -> tuple[list[DataKeys], DataKeys]:
    """Data keys of the models trained inside, and of the study's own models."""
    found: dict[str, DataKeys] = {}
    order: list[str] = []
    for name, fields in ran.events:
        if name == "stage_done" and fields["stage"] == "model":
            inputs = store.open(fields["key"]).record["inputs"]
            if inputs["split"] not in found:
                order.append(inputs["split"])
            found[inputs["split"]] = {k: inputs[k] for k in ("inventory", "pixels", "split")}  # type: ignore[assignment]
    return [found[key] for key in order[:-1]], found[order[-1]]


def test_folds_hold_training_images_only_and_each_image_once(chosen: tuple[Ran, Store]) -> None:
    ran, store = chosen
    (inside,), outside = keys_of(ran, store)
    for draw in range(2):
        train = set(members(store, outside, draw, "train").tolist())
        folds = [members(store, inside, 3 * draw + fold, "validation") for fold in range(3)]
        assert set(np.concatenate(folds).tolist()) == train
        assert sum(map(len, folds)) == len(train)
        for fold, held_out in enumerate(folds):
            learnt = set(members(store, inside, 3 * draw + fold, "train").tolist())
            assert learnt == train - set(held_out.tolist())
            assert len(members(store, inside, 3 * draw + fold, "test")) == 0


def test_choices_are_recorded_before_the_study_trains_and_shown(chosen: tuple[Ran, Store]) -> None:
    ran, _ = chosen
    decisions = {one["name"]: one for one in ran.results["decisions"]}
    assert decisions["selection"]["value"] == "cross_selection"
    assert decisions["augmentation"]["value"] in ("light", "medium", "strong")
    for name in ("augmentation", "best_rival", "primary_arm"):
        assert "on validation" in decisions[name]["reason"]
    names = [name for name, _ in ran.events]
    assert names.index("test_opened") > max(
        i for i, (name, _) in enumerate(ran.events) if name == "decision"
    )


def test_the_verdict_says_that_its_arms_were_selected(chosen: tuple[Ran, Store]) -> None:
    ran, _ = chosen
    assert ran.results["verdict"]["selected"]
    assert ran.results["study"]["selection"] == "cross_selection"


def test_models_inside_are_never_tested(chosen: tuple[Ran, Store], tmp_path: Path) -> None:
    ran, store = chosen
    (inside,), _ = keys_of(ran, store)
    predicted = [
        store.open(fields["key"]).record["inputs"]
        for name, fields in ran.events
        if name == "stage_done" and fields["stage"] == "predict"
    ]
    assert predicted
    assert all(inputs.get("split") != inside["split"] for inputs in predicted)
