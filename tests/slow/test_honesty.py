"""The verdict's promises at full size (METHOD §4); about ten minutes on one core.

The figures of the last full run are committed under ``results/honesty``.
"""

from __future__ import annotations

import pytest

from synthlift.evaluation.simulate import WORLDS, characteristics


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", list(WORLDS))
def test_verdict_is_honest(name: str) -> None:
    world = WORLDS[name]
    found = characteristics(world, studies=2_500 if world.folds else 10_000)
    assert found["null"]["above_0"] <= 0.035
    assert found["null"]["below_0"] <= 0.035
    if not world.folds:
        assert found["power"]["oracle"] >= 0.8
        assert found["power_ratio"] >= (0.9 if world.fits >= 10 else 0.7)
        nested = found["nested_bootstrap_null"]
        assert min(nested["above_0"], nested["below_0"]) > 0.035
    assert found["at_margin"]["inside_margin"] <= 0.05
