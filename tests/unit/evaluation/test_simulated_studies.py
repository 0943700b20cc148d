from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from synthlift.evaluation.simulate import (
    WORLDS,
    World,
    characteristics,
    main,
    simulate,
    study_arrays,
)

STUDIES = 200
RECORD = Path(__file__).parents[3] / "results" / "honesty" / "simulation.json"


def at_most(share: float, studies: int) -> float:
    """A share that a true rate of ``share`` exceeds in fewer than 1 of 1,000 runs."""
    return share + 3.1 * sqrt(share * (1 - share) / studies)


@pytest.mark.parametrize(("fits", "seeds", "ratio"), [(5, 2, 0.7), (10, 1, 0.9)])
def test_quick_operating_characteristics(fits: int, seeds: int, ratio: float) -> None:
    world = World(fits=fits, seeds=seeds)
    found = characteristics(world, studies=STUDIES, seed=1)
    assert found["null"]["above_0"] <= at_most(0.035, STUDIES)
    assert found["null"]["below_0"] <= at_most(0.035, STUDIES)
    assert found["at_margin"]["inside_margin"] <= at_most(0.05, STUDIES)
    power = found["power"]
    assert power["oracle"] >= 0.8 - 3.1 * sqrt(0.8 * 0.2 / STUDIES)
    assert power["verdict"] >= ratio * power["oracle"] - 3.1 * sqrt(0.25 / STUDIES)
    assert found["mean_standard_error"] == pytest.approx(found["standard_deviation"], rel=0.15)


def test_nested_bootstrap_fails_the_null_test() -> None:
    signs = [simulate(World(), seed=seed, nested=True).nested for seed in range(200)]
    assert np.mean(np.abs(np.array(signs, dtype=float))) > at_most(2 * 0.035, 200)


def test_effects_are_what_they_claim() -> None:
    world = World(effect=0.05, per_class=(400,) * 3, fits=40, seeds=1, fit=0.02)
    differences = []
    for seed in range(8):
        _, _, _, scores = study_arrays(world, np.random.default_rng(seed))
        differences.append(float(scores[3:].mean() - scores[:3].mean()))
    error = np.std(differences, ddof=1) / sqrt(len(differences))
    assert np.mean(differences) == pytest.approx(0.05, abs=stats.t.ppf(0.999, 7) * error)


def test_cross_validated_studies_run_and_command_prints_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--studies", "40", "--only", "cross", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (name,) = printed
    assert "cross-validated" in name
    assert printed[name]["studies"] == 10
    assert sum(printed[name]["null"][side] for side in ("above_0", "below_0")) <= 0.5


def promises() -> list[Any]:
    if not RECORD.is_file():
        return [pytest.param("", {}, marks=pytest.mark.skip(reason=f"no {RECORD.name} here"))]
    return list(json.loads(RECORD.read_text()).items())


@pytest.mark.parametrize(("name", "found"), promises())
def test_committed_figures_keep_the_promises(name: str, found: dict[str, Any]) -> None:
    assert found["studies"] >= 2_500
    assert name in WORLDS
    assert found["null"]["above_0"] <= 0.035
    assert found["null"]["below_0"] <= 0.035
    assert found["at_margin"]["inside_margin"] <= 0.05
    assert found["power"]["oracle"] >= 0.8
    world = WORLDS[name]
    if not world.folds:
        assert found["power_ratio"] >= (0.9 if world.fits >= 10 else 0.7)
        nested = found["nested_bootstrap_null"]
        assert min(nested["above_0"], nested["below_0"]) > 0.035
