"""``results.csv``: one row per arm, metric and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from synthlift.spec.facts import Estimate
from synthlift.spec.results import ArmResult, Results
from synthlift.store.files import write_bytes_atomic

COLUMNS = (
    "arm",
    "role",
    "evaluation_set",
    "metric",
    "scope",
    "class",
    "value",
    "low",
    "high",
    "n",
    "method",
    "exploratory",
)


def write_csv(results: Results, path: Path) -> None:
    """Write every metric of every arm with its interval and n, over all classes and per class.

    ``scope`` is "all" or "class"; ``class`` is empty for "all". ``evaluation_set`` is "test" or
    "validation". Numbers are written in full, missing ones are empty. The file is replaced whole.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    exploratory = results.verdict is not None and results.verdict.exploratory
    for arm in results.arms:
        for row in _rows(arm):
            writer.writerow([*row, "yes" if exploratory else "no"])
    write_bytes_atomic(path, stream.getvalue().encode())


def _rows(arm: ArmResult) -> Iterator[list[object]]:
    for part, metrics in (("test", arm.metrics), ("validation", arm.validation)):
        for metric, estimate in metrics.items():
            yield [arm.name, arm.role, part, metric, "all", "", *_numbers(estimate)]
    for item in arm.per_class:
        for metric, estimate in item.metrics.items():
            yield [arm.name, arm.role, "test", metric, "class", item.name, *_numbers(estimate)]


def _numbers(estimate: Estimate) -> list[object]:
    low = "" if estimate.low is None else repr(estimate.low)
    high = "" if estimate.high is None else repr(estimate.high)
    return [repr(estimate.value), low, high, estimate.n, estimate.method]
