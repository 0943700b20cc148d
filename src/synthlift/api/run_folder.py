"""A run as a person or a notebook holds it: the answer, the tables, the images, the model."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from synthlift.errors import InputError, SynthliftError, nearest_name
from synthlift.spec.arms import Arm
from synthlift.spec.facts import Estimate
from synthlift.spec.results import Results, Verdict
from synthlift.spec.study import Study
from synthlift.study.folder import RESULTS, run_facts

if TYPE_CHECKING:
    import pandas as pd

    from synthlift.api.classifying import Classification
    from synthlift.api.datasets import ArmDataset

REPORT, PREDICTIONS = "report.html", "predictions.parquet"


@dataclass(frozen=True)
class Run:
    """One run folder; everything is read when it is asked for.

    Attributes:
        path: the run folder.
    """

    path: Path

    @property
    def facts(self) -> Mapping[str, Any]:
        """The ``run:`` part of ``study.yaml``: key, command, store, decisions."""
        return run_facts(self.path)

    @cached_property
    def study(self) -> Study:
        """The resolved study file."""
        from synthlift.api.sources import ask

        return ask(self.path).study

    @cached_property
    def results(self) -> Results:
        """The whole of ``results.json``.

        Raises:
            InputError: the run is not finished.
        """
        return read_results(self.path)

    @property
    def verdict(self) -> Verdict | None:
        """The answer; None where none could be given, see ``verdict_missing_because``."""
        return self.results.verdict

    @property
    def report_path(self) -> Path:
        """Where ``report.html`` lies."""
        return self.path / REPORT

    # ── tables ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def arms(self) -> pd.DataFrame:
        """One row an arm: role, replicates, and each metric with its 95 % interval."""
        rows = [
            {
                "arm": arm.name,
                "role": arm.role,
                "replicates": arm.replicates,
                **{
                    name if part == "value" else f"{name}_{part}": number
                    for name, estimate in arm.metrics.items()
                    for part, number in _interval(estimate).items()
                },
                "seconds": arm.seconds,
            }
            for arm in self.results.arms
        ]
        return _frame(rows, index="arm")

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """One row a comparison: difference with interval, p-values, detectable effect."""
        rows = [
            {
                **contrast.model_dump(exclude={"difference", "components"}),
                **{f"difference_{k}": v for k, v in _interval(contrast.difference).items()},
            }
            for contrast in self.results.contrasts
        ]
        return _frame(rows)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row a class: images, groups, recall of rival and generative arm, outcome."""
        rows = [
            {
                **found.model_dump(exclude={"rival", "generative", "contrast"}),
                **{f"rival_{k}": v for k, v in _interval(found.rival).items()},
                **{f"generative_{k}": v for k, v in _interval(found.generative).items()},
                "p_holm": found.contrast.p_holm if found.contrast else None,
            }
            for found in self.results.classes
        ]
        return _frame(rows, index="name")

    @cached_property
    def cost(self) -> pd.DataFrame:
        """One row a kind of stage: tasks, seconds, memory, energy, disk."""
        return _frame([cost.model_dump() for cost in self.results.cost], index="stage")

    def predictions(self) -> pd.DataFrame:
        """``predictions.parquet``: one row per arm, replicate and image, with probabilities.

        Raises:
            InputError: the run is not finished.
        """
        import pandas as pd

        path = self.path / PREDICTIONS
        if not path.is_file():
            raise not_finished(self.path, PREDICTIONS)
        return pd.read_parquet(path)

    # ── use ───────────────────────────────────────────────────────────────────────────────────

    def dataset(
        self, arm: str, *, part: str = "train", replicate: int = 0, transform: Any = None
    ) -> ArmDataset:
        """The images that one model of an arm was trained on, as a torch ``Dataset``.

        Args:
            arm: a name of :attr:`arms`, such as ``mixed@2``.
            part: "train" (real and synthetic) or "validation" (real); the test part stays locked.
            replicate: which repetition; it decides the training set and the generator fit.
            transform: called with the PIL image; without it, items are float tensors [C, H, W]
                in [0, 1].
        """
        from synthlift.api.datasets import arm_dataset

        return arm_dataset(self, arm, part=part, replicate=replicate, transform=transform)

    def classify(self, images: Sequence[Path | str]) -> list[Classification]:
        """Class and calibrated probability of image files, by the run's model."""
        from synthlift.api.classifying import classify

        return classify(self.path, images)

    def export(self, arm: str, *, out: Path | str, replicate: int = 0, **options: Any) -> Path:
        """Write the training folder of an arm; see :func:`synthlift.api.export`."""
        from synthlift.api.exporting import export

        return export(self, arm=arm, out=out, replicate=replicate, **options).path

    def arm(self, name: str, *, replicate: int = 0) -> Arm:
        """The resolved record of an arm that was trained, its recipe filled in.

        Args:
            name: one of :attr:`arms`.
            replicate: counts where every fold chose for itself.

        Raises:
            InputError: the run has no such arm; the nearest name is given.
        """
        from synthlift.spec.arms import Recipe

        trained = {arm.name: arm for arm in self.results.arms}
        name = self.results.arm_named(name)
        if name not in trained:
            raise InputError(
                f"the run has no arm '{name}'{nearest_name(name, trained)}",
                rule=f"its arms are: {', '.join(trained)}",
                remedy="name one of them",
            )
        recipe, folds = trained[name].recipe, trained[name].folds
        if folds:
            choice = folds[min(max(replicate, 0), len(folds) - 1)]
            name, recipe = choice.arm, choice.recipe
        found = next(arm for arm in self.planned_arms() if arm.name == name)
        known = {key: recipe[key] for key in Recipe.model_fields if key in recipe}
        duplicate = bool(recipe.get("duplicate", found.duplicate))
        return found.model_copy(
            update={"recipe": Recipe.model_validate(known), "duplicate": duplicate}
        )

    def planned_arms(self) -> list[Arm]:
        """The study's arms, multiples cut to its budget where it had one."""
        from synthlift.spec.arms import expand_arms
        from synthlift.study.expecting import scaled

        study, budget = self.study, self.facts.get("decisions", {}).get("budget")
        share = budget["value"]["multiple_share"] if budget else 1.0
        arms = expand_arms(
            study.arms,
            generators=[generator.title for generator in study.generators],
            filters=[component.title for component in study.curation],
        )
        return [scaled(arm, share) for arm in arms]

    def __str__(self) -> str:
        return f"Run({self.path})"

    def _repr_html_(self) -> str:
        """Verdict and arms, for notebooks."""
        try:
            return _as_html(self)
        except SynthliftError as error:
            said = html.escape(str(error).splitlines()[0])
            return f"<p><code>{html.escape(str(self.path))}</code>: {said}</p>"


def load(path: Path | str) -> Run:
    """Open a run folder.

    Raises:
        InputError: it is none, or was written by a newer version.
    """
    folder = Path(path).expanduser().absolute()
    run_facts(folder)
    return Run(folder)


def read_results(folder: Path) -> Results:
    """Read ``results.json``.

    Raises:
        InputError: there is none yet, or it cannot be read.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise not_finished(folder, RESULTS)
    try:
        return Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError):
        raise InputError(
            f"'{path}' cannot be read: it was changed or damaged",
            rule="results.json is written by Synthlift and follows its schema",
            remedy=f"delete the file and run `synthlift run {shlex.quote(str(folder))}`; finished "
            "work is reused",
        ) from None


def not_finished(folder: Path, file: str) -> InputError:
    """What to say when a file of a finished run is asked for too early."""
    said = shlex.quote(str(folder))
    return InputError(
        f"'{folder}' holds no {file} yet",
        rule="it is written when the run is done",
        remedy=f"see `synthlift status {said}`, or go on with `synthlift run {said}`",
    )


def _interval(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _frame(rows: list[dict[str, Any]], *, index: str | None = None) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows)
    return frame.set_index(index) if index and len(frame) else frame


def _as_html(run: Run) -> str:
    results = run.results
    verdict = results.verdict
    metric = verdict.metric if verdict else "balanced_accuracy"
    said = verdict.sentence if verdict else results.verdict_missing_because or "No verdict."
    mark = " (exploratory)" if verdict and verdict.exploratory else ""
    rows = "".join(
        f"<tr><td>{html.escape(arm.name)}</td><td>{arm.role}</td>"
        f"<td style='text-align:right'>{_percent(arm.metrics.get(metric))}</td></tr>"
        for arm in results.arms
    )
    return (
        f"<h4>{html.escape(said)}{mark}</h4>"
        f"<table><tr><th>arm</th><th>role</th><th>{html.escape(metric.replace('_', ' '))}, "
        f"95 % interval</th></tr>{rows}</table>"
        f"<p><a href='{html.escape(run.report_path.as_uri())}'>report</a> · "
        f"<code>{html.escape(str(run.path))}</code></p>"
    )


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{100 * estimate.value:.1f} %"
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
