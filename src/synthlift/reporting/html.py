"""The report: one self-contained HTML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from synthlift.reporting import text
from synthlift.reporting.glossary import Glossary
from synthlift.reporting.pages import render_page
from synthlift.reporting.reading import Reading
from synthlift.reporting.sections import (
    arms,
    classes,
    crossings,
    curve,
    external,
    facts,
    filters,
    generators,
    images,
    people,
    realism,
    strengths,
    subgroups,
    verdict,
)
from synthlift.spec.results import Results
from synthlift.store.files import write_bytes_atomic

NAME = "report.html"
REFRESH_SECONDS = 20
_REFRESHING = re.compile(
    r'<meta http-equiv="refresh" content="\d+">\n?| This page refreshes itself every \d+ seconds\.'
)


def write_report(results: Results, folder: Path) -> Path:
    """Write ``folder/report.html`` in one step and return its path.

    Thumbnails are read from ``folder/gallery``.
    """
    path = folder / NAME
    write_bytes_atomic(path, render(results, folder=folder).encode())
    return path


def without_refresh(page: str) -> str:
    """A live report that does not reload itself, nor says so, for whoever shows it anew."""
    return _REFRESHING.sub("", page)


def render(results: Results, *, folder: Path | None, shareable: bool = False) -> str:
    """The report as HTML text that needs no network, no script and no other file.

    Args:
        results: everything that is shown. Without a verdict and before the test was opened, the
            report shows validation figures only, says so, and reloads itself.
        folder: the run folder with ``gallery/``; None leaves the pictures out.
        shareable: say what was left out; ``reporting.shareable`` leaves it out.
    """
    reading = Reading(results, folder)
    parts = _parts(reading, shareable=shareable)
    return render_page(
        "report.html",
        results=results,
        study=results.study,
        reading=reading,
        state=reading.state,
        refresh=REFRESH_SECONDS,
        tag=reading.numbers.tag,
        term=Glossary(),
        sections=[(name, title) for name, title in _SECTIONS if parts[name]],
        parts=parts,
        text=text,
        shareable=shareable,
    )


_SECTIONS = (
    ("arms", "All arms compared"),
    ("curve", "How many synthetic images?"),
    ("filters", "What each filter changes"),
    ("strengths", "Strengths chosen on validation"),
    ("classes", "Class by class"),
    ("subgroups", "Subgroup by subgroup"),
    ("external", "Images from elsewhere"),
    ("confusions", "What is taken for what"),
    ("images", "The images"),
    ("pairs", "Are images copied?"),
    ("crossings", "Recipe or images, real or synthetic"),
    ("calibration", "Can the confidence be trusted?"),
    ("realism", "Which generator?"),
    ("generators", "The generators"),
    ("people", "Judged by people"),
    ("limitations", "Limitations"),
    ("funnel", "Where every image went"),
    ("cost", "Cost"),
    ("method", "How this was decided"),
    ("repeat", "Repeat this study"),
)


def _parts(reading: Reading, *, shareable: bool) -> dict[str, Any]:
    """What each section shows; a false value leaves the section out."""
    pictures = images.view(reading)
    crossing = {
        "three": crossings.three_by_three(reading),
        "interaction": crossings.interaction(reading),
    }
    return {
        "verdict": verdict.view(reading),
        "arms": arms.forest(reading),
        "metrics": arms.metrics(reading),
        "curve": curve.curve(reading),
        "filters": filters.tables(reading),
        "strengths": strengths.tables(reading),
        "classes": classes.view(reading),
        "subgroups": subgroups.tables(reading),
        "external": external.tables(reading),
        "confusions": classes.confusions(reading),
        "images": pictures if pictures and pictures.grids else None,
        "pairs": pictures.pairs if pictures else None,
        "crossings": crossing if any(crossing.values()) else None,
        "calibration": crossings.calibration(reading),
        "realism": realism.view(reading),
        "generators": generators.views(reading),
        "people": people.view(reading, shareable=shareable),
        "limitations": reading.results.limitations,
        "funnel": facts.funnel(reading),
        "cost": facts.costs(reading),
        "method": {
            "facts": facts.study_facts(reading),
            "decisions": facts.decisions(reading),
        },
        "repeat": facts.environment(reading),
    }
