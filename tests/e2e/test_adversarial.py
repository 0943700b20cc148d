"""A study with generators that draw in one pass; the adversarial one has gone wrong."""

from __future__ import annotations

from pathlib import Path

from synthlift.spec.study import Study
from tests.e2e.tiny import ARMS, draw_folder, run, study_of


def _study(folder: Path) -> Study:
    broken = {"kind": "gan", "steps": 8, "width": 8, "batch_size": 8, "readings": 4}
    small = {"kind": "vae", "steps": 40, "width": 32, "readings": 2}
    arms = [*ARMS, {"kind": "mixed", "generator": "vae", "multiples": [0.5]}]
    return study_of(folder, generators=[broken, small], arms=arms)


def test_a_collapse_is_told_in_results_and_report(tmp_path: Path) -> None:
    ran = run(_study(draw_folder(tmp_path / "images")), home=tmp_path)
    by_name = {one["name"]: one for one in ran.results["generators"]}
    gan, vae = by_name["gan"], by_name["vae"]
    assert vae["warnings"] == []
    (warning, *_) = gan["warnings"]
    assert "the generator had collapsed" in warning
    assert f"Generator 'gan': {warning}" in ran.results["verdict"]["warnings"]
    told = {name for point in gan["history"] for name in point}
    assert {"discriminator_gap", "gradient_penalty_real", "diversity"} <= told
    assert {"loss", "divergence"} <= {name for point in vae["history"] for name in point}
    page = (ran.folder / "report.html").read_text()
    assert "<h4>Diversity</h4>" in page
    assert page.count("the generator had collapsed") >= 2
    assert "gan.problem" in {name for name, _ in ran.events} | set(_logged(ran.folder))


def _logged(folder: Path) -> list[str]:
    from tests.e2e.tiny import read_log

    return [name for name, _ in read_log(folder)]
