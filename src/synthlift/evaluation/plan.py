"""What is to be evaluated: arms, the primary contrast, and facts the table does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from synthlift.errors import InputError, nearest_name
from synthlift.evaluation.predictions import Predictions
from synthlift.spec.arms import arm_labels
from synthlift.spec.study import METRICS

Design = Literal["fixed", "redrawn", "cross_validated"]
ClassCounts = Mapping[str, float]
ON_TRUST = (
    "Synthlift did not see how these models were trained: that the test images were locked away, "
    "and that nothing was chosen on them, is taken on trust."
)


@dataclass(frozen=True)
class PlannedArm:
    """One arm as the evaluation needs to know it.

    Attributes:
        name: as in the predictions table.
        role: rival, generative or control.
        recipe: anything worth recording.
        base: ``plain`` or ``best_rival``.
        target: which classes receive synthetic images.
        multiple: synthetic images per real one.
        regime: the order of use.
        generator: its name, or None.
        real, synthetic: mean training images per class name.
        seconds: training time over all replicates.
        stands_for_choices: whether its models are those of whatever arm each fold chose.
        given_pool: whether its synthetic images are one pool that all replicates share.
        all_filters: of an arm that leaves filters out, the arm that applies them all; "" = none.
    """

    name: str
    role: Literal["rival", "generative", "control"]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    base: str = "plain"
    target: str = "all"
    multiple: float = 0.0
    regime: str = "joint"
    generator: str | None = None
    real: ClassCounts = field(default_factory=dict)
    synthetic: ClassCounts = field(default_factory=dict)
    seconds: float = 0.0
    stands_for_choices: bool = False
    given_pool: bool = False
    all_filters: str = ""


@dataclass(frozen=True)
class EvaluationPlan:
    """The declared question.

    Attributes:
        design: METHOD §2.
        arms: all arms of the study.
        generative, rival: the two arms of the primary contrast.
        plain: the rival with the plain recipe; the reference of the 2 × 2 table and the curve.
        metric: of ``spec.study.METRICS``.
        margin: the smallest difference worth having, in (0, 1).
        selected: whether the two arms were chosen on validation.
        recommended: the arm of the model that is handed over; "" = none is.
        external: names of evaluation sets from elsewhere.
        attributes: attribute → image → value, for subgroups.
        fits: replicate → generator fit or draw; None = as column ``fit`` says.
        test_train_ratio: images tested over images trained on per fold (design C); None = from
            the number of folds, as if nothing were kept for validation.
        overlap: share of their training images that two draws have in common, mean over pairs
            (design B).
        exploratory: reasons from outside, such as a second study on the same test set.
        scope: what the verdict speaks of (classifier, initialisation, image size …).
        warnings: shown beside the verdict.
        limitations: what was not done, known to the caller.
        run: the run's folder for commands; "" for models trained elsewhere.
        seed: of resamples.
        draws: bootstrap draws; None = chosen by size.
    """

    design: Design
    arms: Sequence[PlannedArm]
    generative: str
    rival: str
    plain: str | None = None
    metric: str = "balanced_accuracy"
    margin: float = 0.01
    selected: bool = False
    recommended: str = ""
    external: Sequence[str] = ()
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fits: Mapping[int, int] | None = None
    test_train_ratio: float | None = None
    overlap: float = 0.0
    exploratory: Sequence[str] = ()
    scope: str = ""
    warnings: Sequence[str] = ()
    limitations: Sequence[str] = ()
    run: str = ""
    seed: int = 0
    draws: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(
                f"unknown metric '{self.metric}'{nearest_name(self.metric, METRICS)}",
                rule=f"the primary metric is one of: {', '.join(METRICS)}",
                remedy="name one of them",
            )
        if not 0 < self.margin < 1:
            raise InputError(
                f"margin {self.margin:g}",
                rule="the margin is a share between 0 and 1 (0.01 = 1 point)",
                remedy="give 0.01 for one point",
            )
        names = [arm.name for arm in self.arms]
        for name in (self.generative, self.rival):
            if name not in names:
                raise InputError(
                    f"arm '{name}' is not among the arms{nearest_name(name, names)}",
                    rule=f"arms: {', '.join(names)}",
                    remedy="name one of them",
                )
        if self.generative == self.rival:
            raise InputError(
                f"arm '{self.rival}' is compared with itself",
                rule="the generative arm and the rival are two arms",
                remedy="name another arm on one side",
            )

    def arm(self, name: str) -> PlannedArm:
        """The arm called ``name``."""
        return next(arm for arm in self.arms if arm.name == name)

    def label(self, name: str) -> str:
        """What people read of the arm called ``name``."""
        return arm_labels({arm.name: arm.generator or "" for arm in self.arms})[name]


def plan_from_table(
    predictions: Predictions,
    *,
    generative: str,
    rival: str,
    metric: str = "balanced_accuracy",
    margin: float = 0.01,
) -> EvaluationPlan:
    """A plan for models trained elsewhere: the design is read off the table.

    Column ``fold`` all -1 means one common test set; otherwise every row belongs to a fold.

    Raises:
        InputError: an arm or metric is unknown, or only some rows have a fold.
    """
    test = predictions.select(evaluation_set="test", variant="clean")
    if not len(test):
        raise InputError(
            "no row has evaluation_set 'test' and variant 'clean'",
            rule="the verdict rests on those rows",
            remedy="write 'test' into column 'evaluation_set', or leave the column out",
        )
    folds = np.unique(test.whole("fold"))
    if folds[0] < 0 and len(folds) > 1:
        raise InputError(
            "some test rows belong to a fold and others to none",
            rule="column 'fold' is -1 everywhere or nowhere",
            remedy="number all folds 0 … J−1 over all repeats",
        )
    codes, names = test.codes("arm")
    multiples = np.asarray(test.table.column("multiple"))
    arms = [
        PlannedArm(
            name=name,
            role="rival" if name == rival else "generative" if name == generative else "control",
            multiple=float(multiples[codes == code][0]),
        )
        for code, name in enumerate(names)
    ]
    return EvaluationPlan(
        design="fixed" if folds[0] < 0 else "cross_validated",
        arms=arms,
        generative=generative,
        rival=rival,
        metric=metric,
        margin=margin,
        scope="models trained elsewhere",
        warnings=[ON_TRUST],
    )
