"""The Python API: every verb of the command line as a function, and :class:`Run`.

Nothing here needs torch until something is trained, sampled or classified.
"""

from __future__ import annotations

from synthlift.api.checking import doctor
from synthlift.api.classifying import Classification, classify
from synthlift.api.curating import Curated, curate
from synthlift.api.evaluating import evaluate
from synthlift.api.exporting import Exported, export
from synthlift.api.generating import Generated, generate
from synthlift.api.inspecting import init, inspect
from synthlift.api.keeping import Status, gc, report, runs, status, stop
from synthlift.api.previewing import Preview, preview
from synthlift.api.run_folder import Run, load
from synthlift.api.sharing import share_report
from synthlift.api.sources import Asked, ask, demo_study
from synthlift.api.studies import demo, plan, run
from synthlift.api.weights import add_model, check_models, models
from synthlift.spec.loading import json_schema as schema

__all__ = [
    "Asked",
    "Classification",
    "Curated",
    "Exported",
    "Generated",
    "Preview",
    "Run",
    "Status",
    "add_model",
    "ask",
    "check_models",
    "classify",
    "curate",
    "demo",
    "demo_study",
    "doctor",
    "evaluate",
    "export",
    "gc",
    "generate",
    "init",
    "inspect",
    "load",
    "models",
    "plan",
    "preview",
    "report",
    "run",
    "runs",
    "schema",
    "share_report",
    "status",
    "stop",
]
