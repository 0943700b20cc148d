"""Claim: a fifth of the evaluations of our 35-step sampler, and fewer, cost no accuracy.

Flow generators are fitted on 1,000 of scikit-learn's digits, each on another split. Every sampler
draws the same requests from each of them; a support vector machine learns from the drawn digits and
is tested on the real ones that no generator has seen (train on synthetic, test on real). The
baseline is Heun's method in 35 steps, which takes 69 evaluations. Differences to it are paired
within a fit; intervals are Student's over fits.

    python benchmarks/few_steps.py --fits 8 --json few_steps.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.generator import FlowFitted, FlowGenerator
from synthlift.generators.flow.samplers import SAMPLERS, even_times
from synthlift.generators.flow.saving import read_folder
from synthlift.generators.flow.space import PixelSpace
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8
from synthlift.vision.quality import measure_quality

BASELINE = ("heun", 35)
TRIED = (
    BASELINE,
    ("heun", 6),
    ("heun", 4),
    ("heun", 3),
    *(("ab2", steps) for steps in (13, 7, 6, 5, 4, 3, 2)),
    *(("euler", steps) for steps in (13, 7, 5, 4, 2, 1)),
)
TRAINING = 1000
FIGURES = ("kid", "coverage", "told_apart")


def evaluations(sampler: str, steps: int) -> int:
    """How often a sampler asks for the velocity; with guidance each is two passes."""
    asked: list[float] = []

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return x

    SAMPLERS[sampler](velocity, torch.zeros(1), even_times(steps))
    return len(asked)


def split(seed: int) -> tuple[ImageSet, ImageSet]:
    """Training digits, and the others."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[order, :, :, np.newaxis]
    every = ImageSet.from_arrays(pixels, digits.target[order], tuple("0123456789"))
    rows = np.arange(len(every))
    return every.subset(rows[:TRAINING]), every.subset(rows[TRAINING:])


def fit(train: ImageSet, *, seed: int, folder: Path) -> Path:
    """Fit with the default settings; nothing is held out, so nothing watches."""
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    inputs = FitInputs(train=train, validation=train.subset(np.arange(0)), test=lock)
    run = RunContext(folder=folder, seed=seed)
    FlowGenerator(FlowConfig()).fit(inputs, run=run).save(folder / "generator")
    return folder / "generator"


def with_sampler(folder: Path, sampler: str, steps: int) -> FlowFitted:
    """The same weights with another sampler."""
    plan, weights, facts = read_folder(folder)
    config = {**facts["config"], "sampler": sampler, "sampler_steps": steps}
    space = PixelSpace(plan["image_shape"])
    return FlowFitted(plan=plan, weights=weights, history={**facts, "config": config}, space=space)


def flat(pixels: UInt8) -> np.ndarray:
    """Pixels as features in [0, 1], float32 [n, D]."""
    return (pixels.reshape(len(pixels), -1) / 255).astype(np.float32)


def measure(seed: int, *, images: int) -> dict[str, dict[str, float]]:
    """All samplers on one fit, by name."""
    train, unseen = split(seed)
    real, truth = flat(unseen.pixels()), unseen.labels
    requests = [SampleRequest(index=i, label=i % 10, seed=seed * 10**6 + i) for i in range(images)]
    labels = np.array([request.label for request in requests])
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        saved = fit(train, seed=seed, folder=Path(name))
        first = np.zeros(0)
        for sampler, steps in TRIED:
            fitted = with_sampler(saved, sampler, steps)
            began, worked = time.perf_counter(), time.process_time()
            drawn = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
            wall, cpu = time.perf_counter() - began, time.process_time() - worked
            first = drawn.astype(float) if (sampler, steps) == BASELINE else first
            quality = measure_quality(
                flat(drawn),
                labels,
                train=flat(train.pixels()),
                train_labels=train.labels,
                held_out=real,
                held_out_labels=truth,
            )
            assert quality is not None
            found[f"{sampler} {steps}"] = {
                "accuracy": float(SVC(C=10).fit(flat(drawn), labels).score(real, truth)),
                "grey_levels_off": float(np.abs(drawn - first).mean()),
                **{figure: float(getattr(quality.generated, figure)) for figure in FIGURES},
                "wall_seconds": wall,
                "cpu_seconds": cpu,
            }
    learnt = SVC(C=10).fit(flat(train.pixels()), train.labels)
    found["real images"] = {"accuracy": float(learnt.score(real, truth))}
    return found


def summarise(fits: Sequence[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """One row a sampler: means over fits, and the paired difference to the baseline."""
    rows = []
    start = "{} {}".format(*BASELINE)
    for sampler, steps in TRIED:
        mine = [one[f"{sampler} {steps}"] for one in fits]
        away = 100 * np.array(
            [
                one["accuracy"] - all_[start]["accuracy"]
                for one, all_ in zip(mine, fits, strict=True)
            ]
        )
        half = 0.0
        if len(fits) > 1:
            quantile = student.ppf(0.975, len(fits) - 1)
            half = float(quantile * away.std(ddof=1) / np.sqrt(len(fits)))
        rows.append(
            {
                "sampler": sampler,
                "steps": steps,
                "evaluations": evaluations(sampler, steps),
                "points_to_baseline": float(away.mean()),
                "low": float(away.mean()) - half,
                "high": float(away.mean()) + half,
                **{name: float(np.mean([one[name] for one in mine])) for name in mine[0]},
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=8)
    parser.add_argument("--images", type=int, default=1000, help="drawn by each sampler")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    fits = []
    for seed in range(1, given.fits + 1):
        fits.append(measure(seed, images=given.images))
        print(f"fit {seed} of {given.fits}", flush=True)
    rows = summarise(fits)
    real = float(np.mean([one["real images"]["accuracy"] for one in fits]))
    print(f"trained on real images: {100 * real:.1f} %")
    for row in rows:
        print(
            f"{row['sampler']:>5} {row['steps']:2d}   {row['evaluations']:2d} evaluations   "
            f"{100 * row['accuracy']:.2f} %   {row['points_to_baseline']:+.2f} points "
            f"({row['low']:+.2f} to {row['high']:+.2f})   "
            f"{row['grey_levels_off']:5.2f} grey levels off   KID {row['kid']:.3f}   "
            f"coverage {row['coverage']:.2f}   told apart {row['told_apart']:.2f}   "
            f"{row['wall_seconds']:.2f} s"
        )
    if given.json:
        environment = describe_environment("cpu", 1)
        told = {"rows": rows, "real": real, "fits": fits, "environment": environment}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
