"""The whole answer: from a predictions table and a plan to the parts of ``results.json``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthlift.evaluation.actions import actions
from synthlift.evaluation.caveats import differing_recipes, outdoing, said_of_outdone
from synthlift.evaluation.contrasts import Question, contrast, family
from synthlift.evaluation.defined import require_values
from synthlift.evaluation.external import external_results
from synthlift.evaluation.levels import arm_results, class_level
from synthlift.evaluation.mcnemar import mcnemar
from synthlift.evaluation.multiplicity import holm
from synthlift.evaluation.opening import open_scores
from synthlift.evaluation.overlap import OtherImages, for_other_images
from synthlift.evaluation.plan import EvaluationPlan
from synthlift.evaluation.predictions import Predictions
from synthlift.evaluation.scores import Scores
from synthlift.evaluation.subgroups import subgroup_gaps, subgroup_verdicts
from synthlift.evaluation.tables import curve, table_3x3
from synthlift.evaluation.verdict import (
    MINIMUM_GROUPS,
    exploratory_reasons,
    judge,
    judge_adjusted,
    worth_having,
)
from synthlift.evaluation.words import NAMES, detail, sentence
from synthlift.spec.results import (
    Action,
    ArmResult,
    Cell,
    ClassVerdict,
    Contrast,
    CurvePoint,
    ExternalResult,
    SubgroupGap,
    SubgroupVerdict,
    Verdict,
)

OTHER_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_precision", "auroc")


@dataclass(frozen=True)
class Outcome:
    """Parts of ``spec.results.Results``, under the same names."""

    verdict: Verdict
    actions: list[Action]
    contrasts: list[Contrast]
    arms: list[ArmResult]
    classes: list[ClassVerdict]
    subgroups: list[SubgroupVerdict]
    gaps: list[SubgroupGap]
    external: list[ExternalResult]
    interaction: Contrast | None
    table_3x3: list[Cell]
    curve: list[CurvePoint]
    limitations: list[str]


def evaluate_study(predictions: Predictions, plan: EvaluationPlan) -> Outcome:
    """Evaluate a finished study, or models trained elsewhere.

    Raises:
        InputError: an arm has no test predictions, models were tested on different images, the
            table does not fit the design, or the primary metric has no value on these images.
    """
    scores = open_scores(predictions, plan)
    require_values(scores, [arm.name for arm in plan.arms], metric=plan.metric, on="test")
    question = Question(plan.generative, plan.rival, plan.metric)
    interval = question.interval(scores)
    n = scores.whole.group_count
    primary = contrast(question, interval, n=n, family="primary")
    primary.components.update(_one_pair(scores, plan))
    others = for_other_images(scores, plan)
    primary.components.update(_of_others(others, plan))
    classes = class_verdicts(scores, plan)
    subgroups = subgroup_verdicts(predictions, plan)
    outdone = outdoing(scores, plan, judge(interval, margin=plan.margin))
    verdict = _verdict(scores, plan, primary, others, outdone=outdone)
    return Outcome(
        verdict=verdict,
        actions=actions(verdict, interval, classes, plan, outdone=outdone),
        contrasts=[primary, *_secondary(scores, plan)],
        arms=arm_results(predictions, scores, plan),
        classes=classes,
        subgroups=subgroups,
        gaps=subgroup_gaps(subgroups, scores, plan),
        external=external_results(predictions, plan, scores),
        interaction=_interaction(scores, plan),
        table_3x3=table_3x3(predictions, scores, plan),
        curve=curve(scores, plan),
        limitations=_limitations(scores, plan, others, verdict),
    )


def _of_others(others: OtherImages | None, plan: EvaluationPlan) -> dict[str, float]:
    if others is None:
        return {}
    found = {"overlap": plan.overlap}
    if others.interval is not None:
        found["standard_error_other_images"] = others.interval.standard_error
    return found


def row_name(scores: Scores, plan: EvaluationPlan) -> str:
    """What a row of the analysis is."""
    if plan.design == "cross_validated":
        return "fold"
    if (scores.panels[0].fits < 0).all():
        return "replicate"
    return "training draw" if plan.design == "redrawn" else "generator fit"


def _verdict(
    scores: Scores,
    plan: EvaluationPlan,
    primary: Contrast,
    others: OtherImages | None,
    *,
    outdone: str,
) -> Verdict:
    question = Question(plan.generative, plan.rival, plan.metric)
    interval = question.interval(scores)
    word = judge(interval, margin=plan.margin)
    reasons = exploratory_reasons(
        rows=_fits_that_count(scores, plan),
        row_name=row_name(scores, plan),
        replicates=scores.replicates,
        further=plan.exploratory,
    )
    return Verdict(
        word=word,
        worth_having=worth_having(interval, margin=plan.margin),
        exploratory=bool(reasons),
        exploratory_reasons=reasons,
        sentence=sentence(word, interval, metric=plan.metric, margin=plan.margin),
        detail=detail(
            interval,
            arm=plan.label(plan.generative),
            rival=plan.label(plan.rival),
            metric=plan.metric,
            margin=plan.margin,
        ),
        scope=_scope(scores, plan),
        warnings=[
            *plan.warnings,
            *_small_class_warnings(scores, plan),
            *differing_recipes(plan),
            *([said_of_outdone(outdone, scores, plan)] if outdone else []),
            *([others.text] if others and others.word not in (None, word) else []),
        ],
        arm=plan.generative,
        rival=plan.rival,
        metric=plan.metric,
        margin=plan.margin,
        contrast=primary,
        selected=plan.selected,
    )


def _fits_that_count(scores: Scores, plan: EvaluationPlan) -> int:
    """Rows for the rule of five; one fit alone is one, though replicates are its rows."""
    if plan.design != "cross_validated":
        distinct = np.unique(scores.panels[0].fits)
        if len(distinct) == 1 and distinct[0] >= 0:
            return 1
    return scores.rows


def _scope(scores: Scores, plan: EvaluationPlan) -> str:
    if plan.design == "cross_validated":
        about = "for data like yours"
    elif plan.design == "redrawn":
        about = "for training sets of this size, drawn from these images"
    else:
        about = "for this training set"
    fits = np.unique(scores.panels[0].fits)
    one_fit = plan.design == "fixed" and len(fits) == 1 and bool(plan.run)
    if one_fit or plan.arm(plan.generative).given_pool:
        about += ", given this pool of synthetic images"
    return f"{about}; {plan.scope}" if plan.scope else about


def _small_classes(scores: Scores) -> list[tuple[str, int]]:
    return [
        (name, int(groups))
        for name, groups in zip(scores.whole.classes, scores.class_groups, strict=True)
        if groups < MINIMUM_GROUPS
    ]


def _small_class_warnings(scores: Scores, plan: EvaluationPlan) -> list[str]:
    small = _small_classes(scores)
    if not small or plan.metric in ("accuracy", "weighted_f1"):
        return []
    listed = ", ".join(f"'{name}' ({groups})" for name, groups in small)
    text = (
        f"{NAMES[plan.metric].capitalize()} averages over classes with fewer than "
        f"{MINIMUM_GROUPS} test groups: {listed}; each weighs as much as the large ones."
    )
    return [text]


def _one_pair(scores: Scores, plan: EvaluationPlan) -> dict[str, float]:
    """McNemar's p-values where two single models meet on ungrouped images."""
    panel = scores.panels[0]
    if len(scores.panels) > 1 or scores.replicates > 1 or panel.group_count < len(panel.labels):
        return {}
    first, second = (
        panel.probabilities[arm][0].argmax(axis=1) == panel.labels
        for arm in (plan.generative, plan.rival)
    )
    result = mcnemar(first, second)
    return {
        "mcnemar_gained": float(result.gained),
        "mcnemar_lost": float(result.lost),
        "mcnemar_p": result.p_value,
        "mcnemar_mid_p": result.p_mid,
    }


def _secondary(scores: Scores, plan: EvaluationPlan) -> list[Contrast]:
    """Families beside the primary contrast, each corrected in itself."""
    groups = scores.whole.group_count
    others = [arm for arm in plan.arms if arm.name not in (plan.generative, plan.rival)]
    families = {
        "generative_against_other_rivals": [
            Question(plan.generative, arm.name, plan.metric)
            for arm in others
            if arm.role == "rival"
        ],
        "other_arms_against_rival": [
            Question(arm.name, plan.rival, plan.metric) for arm in others if arm.role != "rival"
        ],
        "other_metrics": [
            Question(plan.generative, plan.rival, metric)
            for metric in OTHER_METRICS
            if metric != plan.metric and scores.defined(plan.generative, metric)
        ],
        "without_filters": [
            Question(arm.name, arm.all_filters, plan.metric) for arm in others if arm.all_filters
        ],
    }
    return [
        one
        for name, questions in families.items()
        for one in family(scores, questions, name=name, n=[groups] * len(questions), seed=plan.seed)
    ]


def _interaction(scores: Scores, plan: EvaluationPlan) -> Contrast | None:
    """(best recipe: with − without synthetic) − (plain recipe: with − without synthetic)."""
    primary = plan.arm(plan.generative)
    twins = [
        arm.name
        for arm in plan.arms
        if arm.role == "generative"
        and arm.base == "plain"
        and primary.base != "plain"
        and (arm.generator, arm.target, arm.multiple, arm.regime)
        == (primary.generator, primary.target, primary.multiple, primary.regime)
        # Those that differ by filters or tuning alone have other names.
        and arm.name == primary.name.removesuffix("+rival")
    ]
    if not twins or plan.plain in (None, plan.rival):
        return None
    assert plan.plain is not None
    question = Question(
        arm=f"({plan.generative} − {plan.rival})",
        reference=f"({twins[0]} − {plan.plain})",
        metric=plan.metric,
        coefficients={plan.generative: 1.0, plan.rival: -1.0, twins[0]: -1.0, plan.plain: 1.0},
    )
    groups = scores.whole.group_count
    return contrast(question, question.interval(scores), n=groups, family="interaction")


def class_verdicts(scores: Scores, plan: EvaluationPlan) -> list[ClassVerdict]:
    """Recall of each class, generative against rival, Holm-corrected among classes."""
    indices = [
        k
        for k, groups in enumerate(scores.class_groups)
        if groups >= MINIMUM_GROUPS and scores.defined(plan.rival, "recall", of_class=k)
    ]
    questions = [Question(plan.generative, plan.rival, "recall", of_class=k) for k in indices]
    counts = [int(scores.class_groups[k]) for k in indices]
    found = dict(
        zip(
            indices,
            family(scores, questions, name="classes", n=counts, seed=plan.seed),
            strict=True,
        )
    )
    equivalence = dict(
        zip(
            indices,
            holm([q.interval(scores).equivalence_p_value(plan.margin) for q in questions]),
            strict=True,
        )
    )
    arm = plan.arm(plan.generative)
    results = []
    for k, name in enumerate(scores.whole.classes):
        one = found.get(k)
        word = (
            "too_small"
            if one is None
            else judge_adjusted(
                one.difference.value, p_adjusted=one.p_holm or 0.0, p_equivalent=equivalence[k]
            )
        )
        results.append(
            ClassVerdict(
                name=name,
                train_images=arm.real.get(name, 0.0),
                synthetic_images=arm.synthetic.get(name, 0.0),
                test_images=int(scores.class_images[k]),
                test_groups=int(scores.class_groups[k]),
                rival=class_level(scores, plan.rival, "recall", of_class=k),
                generative=class_level(scores, plan.generative, "recall", of_class=k),
                contrast=one,
                word=word,
            )
        )
    return results


def _limitations(
    scores: Scores, plan: EvaluationPlan, others: OtherImages | None, verdict: Verdict
) -> list[str]:
    found = list(plan.limitations)
    if others and others.text not in verdict.warnings:
        found.append(others.text)
    if plan.design == "fixed":
        found.append(
            "One training set: how the answer would change with other training images of the "
            "same kind was not measured."
        )
    if plan.design == "cross_validated":
        found.append(
            "Training sets of different folds overlap; the corrected interval allows for that "
            "approximately."
        )
    if not plan.selected:
        found.append(
            "Nothing was chosen on validation: the two arms were declared before the run and may "
            "not be the best of their kind."
        )
    small = _small_classes(scores)
    if small:
        found.append(
            f"{len(small)} of {len(scores.whole.classes)} classes have fewer than "
            f"{MINIMUM_GROUPS} test groups; no verdict is given on them."
        )
    if not plan.external:
        found.append("No images from another site, device or time were tested.")
    return found
