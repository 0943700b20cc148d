"""A study that leaves its filters out one by one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from synthlift import api
from synthlift.api.training_sets import arm_images
from synthlift.errors import InputError
from synthlift.spec.arms import ArmSpec, expand_arms
from tests.e2e.tiny import Ran, draw_folder, names, run, study_of

FILTERS = [
    "near_copies",
    {"name": "agreement", "kind": "class_agreement", "keep": 0.6},
    "diversity",
]
ABLATED = {"kind": "mixed", "multiples": [0.5], "recipes": ["best_rival"], "ablation": True}
FULL = "mixed@0.5+rival"
WITHOUT = ["near_copies", "agreement", "diversity"]


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("ablated")
    source = draw_folder(home / "drawn")
    study = study_of(source, curation=FILTERS, arms=["real", "augmented", ABLATED])
    return run(study, home=home)


def test_every_filter_is_left_out_once_and_all_together(ablated: Ran) -> None:
    arms = [f"mixed-without_{name}@0.5+rival" for name in WITHOUT]
    arms.append("mixed-uncurated@0.5+rival")
    assert names(ablated.results) == ["real", "augmented", FULL, *arms]
    roles = {arm["name"]: arm["role"] for arm in ablated.results["arms"]}
    assert all(roles[name] == "control" for name in arms)
    assert ablated.results["verdict"]["arm"] == FULL


def test_the_shares_kept_are_what_the_verdicts_say(ablated: Ran) -> None:
    table = pd.read_parquet(ablated.folder / "verdicts.parquet")
    effects = {one["left_out"]: one for one in ablated.results["filters"]}
    assert set(effects) == {*WITHOUT, ""}
    full = effects["agreement"]["reference_kept"]
    assert full == pytest.approx(table["kept"].mean())
    for name in WITHOUT:
        assert full <= effects[name]["kept"] <= full + (table["rejected_by"] == name).mean() + 1e-9
    assert effects["agreement"]["kept"] > full
    assert effects["diversity"]["kept"] == pytest.approx(
        full + (table["rejected_by"] == "diversity").mean()
    )
    assert effects[""]["kept"] == 1


def test_all_rows_train_on_equally_many_images_of_which_some_differ(ablated: Ran) -> None:
    synthetic = {
        arm["name"]: arm["synthetic"] for arm in ablated.results["arms"] if "mixed" in arm["name"]
    }
    assert len({tuple(counts.values()) for counts in synthetic.values()}) == 1
    loaded = api.load(ablated.folder)
    uncurated = next(arm for arm in loaded.planned_arms() if not arm.curated)
    curated = next(arm for arm in loaded.planned_arms() if arm.name == FULL)
    first, second = (
        {one.id for one in arm_images(loaded, arm) if one.origin == "synthetic"}
        for arm in (uncurated, curated)
    )
    assert len(first) == len(second)
    assert first != second


def test_the_report_compares_each_with_all_filters(ablated: Ran) -> None:
    changes = [one for one in ablated.results["contrasts"] if one["family"] == "without_filters"]
    assert [one["reference"] for one in changes] == [FULL] * 4
    assert all(one["p_holm"] is not None for one in changes)
    report = (ablated.folder / "report.html").read_text()
    assert "What each filter changes" in report
    assert "without diversity" in report
    assert "no filter" in report


def test_an_arm_of_the_ablation_is_not_handed_out(ablated: Ran) -> None:
    loaded = api.load(ablated.folder)
    arm = next(arm for arm in loaded.planned_arms() if arm.without == "agreement")
    with pytest.raises(InputError, match="keeps what one filter rejects"):
        arm_images(loaded, arm)


def test_a_study_without_ablation_has_none(tmp_path: Path) -> None:
    arms = expand_arms([ArmSpec(kind="mixed")], generators=["flow"], filters=["near_copies"])
    assert not any(arm.without for arm in arms)
    spec = ArmSpec.model_validate({"kind": "targeted", "ablation": True, "multiples": [1, 2]})
    arms = expand_arms([spec], generators=["flow"], filters=["a", "b"])
    assert len(arms) == 4 * (1 + 3)
    assert {arm.without for arm in arms if arm.role == "control"} == {"a", "b", ""}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "batch_share", "ablation": True},
        {"kind": "mixed", "ablation": True, "curated": False},
        {"kind": "mixed", "ablation": True, "posing": "fresh"},
    ],
)
def test_an_ablation_needs_filters_and_a_generator(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="'ablation'"):
        ArmSpec.model_validate(wrong)
