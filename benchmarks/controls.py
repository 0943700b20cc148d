"""Claim: with the answer known, the verdict gives it, in at least 9 of 10 whole trained studies.

Real digits pose as synthetic images (METHOD §4, "Proof that the verdict is honest"): training
images *resampled* must neither help nor harm, *fresh* images of the pool must help, fresh images
with *shuffled* labels must harm. Five training sets of 5 images a class, two seeds each, one locked
test set; both arms share one recipe. Nothing is tuned by seed: seeds are 0, 1, 2 …

    python benchmarks/controls.py --seeds 10 --out results/honesty/controls.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthlift.spec.study import Study
from synthlift.study.driver import Options, conduct
from synthlift.study.executors.local import Listener

EXPECTED = {
    "resampled": {"equivalent", "no_detectable_effect"},
    "fresh": {"helps"},
    "shuffled": {"harms"},
}
MULTIPLE = 3
STEPS = 60


def control_study(posing: str, *, seed: int) -> Study:
    """Real images alone against real images with three posing ones beside each."""
    split = {"design": "redrawn", "draws": 5, "per_class": 5, "validation": 0.2}
    mixed = {
        "kind": "mixed",
        "posing": posing,
        "multiples": [MULTIPLE],
        "recipes": ["best_rival"],
    }
    return Study.model_validate(
        {
            "name": f"control-{posing}-{seed}",
            "data": {"source": "sklearn:digits", "split": split},
            "generators": [],
            "curation": [],
            "arms": ["real", mixed],
            "training": {"steps": STEPS, "batch_size": 32, "flip": "no"},
            "replicates": 10,
            "seed": seed,
        }
    )


def run_control(posing: str, *, seed: int, home: Path, workers: int) -> dict[str, Any]:
    """Run one control under ``home``; the three controls of a seed share its store.

    Returns:
        word, difference, low, high, exploratory_reasons and ``right``: whether the word is one of
        the expected ones.
    """
    # Each control has a ledger of its own: it stands for a study of its own.
    with _ledger(home / "ledgers" / f"{posing}-{seed}"):
        folder = conduct(
            control_study(posing, seed=seed),
            base=home,
            options=Options(out=home / f"{posing}-{seed}", store=home / "store", workers=workers),
            listener=Listener(),
        )
    verdict = json.loads((folder / "results.json").read_text())["verdict"]
    difference = verdict["contrast"]["difference"]
    return {
        "control": posing,
        "seed": seed,
        "word": verdict["word"],
        "right": verdict["word"] in EXPECTED[posing],
        **{name: difference[name] for name in ("value", "low", "high")},
        "exploratory_reasons": verdict["exploratory_reasons"],
    }


@contextlib.contextmanager
def _ledger(folder: Path) -> Iterator[None]:
    before = os.environ.get("SYNTHLIFT_DATA_HOME")
    os.environ["SYNTHLIFT_DATA_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SYNTHLIFT_DATA_HOME"]
        else:
            os.environ["SYNTHLIFT_DATA_HOME"] = before


def run_all(seeds: int, *, home: Path, workers: int) -> dict[str, Any]:
    """All controls for seeds 0 … ``seeds`` − 1, and how many were right."""
    began = time.monotonic()
    runs = [
        run_control(posing, seed=seed, home=home, workers=workers)
        for seed in range(seeds)
        for posing in EXPECTED
    ]
    right = {
        posing: sum(run["right"] for run in runs if run["control"] == posing) for posing in EXPECTED
    }
    return {
        "seeds": seeds,
        "right": right,
        "seconds": round(time.monotonic() - began, 1),
        "study": control_study("fresh", seed=0).model_dump(mode="json"),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = run_all(given.seeds, home=Path(home), workers=given.workers)
    for posing, right in found["right"].items():
        print(f"{posing:10} {right} of {given.seeds} right")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
