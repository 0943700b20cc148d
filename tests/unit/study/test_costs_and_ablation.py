"""What work cost where a GPU did it, and which arms an ablation compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthlift.reporting.reading import Reading
from synthlift.reporting.sections.facts import costs
from synthlift.spec.arms import expand_arms
from synthlift.spec.study import Study
from synthlift.store import Artefact
from synthlift.study.ablation import with_all_filters
from synthlift.study.energy import WATTS_PER_CORE, kwh_by_key, taken
from synthlift.study.environment import cost_table
from tests.unit.reporting.sample import sample_results


def _artefact(folder: Path, stage: str, device: str | None) -> Artefact:
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(bytes(1024))
    cost = {"seconds": 3600.0, "cpu_seconds": 1800.0, "peak_memory_mib": 100.0}
    numerics = {} if device is None else {"device": device}
    return Artefact(folder.name, folder, {"stage": stage, "cost": cost, "numerics": numerics})


def test_a_gpus_energy_is_not_told_as_that_of_the_core_that_waits_for_it(tmp_path: Path) -> None:
    made = [
        _artefact(tmp_path / "r", "read", None),
        _artefact(tmp_path / "c", "judge", "cpu"),
        _artefact(tmp_path / "f", "fit", "cuda"),
    ]
    spent = taken(made)
    read, judge, fit = cost_table(spent, kwh_by_key(spent))
    assert read.energy_kwh == judge.energy_kwh == pytest.approx(1800 * WATTS_PER_CORE / 3.6e6)
    assert fit.energy_kwh is None
    assert "GPU" in fit.energy_method
    results = sample_results()
    results.cost = [read, judge, fit]
    view = costs(Reading(results))
    assert view is not None
    assert [row.energy for row in view.rows][-1] == "–"
    assert "stages without an energy figure are not in the sum" in view.methods


def test_an_ablation_compares_with_the_arm_that_differs_by_filters_alone() -> None:
    study = Study.model_validate(
        {
            "name": "ablated",
            "data": {"source": "somewhere"},
            "generators": ["flow"],
            "arms": [
                "real",
                {"kind": "mixed", "multiples": [1], "recipes": ["plain"], "ablation": True},
                {"kind": "mixed", "multiples": [1], "recipes": ["plain"], "tuning": "linear_probe"},
            ],
        }
    )
    names = [component.title for component in study.curation]
    pairs = with_all_filters(expand_arms(study.arms, generators=["flow"], filters=names))
    assert len(pairs) > 1
    assert set(pairs.values()) == {"mixed@1"}
