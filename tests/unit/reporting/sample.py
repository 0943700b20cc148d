"""A realistic study as a ``Results`` object, with digit thumbnails, for the report's tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthlift.seeds import generator_for
from synthlift.spec.facts import (
    Counts,
    Decision,
    Estimate,
    Openings,
    StudyFacts,
)
from synthlift.spec.results import (
    Action,
    ArmResult,
    Cell,
    ClassResult,
    ClassVerdict,
    Contrast,
    CurvePoint,
    Results,
    Verdict,
)
from tests.unit.reporting.sample_parts import (
    sample_costs,
    sample_gallery,
    sample_gan,
    sample_generator,
)

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "auroc", "ece", "nll", "brier")
RIVAL, ARM = "logit_adjusted", "targeted@1+rival"
Role = Literal["rival", "generative", "control"]

ARMS: tuple[tuple[str, Role, float, dict[str, Any]], ...] = (
    ("real", "rival", 0.786, {}),
    ("augmented", "rival", 0.835, {"augmentation": "medium"}),
    ("class_balanced", "rival", 0.846, {"augmentation": "medium", "sampler": "class_balanced"}),
    ("logit_adjusted", "rival", 0.861, {"augmentation": "medium", "loss": "logit_adjusted"}),
    ("effective_number", "rival", 0.842, {"augmentation": "medium", "loss": "effective_number"}),
    ("targeted_duplication", "rival", 0.829, {"augmentation": "medium", "duplicate": True}),
    ("mixed@1", "generative", 0.812, {"multiple": 1}),
    ("mixed@1+rival", "generative", 0.866, {"multiple": 1, "loss": "logit_adjusted"}),
    ("targeted@1", "generative", 0.844, {"multiple": 1, "target": "fill_to_largest"}),
    ("targeted@1+rival", "generative", 0.892, {"multiple": 1, "target": "fill_to_largest"}),
    ("targeted@2", "generative", 0.848, {"multiple": 2, "target": "fill_to_largest"}),
    ("targeted@2+rival", "generative", 0.889, {"multiple": 2, "target": "fill_to_largest"}),
    ("synthetic_only@1", "generative", 0.641, {"regime": "synthetic_only"}),
    ("pretrain_finetune@1+rival", "generative", 0.871, {"regime": "pretrain_finetune"}),
    ("batch_share@1+rival", "generative", 0.868, {"regime": "batch_share", "curated": False}),
    ("uniform_fraction@1+rival", "control", 0.859, {"spread_evenly": True}),
)


def estimate(value: float, half: float = 0.014, n: int = 363) -> Estimate:
    """An estimate with a symmetric interval inside [0, 1]."""
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    return Estimate(value=value, low=low, high=high, n=n, method="crossed components, t")


def difference(arm: str, reference: str, value: float, half: float = 0.0165) -> Contrast:
    """A contrast with its 95 % and its equivalence interval."""
    return Contrast(
        arm=arm,
        reference=reference,
        metric="balanced_accuracy",
        difference=Estimate(value=value, low=value - half, high=value + half, n=363),
        equivalence_low=value - 0.87 * half,
        equivalence_high=value + 0.87 * half,
        standard_error=half / 2.1,
        degrees_of_freedom=9.3,
        p_value=0.002,
        p_holm=0.0132 if value > half else 0.61,
        minimal_detectable_effect=0.024,
    )


def sample_results(
    folder: Path | None = None,
    *,
    classes: Sequence[str] = DIGITS,
    more_arms: int = 0,
    exploratory: bool = False,
    live: bool = False,
    effect: float = 0.031,
) -> Results:
    """A finished study (or one that runs, with ``live``); thumbnails go to ``folder/gallery``."""
    arms = [_arm(*item, classes=classes, live=live) for item in _all_arms(more_arms)]
    contrasts = [difference(a[0], RIVAL, a[2] - 0.861) for a in _all_arms(0) if a[0] != RIVAL]
    return Results(
        created="2026-11-20T14:03:11Z",
        study=_facts(classes),
        verdict=None if live else _verdict(effect, exploratory),
        verdict_missing_because="31 of 160 models are trained." if live else "",
        actions=[] if live else _actions(),
        arms=arms,
        contrasts=[] if live else contrasts,
        classes=[] if live else [_class(name, i, len(classes)) for i, name in enumerate(classes)],
        interaction=None if live else difference(ARM, "real", -0.027, 0.02),
        table_3x3=[] if live else _table(),
        curve=_curve(),
        counts=_counts(classes),
        generators=[sample_generator(), sample_gan()],
        gallery=[] if folder is None else sample_gallery(folder, classes),
        openings=None if live else _openings(),
        cost=sample_costs(),
        decisions=_decisions(),
        limitations=[
            "One classifier, trained from scratch: a pretrained one may need no synthetic images.",
            "No external test set: how the classifier does on other scanners is unknown.",
            "Subgroups were not compared: no attributes were given.",
        ],
        environment={
            "python": "3.11.9",
            "packages": {"synthlift": "0.1.0", "torch": "2.15.0", "numpy": "2.4.1"},
            "device": "cpu",
            "threads": 1,
            "platform": "Linux-6.1-x86_64",
        },
        notes=["Stage: models, 31 of 160", "About 2 min left"] if live else ["No resume needed."],
    )


def _openings() -> Openings:
    return Openings(test_hash="9f2c" * 16, this_study=160, studies=1, models=160)


def _all_arms(more: int) -> list[tuple[str, Role, float, dict[str, Any]]]:
    extra: list[tuple[str, Role, float, dict[str, Any]]] = [
        (f"sd:mixed@{i + 1}+rival", "generative", 0.84 + 0.002 * i, {"multiple": i + 1})
        for i in range(more)
    ]
    return [*ARMS, *extra]


def _arm(
    name: str,
    role: Role,
    value: float,
    recipe: dict[str, Any],
    *,
    classes: Sequence[str],
    live: bool,
) -> ArmResult:
    metrics = {"balanced_accuracy": estimate(value), "accuracy": estimate(value + 0.008)}
    metrics |= {"macro_f1": estimate(value - 0.012), "auroc": estimate(0.97 + value / 40, 0.003)}
    metrics |= {"ece": estimate(0.041, 0.01), "nll": estimate(0.55, 0.04)}
    metrics |= {"brier": estimate(0.21, 0.02)}
    validation = {"accuracy": Estimate(value=value - 0.01, n=4, method="mean over models")}
    counts = {c: float(max(3, round(40 * 0.75**i))) for i, c in enumerate(classes)}
    synthetic = {c: 40 - n for c, n in counts.items()} if role != "rival" else {}
    return ArmResult(
        name=name,
        role=role,
        generator="flow" if role == "generative" else "",
        recipe=recipe,
        replicates=10,
        real=counts,
        synthetic=synthetic,
        metrics={} if live else metrics,
        validation=validation,
        per_class=[] if live else [_class_result(c, i) for i, c in enumerate(classes)],
        confusion=[] if live else _confusion(name, len(classes), value),
        reliability=[] if live else _reliability(0.06 if role == "rival" else 0.02),
        seconds=12.4,
    )


def _class_result(name: str, index: int) -> ClassResult:
    recall = estimate(0.95 - 0.01 * (index % 20), 0.04, 36)
    return ClassResult(name=name, test_images=36, test_groups=36, metrics={"recall": recall})


def _confusion(name: str, size: int, value: float) -> list[list[int]]:
    random = generator_for(7, "confusion", name)
    rows = []
    for i in range(size):
        wrong = np.ones(size) * 0.15
        wrong[i] = 0
        wrong[(i * 7 + 3) % size] += 3.0 * ((i * 7 + 3) % size != i)
        right = min(max(value + 0.1 - 0.02 * (i % 9), 0.0), 1.0)
        shares = (1 - right) * wrong / wrong.sum()
        shares[i] = right
        rows.append(random.multinomial(360, shares / shares.sum()).tolist())
    return rows


def _reliability(gap: float) -> list[dict[str, float]]:
    found = []
    for i in range(15):
        confidence = (i + 0.5) / 15
        count = 0.0 if i < 2 else float(20 + 6 * i**2)
        accuracy = min(max(confidence - gap * (1 + np.sin(i)), 0), 1)
        borders = {"low": i / 15, "high": (i + 1) / 15}
        found.append(
            {**borders, "confidence": confidence, "accuracy": float(accuracy), "count": count}
        )
    return found


def _verdict(effect: float, exploratory: bool) -> Verdict:
    contrast = difference(ARM, RIVAL, effect)
    null = abs(effect) < 0.0165
    more = "no more and no fewer are clearly right" if null else "3 more are right"
    interval = contrast.difference
    assert interval.low is not None
    assert interval.high is not None
    return Verdict(
        word="no_detectable_effect" if null else "helps" if effect > 0 else "harms",
        worth_having=effect > 0.0265,
        exploratory=exploratory,
        exploratory_reasons=["4 replicates, a verdict needs 10"] if exploratory else [],
        sentence=f"Of 100 images, spread evenly over the classes, {more} "
        f"({100 * interval.low:.0f} to {100 * interval.high:.0f}).".replace("-", "−"),
        detail="Balanced accuracy of targeted@1+rival minus logit_adjusted: "
        f"{100 * effect:+.1f} points (95 % interval {100 * interval.low:.1f} to "
        f"{100 * interval.high:.1f}); margin 1 point; an effect of 2.4 points would be found "
        "four times in five.".replace("-", "−"),
        scope="A small CNN trained from scratch on 8 × 8 grey images, for training sets of this "
        "size (40 down to 3 images a class).",
        warnings=[
            "The classifier was trained from scratch; pretrained ones often need less help.",
            "2 classes have fewer than 10 test groups, and the metric averages over them.",
        ],
        arm=ARM,
        rival=RIVAL,
        metric="balanced_accuracy",
        margin=0.01,
        contrast=contrast,
        selected=True,
    )


def _actions() -> list[Action]:
    export = "synthlift export runs/digits --arm targeted@1+rival --out ./digits-filled"
    return [
        Action(
            title="Use the filled training set",
            text="It helps on six of the ten classes and harms none measurably.",
            command=export,
        ),
        Action(
            title="Collect real images of “eight” and “nine”",
            text="They have too few test images to judge; 10 more each would allow it.",
        ),
        Action(
            title="Validate before deployment",
            text="Test on images from another source.",
            command="synthlift evaluate predictions.parquet",
        ),
    ]


def _class(name: str, index: int, size: int) -> ClassVerdict:
    small = index >= size - 2
    change = 0.09 * np.sin(1.1 * index) + 0.02
    contrast = difference(ARM, RIVAL, float(change), 0.05)
    word = "helps" if change > 0.05 else "harms" if change < -0.05 else "no_detectable_effect"
    n = 7 if small else 36
    rival = 5 / 7 if small else 0.83
    return ClassVerdict(
        name=name,
        train_images=max(3, round(40 * 0.75**index)),
        synthetic_images=40 - max(3, round(40 * 0.75**index)),
        test_images=n,
        test_groups=n,
        rival=Estimate(value=rival, low=rival - 0.3, high=min(rival + 0.15, 1), n=n),
        generative=Estimate(value=6 / 7 if small else 0.83 + change, low=0.49, high=0.97, n=n),
        contrast=None if small else contrast,
        word="too_small" if small else word,  # type: ignore[arg-type]
    )


def _table() -> list[Cell]:
    values = {
        "real": (("logit_adjusted", (0.861, 0.902, 0.874)),),
        "synthetic": (("synthetic_only@1", (0.641, 0.981, 0.802)),),
        "mixed": ((ARM, (0.892, 0.975, 0.931)),),
    }
    cells = []
    for train, ((arm, row),) in values.items():
        for test, value in zip(("real", "synthetic", "mixed"), row, strict=True):
            cells.append(
                Cell(train=train, test=test, arm=arm, estimate=estimate(value))  # type: ignore[arg-type]
            )
    return cells


def _curve() -> list[CurvePoint]:
    shape = {
        ("all", "plain"): (0.786, 0.803, 0.812, 0.815, 0.806),
        ("all", "best_rival"): (0.861, 0.865, 0.866, 0.869, 0.862),
        ("fill_to_largest", "plain"): (0.786, 0.829, 0.844, 0.848, 0.845),
        ("fill_to_largest", "best_rival"): (0.861, 0.882, 0.892, 0.889, 0.879),
    }
    points = []
    for (target, base), values in shape.items():
        for multiple, value in zip((0, 0.5, 1, 2, 5), values, strict=True):
            prefix = "mixed" if target == "all" else "targeted"
            name = f"{prefix}@{multiple:g}" + ("+rival" if base == "best_rival" else "")
            if multiple == 0:
                name = "real" if base == "plain" else RIVAL
            points.append(
                CurvePoint(
                    arm=name, target=target, base=base, multiple=multiple, estimate=estimate(value)
                )
            )
    return points


def _counts(classes: Sequence[str]) -> Counts:
    per_class = {
        name: {"train": max(3, round(40 * 0.75**i)), "validation": 9, "test": 36, "kept": 80}
        for i, name in enumerate(classes)
    }
    return Counts(
        read=1797,
        excluded={"exact duplicate": 4, "truncated file": 2},
        used=1791,
        train=131,
        validation=90,
        test=363,
        pool=1207,
        generated=2140,
        kept=1804,
        rejected={"taken for another class": 241, "copy of a training image": 88, "duplicate": 7},
        fell_short={classes[-1]: 12},
        per_class={k: {a: float(b) for a, b in v.items()} for k, v in per_class.items()},
    )


def _decisions() -> list[Decision]:
    return [
        Decision(name="image_size", value=8, reason="the original size"),
        Decision(name="steps", value=400, reason="about 100 passes over the largest training set"),
        Decision(name="best_rival", value=RIVAL, reason="predeclared: some classes are rare"),
        Decision(name="numerics", value={"device": "cpu", "threads": 1}, reason="measured once"),
    ]


def _facts(classes: Sequence[str]) -> StudyFacts:
    return StudyFacts(
        name="digits",
        key="study-4f1d",
        seed=0,
        command="synthlift demo --seed 0 --out runs/digits",
        source="sklearn:digits",
        design="redrawn",
        classes=list(classes),
        classifier="small CNN (61,000 parameters)",
        initialisation="trained from scratch",
        image_size=8,
        channels=1,
        original_size="8 × 8",
        replicates=10,
        generator_fits=5,
        selection="predeclared",
    )
