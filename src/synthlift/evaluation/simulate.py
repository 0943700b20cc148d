"""Simulated studies: does the verdict keep its promises?

Each study has classes of different difficulty, images of different difficulty, an arm × image
effect that is constant over replicates, fit and fit × image effects, and noise of each model. It
runs through the functions that :func:`outcome.evaluate_study` uses for the primary contrast, the
choices on validation included. The wrong *nested* bootstrap (fresh images for each replicate)
runs beside it and must fail.

    python -m synthlift.evaluation.simulate --studies 10000 --json

Under the null all arms have the same expected score, so the true difference is 0 whatever was
chosen. The oracle is a z-test that knows the true standard deviation of the estimate.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize, stats

from synthlift.evaluation.crossed import Layout, crossed_interval, layout, row_means, whole_rounds
from synthlift.evaluation.crossvalidated import nadeau_bengio
from synthlift.evaluation.intervals import Interval
from synthlift.evaluation.selection import choose_multiple, highest
from synthlift.evaluation.verdict import judge
from synthlift.seeds import generator_for
from synthlift.types import Float64, Int64

Z = 1.959963984540054
NESTED_DRAWS = 200
# The nested bootstrap runs in one study of four: enough to see it fail, at a bearable price.
NESTED_SHARE = 4
INSIDE = ("equivalent", "helps_less_than_margin", "harms_less_than_margin")


@dataclass(frozen=True)
class World:
    """How studies of one kind come about; standard deviations on the probit scale.

    Attributes:
        folds: 0 for designs A and B, else the folds of design C.
        repeats: of the folds.
        fits, seeds: rows and replicates per row (designs A and B).
        per_class: test images per class (all images per class in design C).
        validation: validation images per class.
        ease: mean probit of the classes, and its spread over them.
        image: difficulty of an image, common to all arms.
        arm_image: arm × image, constant over replicates.
        fit, fit_image: of a generator fit (of a replicate, for rivals).
        training: of a training set (design C; shared as far as training sets overlap).
        noise: of each model on each image.
        multiples: candidates beside multiple 0; they share 70 % of their effects.
        rivals: number of rivals.
        margin: δ.
        effect: true difference in balanced accuracy between generative arms and rivals.
    """

    folds: int = 0
    repeats: int = 2
    fits: int = 5
    seeds: int = 2
    per_class: tuple[int, ...] = (40,) * 10
    validation: int = 20
    ease: tuple[float, float] = (1.0, 0.5)
    image: float = 1.0
    arm_image: float = 0.35
    fit: float = 0.05
    fit_image: float = 0.3
    training: float = 0.0
    noise: float = 0.3
    multiples: tuple[float, ...] = (0.5, 1.0, 2.0)
    rivals: int = 3
    margin: float = 0.04
    effect: float = 0.0

    @property
    def spread(self) -> float:
        """Standard deviation of an image's score under one model."""
        parts = (self.image, self.arm_image, self.fit, self.fit_image, self.training, self.noise)
        return float(np.sqrt(sum(part**2 for part in parts)))

    @property
    def eases(self) -> Float64:
        """Probit of each class."""
        middle, width = self.ease
        values: Float64 = np.linspace(middle - width, middle + width, len(self.per_class))
        return values

    @property
    def shift(self) -> float:
        """Shift of the generative arms' score that makes the true difference ``effect``."""
        if self.effect == 0:
            return 0.0

        def gap(shift: float) -> float:
            levels = stats.norm.cdf((self.eases + shift) / self.spread)
            base = stats.norm.cdf(self.eases / self.spread)
            return float(np.mean(levels - base)) - self.effect

        return float(optimize.brentq(gap, -3, 5))


@dataclass(frozen=True)
class Simulated:
    """One study's answer, and the sign that the nested bootstrap finds (None = not run)."""

    interval: Interval
    nested: int | None
    discordant: float


def simulate(world: World, *, seed: int, nested: bool = False) -> Simulated:
    """Run one simulated study of ``world``."""
    rng = generator_for(seed, "simulated_study")
    return _folded(world, rng) if world.folds else _shared(world, rng, nested=nested)


# ── designs A and B ───────────────────────────────────────────────────────────────────────────


def study_arrays(world: World, rng: np.random.Generator) -> tuple[Int64, Float64, Int64, Float64]:
    """Validation labels and scores, test labels and scores; scores [arms, R, n], 1 = right.

    Rivals come first, then one generative arm per multiple.
    """
    fits = np.tile(np.arange(world.fits), world.seeds)
    effects = _fit_effects(world, rng, replicates=len(fits))
    parts: list[Any] = []
    for sizes in ((world.validation,) * len(world.per_class), world.per_class):
        labels = np.repeat(np.arange(len(sizes)), sizes)
        parts += [labels, _score_images(world, rng, labels=labels, fits=fits, effects=effects)]
    return parts[0], parts[1], parts[2], parts[3]


def _fit_effects(world: World, rng: np.random.Generator, *, replicates: int) -> Float64:
    """Shift of each arm and replicate [arms, R]; multiples share most of a generator's."""
    own = rng.standard_normal((world.rivals + len(world.multiples), replicates))
    several = rng.standard_normal((len(world.multiples), world.fits))
    shared = rng.standard_normal(world.fits)
    mixed = np.sqrt(0.7) * shared + np.sqrt(0.3) * several
    own[world.rivals :] = np.tile(mixed, (1, world.seeds))
    return world.fit * own


def _score_images(
    world: World,
    rng: np.random.Generator,
    *,
    labels: Int64,
    fits: Int64,
    effects: Float64,
) -> Float64:
    arms, replicates = effects.shape
    n, rivals = len(labels), world.rivals
    base = world.eases[labels] + world.image * rng.standard_normal(n)
    latent = world.noise * rng.standard_normal((arms, replicates, n))
    latent += base + effects[:, :, None]
    latent[:rivals] += world.fit_image * rng.standard_normal((rivals, replicates, n))
    latent[rivals:] += world.fit_image * _related(rng, arms - rivals, (world.fits, n))[:, fits]
    own = np.concatenate([rng.standard_normal((rivals, n)), _related(rng, arms - rivals, (n,))])
    latent += world.arm_image * own[:, None]
    latent[rivals:] += world.shift
    right: Float64 = (latent > 0).astype(np.float64)
    return right


def _related(rng: np.random.Generator, arms: int, shape: tuple[int, ...]) -> Float64:
    """Standard normal effects of the multiples [arms, …], correlated 0.7."""
    shared = rng.standard_normal(shape)
    mixed: Float64 = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.standard_normal((arms, *shape))
    return mixed


def choose(world: World, scores: Float64, design: Layout) -> tuple[int, int]:
    """Choose rival and generative arm from validation scores per row [arms, F, n]."""
    values = (scores.mean(axis=1)[:, design.images] @ design.weights).tolist()
    rival = highest(values[: world.rivals])
    arms = [rival, *range(world.rivals, len(scores))]

    def spread(one: int, other: int) -> float:
        return crossed_interval(scores[arms[one]] - scores[arms[other]], design).standard_error

    chosen, _ = choose_multiple([0.0, *world.multiples], [values[a] for a in arms], spread)
    return rival, arms[chosen]


def _shared(world: World, rng: np.random.Generator, *, nested: bool) -> Simulated:
    labels_v, scores_v, labels, scores = study_arrays(world, rng)
    rows = whole_rounds(np.tile(np.arange(world.fits), world.seeds))
    validation = layout(labels_v, np.arange(len(labels_v)), by="classes")
    means = np.stack([row_means(arm, rows) for arm in scores_v])
    rival, generative = choose(world, means, validation)
    difference = scores[generative] - scores[rival]
    design = layout(labels, np.arange(len(labels)), by="classes")
    return Simulated(
        interval=crossed_interval(row_means(difference, rows), design),
        nested=_nested(difference, labels, rng) if nested else None,
        discordant=float(np.abs(difference).mean()),
    )


def _nested(difference: Float64, labels: Int64, rng: np.random.Generator) -> int:
    """The wrong bootstrap: replicates are drawn, then fresh images for each; +1, 0 or −1.

    Images are drawn within class; as each adds −1, 0 or 1, a draw is a multinomial count.
    """
    classes = int(labels.max()) + 1
    replicates = len(difference)
    sizes = np.bincount(labels)
    share = np.stack(
        [
            [(difference[:, labels == k] == value).mean(axis=1) for value in (-1, 0, 1)]
            for k in range(classes)
        ]
    ).transpose(2, 0, 1)
    picked = rng.integers(replicates, size=(NESTED_DRAWS, replicates))
    counts = rng.multinomial(sizes, share[picked])
    means = ((counts[..., 2] - counts[..., 0]) / sizes).mean(axis=(1, 2))
    low, high = np.quantile(means, (0.025, 0.975))
    return int(low > 0) - int(high < 0)


# ── design C ──────────────────────────────────────────────────────────────────────────────────


def _folded(world: World, rng: np.random.Generator) -> Simulated:
    """Folds × repeats; every fold chooses its own arms on its own validation images."""
    labels = np.repeat(np.arange(len(world.per_class)), world.per_class)
    n, arms = len(labels), world.rivals + len(world.multiples)
    base = world.eases[labels] + world.image * rng.standard_normal(n)
    own = world.arm_image * np.concatenate(
        [rng.standard_normal((world.rivals, n)), _related(rng, len(world.multiples), (n,))]
    )
    teaching = np.concatenate(
        [rng.standard_normal((world.rivals, n)), _related(rng, len(world.multiples), (n,))]
    )
    shift = np.where(np.arange(arms) >= world.rivals, world.shift, 0.0)
    values, discordant = [], []
    for fold in _fold_indices(world, labels, rng):
        tested, rest = np.flatnonzero(fold), rng.permutation(np.flatnonzero(~fold))
        kept = len(labels) // 10
        validated, trained = np.sort(rest[:kept]), rest[kept:]
        taught = world.training * np.sqrt(len(trained)) * teaching[:, trained].mean(axis=1)
        model = shift + taught + world.fit * rng.standard_normal(arms)
        spread = float(np.hypot(world.fit_image, world.noise))
        latent = base + own + model[:, None] + spread * rng.standard_normal((arms, n))
        scores = (latent > 0).astype(np.float64)
        design = layout(labels[validated], np.arange(kept), by="classes")
        rival, generative = choose(world, scores[:, None, validated], design)
        difference = (scores[generative] - scores[rival])[tested]
        weights = layout(labels[tested], np.arange(len(tested)), by="classes").weights
        values.append(float(difference @ weights))
        discordant.append(float(np.abs(difference).mean()))
    whole = layout(labels, np.arange(n), by="classes")
    ratio = (n / world.folds) / (n - n / world.folds - n // 10)
    interval = nadeau_bengio(np.array(values), test_train_ratio=ratio, floor=whole.variance_floor)
    return Simulated(interval, None, float(np.mean(discordant)))


def _fold_indices(world: World, labels: Int64, rng: np.random.Generator) -> list[np.ndarray]:
    folds = []
    for _ in range(world.repeats):
        assigned = np.empty(len(labels), dtype=np.int64)
        for k in range(len(world.per_class)):
            members = rng.permutation(np.flatnonzero(labels == k))
            assigned[members] = (np.arange(len(members)) + rng.integers(world.folds)) % world.folds
        folds += [assigned == fold for fold in range(world.folds)]
    return folds


# ── operating characteristics ─────────────────────────────────────────────────────────────────


def characteristics(world: World, *, studies: int, seed: int = 0) -> dict[str, Any]:
    """Error rates under the null and at the margin, and power against the oracle.

    Args:
        world: with effect 0.
        studies: per condition.
        seed: studies derive theirs from it.
    """
    nested = 0 if world.folds else max(studies // NESTED_SHARE, 1)
    null = _many(world, studies=studies, seed=seed, condition="null", nested=nested)
    deviation = float(np.std([one.interval.value for one in null]))
    at_margin = _many(
        replace(world, effect=world.margin), studies=studies, seed=seed, condition="margin"
    )
    strong = replace(world, effect=(Z + 0.92) * deviation)
    powered = _many(strong, studies=studies, seed=seed, condition="power")
    spread = float(np.std([one.interval.value for one in powered]))
    oracle = float(np.mean([one.interval.value / spread > Z for one in powered]))
    power = _rates(powered, world.margin)["above_0"]
    result = {
        "studies": studies,
        "discordant": float(np.mean([one.discordant for one in null])),
        "standard_deviation": deviation,
        "mean_standard_error": float(np.mean([one.interval.standard_error for one in null])),
        "null": _rates(null, world.margin),
        "at_margin": {"margin": world.margin, **_rates(at_margin, world.margin)},
        "power": {"effect": strong.effect, "oracle": oracle, "verdict": power},
        "power_ratio": power / oracle,
    }
    if nested:
        signs = Counter(one.nested for one in null[:nested])
        result["nested_bootstrap_null"] = {
            "studies": nested,
            "above_0": signs[1] / nested,
            "below_0": signs[-1] / nested,
        }
    return result


def _many(
    world: World, *, studies: int, seed: int, condition: str, nested: int = 0
) -> list[Simulated]:
    seeds = generator_for(seed, condition).integers(2**62, size=studies)
    return [simulate(world, seed=int(one), nested=i < nested) for i, one in enumerate(seeds)]


def _rates(studies: Sequence[Simulated], margin: float) -> dict[str, float]:
    words = Counter(judge(one.interval, margin=margin) for one in studies)
    total = len(studies)
    return {
        "above_0": sum(one.interval.bounds()[0] > 0 for one in studies) / total,
        "below_0": sum(one.interval.bounds()[1] < 0 for one in studies) / total,
        "inside_margin": sum(n for word, n in words.items() if word in INSIDE) / total,
        **{word: count / total for word, count in sorted(words.items())},
    }


WORLDS = {
    "fixed, 5 fits x 2 seeds": World(),
    "fixed, 10 fits x 1 seed": World(fits=10, seeds=1),
    "fixed, 5 fits x 2 seeds, strong fit effect": World(fit=0.15),
    "fixed, 5 fits x 2 seeds, unequal classes": World(
        per_class=(120, 80, 60, 40, 30, 20, 15, 12, 12, 11)
    ),
    "fixed, 5 fits x 2 seeds, nothing selected": World(rivals=1, multiples=(1.0,)),
    "fixed, 5 fits x 2 seeds, unequal classes, nothing selected": World(
        per_class=(120, 80, 60, 40, 30, 20, 15, 12, 12, 11), rivals=1, multiples=(1.0,)
    ),
    "cross-validated, 5 folds x 2 repeats": World(
        folds=5, per_class=(80,) * 6, training=0.05, margin=0.08
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the operating characteristics of every world."""
    parser = argparse.ArgumentParser(prog="python -m synthlift.evaluation.simulate")
    parser.add_argument("--studies", type=int, default=10_000, help="per condition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a world's name")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args(arguments)
    results = {}
    for name, world in WORLDS.items():
        if options.only in name:
            # Design C costs several times as much for each study.
            studies = options.studies if not world.folds else max(options.studies // 4, 1)
            print(f"{name}: {studies} studies per condition …", file=sys.stderr)
            results[name] = characteristics(world, studies=studies, seed=options.seed)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        for name, result in results.items():
            print(name, *(f"  {key}: {value}" for key, value in result.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
