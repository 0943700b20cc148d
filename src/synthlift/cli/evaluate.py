"""``synthlift evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded

if TYPE_CHECKING:
    from synthlift.evaluation.outcome import Outcome

Table = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="predictions.parquet, or a run folder.")
]
Rival = Annotated[
    str | None, typer.Option("--rival", metavar="ARM", help="The arm without synthetic images.")
]
Generative = Annotated[
    str | None, typer.Option("--generative", metavar="ARM", help="The arm with synthetic images.")
]
Metric = Annotated[
    str | None, typer.Option("--metric", help="What is compared; balanced_accuracy if left out.")
]
Margin = Annotated[
    float | None,
    typer.Option("--margin", help="The smallest difference worth having; 0.01 if left out."),
]


@guarded
def evaluate(
    predictions: Table,
    rival: Rival = None,
    generative: Generative = None,
    metric: Metric = None,
    margin: Margin = None,
    as_json: options.Json = False,
) -> None:
    """Give the verdict on predictions, of any model."""
    from synthlift import api
    from synthlift.cli import output

    found = api.evaluate(
        predictions, rival=rival, generative=generative, metric=metric, margin=margin
    )
    if as_json:
        output.say_json(asdict(found))
    else:
        output.say(_words(found))


def _words(found: Outcome) -> str:
    from synthlift.cli import output

    verdict = found.verdict
    rows = [
        {
            "arm": arm.name,
            verdict.metric.replace("_", " "): f"{100 * arm.metrics[verdict.metric].value:.1f} %",
            "95 % interval": _interval(
                arm.metrics[verdict.metric].low, arm.metrics[verdict.metric].high
            ),
        }
        for arm in found.arms
        if verdict.metric in arm.metrics
    ]
    exploratory = "; ".join(verdict.exploratory_reasons)
    blocks = [
        f"EXPLORATORY, no verdict: {exploratory}" if verdict.exploratory else "",
        verdict.sentence,
        verdict.detail,
        verdict.scope,
        output.table(rows, right=list(rows[0])[1:] if rows else ()),
        "\n".join(f"• {text}" for text in verdict.warnings),
    ]
    return "\n\n".join(block for block in blocks if block)


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
