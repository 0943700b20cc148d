"""The verdict from a predictions table, of this project's models or of anyone's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.api.run_folder import PREDICTIONS, read_results
from synthlift.errors import InputError
from synthlift.study.folder import RESULTS

if TYPE_CHECKING:
    from synthlift.evaluation.outcome import Outcome
    from synthlift.evaluation.plan import EvaluationPlan
    from synthlift.evaluation.predictions import Predictions
    from synthlift.spec.results import Results, Verdict

METRIC, MARGIN = "balanced_accuracy", 0.01


def evaluate(
    predictions: Path | str,
    *,
    rival: str | None = None,
    generative: str | None = None,
    metric: str | None = None,
    margin: float | None = None,
) -> Outcome:
    """Give the verdict on a predictions table.

    Of a run it is the run's own: replicates that were added to it do not count, and with other
    arms, another metric or another margin than it declared, the answer is exploratory.

    Args:
        predictions: ``predictions.parquet``, or the run folder that holds it.
        rival, generative: the two arms that are compared; may be left out when the table lies in
            a run folder or has two arms only.
        metric: if left out the run's, else balanced_accuracy.
        margin: the smallest difference worth having; if left out the run's, else 0.01.

    Raises:
        InputError: the table breaks a rule, or it is not clear which arms are compared.
    """
    from synthlift.evaluation.outcome import evaluate_study
    from synthlift.evaluation.plan import plan_from_table
    from synthlift.evaluation.predictions import read

    path = Path(predictions).expanduser()
    path = path / PREDICTIONS if path.is_dir() else path
    table = read(path)
    results = read_results(path.parent) if (path.parent / RESULTS).is_file() else None
    verdict = results.verdict if results else None
    if results is not None:
        # Replicates that were added after the opening have no part in the verdict.
        table = table.where(table.whole("replicate") < results.study.replicates)
    if verdict is not None:
        rival = verdict.rival if rival is None else rival
        generative = verdict.arm if generative is None else generative
        metric = verdict.metric if metric is None else metric
        margin = verdict.margin if margin is None else margin
    generative, rival = _pair(table, generative, rival)
    plan = plan_from_table(
        table,
        generative=generative,
        rival=rival,
        metric=METRIC if metric is None else metric,
        margin=MARGIN if margin is None else margin,
    )
    return evaluate_study(table, plan if results is None else _as_run(plan, results))


def _pair(table: Predictions, generative: str | None, rival: str | None) -> tuple[str, str]:
    arms = list(table.select(evaluation_set="test", variant="clean").arms())
    if generative is not None and rival is not None:
        return generative, rival
    others = [arm for arm in arms if arm not in (generative, rival)]
    if len(arms) != 2 or not others:
        raise InputError(
            f"the table has {len(arms)} arms: {', '.join(arms)}",
            rule="a verdict compares one arm with synthetic images with one rival without",
            remedy="name them with --generative ARM --rival ARM",
        )
    if generative is None and rival is None:
        rival = "real" if "real" in arms else _without_synthetic(table, arms)
        others = [arm for arm in arms if arm != rival]
    return generative or others[0], rival or others[0]


def _without_synthetic(table: Predictions, arms: list[str]) -> str:
    import pyarrow.compute as pc

    found = [
        arm for arm in arms if pc.max(table.select(arm=arm).table.column("multiple")).as_py() == 0
    ]
    if len(found) != 1:
        raise InputError(
            f"it is not clear which of {' and '.join(arms)} uses synthetic images",
            rule="one of two arms is the rival: named 'real', or the only one with multiple 0",
            remedy="name them with --generative ARM --rival ARM",
        )
    return found[0]


def _as_run(plan: EvaluationPlan, results: Results) -> EvaluationPlan:
    """What the table does not hold, from the run that wrote it."""
    facts, verdict = results.study, results.verdict
    crossed = facts.design == "cross_validated"
    counts = results.counts
    roles = {arm.name: arm.role for arm in results.arms}
    arms = [replace(arm, role=roles.get(arm.name, arm.role)) for arm in plan.arms]
    return replace(
        plan,
        design=facts.design,
        arms=arms,
        selected=verdict.selected if verdict else False,
        test_train_ratio=counts.test / counts.train if crossed and counts.train else None,
        overlap=verdict.contrast.components.get("overlap", 0.0) if verdict else 0.0,
        exploratory=[*_undeclared(plan, verdict), *_outside(results)],
        scope=f"classifier '{facts.classifier}' {facts.initialisation}, at {facts.image_size} × "
        f"{facts.image_size} pixels",
        warnings=[],
    )


def _undeclared(plan: EvaluationPlan, verdict: Verdict | None) -> list[str]:
    """What of the question is not as the run declared it before its test set was opened."""
    if verdict is None:
        return ["the run declared no two arms to compare before the test set was opened"]
    asked = {
        "arms": ((plan.generative, plan.rival), (verdict.arm, verdict.rival)),
        "metric": (plan.metric, verdict.metric),
        "margin": (plan.margin, verdict.margin),
    }
    other = [name for name, (now, declared) in asked.items() if now != declared]
    if not other:
        return []
    return [f"other {' and '.join(other)} than the run declared before the test set was opened"]


def _outside(results: Results) -> list[str]:
    """Reasons that do not follow from the table."""
    openings = results.openings
    if openings is not None and openings.earlier:
        return [f"this test set was opened before, by {openings.earlier} differing studies"]
    return []
