"""The trained controls at full size; the figures of the last run lie in ``results/honesty``.

``python benchmarks/controls.py --seeds 10 --out results/honesty/controls.json`` writes them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.controls import EXPECTED, run_all

SEEDS = 10


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_verdict_is_right_in_nine_of_ten(tmp_path: Path) -> None:
    found = run_all(SEEDS, home=tmp_path, workers=2)
    assert set(found["right"]) == set(EXPECTED)
    for posing, right in found["right"].items():
        words = [run["word"] for run in found["runs"] if run["control"] == posing]
        assert right >= 9, f"{posing}: {words}"
