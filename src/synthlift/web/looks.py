"""What looks at pictures, and forecasts, have seen of them: whether a question can be asked."""

from __future__ import annotations

import json
import math
from typing import Any

from synthlift.web.context import Context
from synthlift.web.datasets import DataSet
from synthlift.web.jobs.commands import table_of, table_setting
from synthlift.web.jobs.leavings import LOOKS
from synthlift.web.jobs.table import Job
from synthlift.web.questions import Choices, Seen


def said_by(here: Context, job: Job) -> dict[str, Any]:
    """What the command of a job printed, as JSON; empty where it did not."""
    try:
        printed = (here.settings.job_logs / job.id / "stdout").read_text(encoding="utf-8")
        content = json.loads(here.places.hidden(printed))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def seen_in(said: dict[str, Any]) -> Seen | None:
    """What an inspection or a forecast said, as far as questions depend on it."""
    try:
        classes, effect = said["classes"], said["minimal_detectable_effect"]
        if isinstance(classes, dict):  # a forecast: it ends where there is a problem
            return Seen(classes=classes, smallest_effect=effect)
        return Seen(
            classes={one["name"]: one["images"] for one in classes},
            smallest_effect=effect["value"] if effect else None,
            problem=str(said["problem"] or ""),
        )
    except (KeyError, TypeError):
        return None


def last_look(here: Context, data: DataSet, choices: Choices) -> Seen | None:
    """What was seen of a data set, joined with that table, as it is now; None = nobody looked."""
    setting, changed = table_setting(choices), _changed(data)
    for job in here.jobs.all():
        is_look = job.kind in LOOKS and (job.data, job.state) == (data.id, "done")
        if is_look and job.created >= changed and table_of(job.command) == setting:
            seen = seen_in(said_by(here, job))
            if seen is not None:
                return seen
    return None


def _changed(data: DataSet) -> float:
    """When a picture last came or went, as far as folders of classes, and of their parts, tell."""
    places = (place for pattern in ("*/", "*/*/") for place in data.path.glob(pattern))
    try:
        return max(one.stat().st_mtime for one in (data.path, *places) if one.is_dir())
    except OSError:  # one goes just now
        return math.inf
