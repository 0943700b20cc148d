"""What a study's folder shows while it runs: finished work, sheets of samples, curves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthlift.study.folder import LOG
from synthlift.web.study_schemas import Curve, StageFacts

TITLES = {
    "inventory": "reading the pictures",
    "pixels": "bringing them to one size",
    "split": "setting test pictures aside",
    "fit": "training generators",
    "sample": "drawing pictures",
    "judge": "checking what was drawn",
    "model": "training classifiers",
    "predict": "testing, once",
    "evaluate": "comparing",
}
"""Stages that a reader follows, in the order of a study; the others are small."""
CURVES = "curves.jsonl"
MOST_POINTS = 200
_SHEET = re.compile(r"step-(\d{1,12})\.png")
_FIT = re.compile(r"fit-(\d{1,6})")


@dataclass(frozen=True)
class FoundSheet:
    """A sheet of samples in a run folder."""

    generator: str
    fit: int
    step: int
    path: Path


def stages_of(folder: Path) -> list[StageFacts]:
    """Finished work by stage, from the log of a run."""
    done: dict[str, tuple[int, float]] = {}
    for line in _lines(folder / LOG):
        if line.get("event") == "stage_done":
            count, seconds = done.get(str(line["stage"]), (0, 0.0))
            done[str(line["stage"])] = count + 1, seconds + float(line.get("seconds", 0.0))
    return [
        StageFacts(name=name, title=title, done=done[name][0], seconds=done[name][1])
        for name, title in TITLES.items()
        if name in done
    ]


def sheets_of(training: Path) -> list[FoundSheet]:
    """Sheets of all generators, by step."""
    found = [
        FoundSheet(generator, fit, int(match[1]), path)
        for generator, fit, place in _fits(training)
        for path in place.iterdir()
        if (match := _SHEET.fullmatch(path.name)) and not path.is_symlink()
    ]
    return sorted(found, key=lambda one: (one.generator, one.fit, one.step))


def curves_of(training: Path) -> list[Curve]:
    """Curves of all generators, thinned to what a small chart can show."""
    return [
        Curve(generator=generator, fit=fit, name=name, total=total, points=_thin(points))
        for generator, fit, place in _fits(training)
        for name, (total, points) in _points(place / CURVES).items()
    ]


def _points(file: Path) -> dict[str, tuple[int, dict[int, float]]]:
    """By name: planned steps, and value by step; a fit that went on may tell a step twice."""
    found: dict[str, tuple[int, dict[int, float]]] = {}
    for line in _lines(file):
        _, points = found.setdefault(str(line["name"]), (0, {}))
        points[int(line["step"])] = float(line["value"])
        found[str(line["name"])] = int(line["total"]), points
    return found


def _thin(points: dict[int, float]) -> list[tuple[int, float]]:
    ordered = sorted(points.items())
    every = -(-len(ordered) // MOST_POINTS)
    kept = ordered[:: max(1, every)]
    return kept if not ordered or kept[-1] == ordered[-1] else [*kept, ordered[-1]]


def _fits(training: Path) -> Iterator[tuple[str, int, Path]]:
    for generator in sorted(training.iterdir()) if training.is_dir() else ():
        for place in sorted(generator.iterdir()) if generator.is_dir() else ():
            match = _FIT.fullmatch(place.name)
            if match and place.is_dir() and not place.is_symlink():
                yield generator.name, int(match[1]), place


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").split("\n") if file.is_file() else ():
        try:
            yield json.loads(line)
        except ValueError:  # being written just now
            continue
