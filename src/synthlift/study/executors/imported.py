"""Imported by the process that workers are forked from, and by nothing else: see ``starting``.

It imports what nearly every study needs, if late: pandas to read, scikit-learn to measure how real
samples look, and the descriptors of all components, which import nothing heavy. Components, and the
libraries that some of them need, are left to the workers; so is torch's compiler, which optimisers
of ``torch.optim`` import, ours not.
"""

from __future__ import annotations

import atexit
import gc
import importlib

from synthlift.study.executors.memory import spare_imported_modules

MODULES = (
    "pandas",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "synthlift.curation.apply",
    "synthlift.curation.descriptors",
    "synthlift.data.faults.near_duplicates",
    "synthlift.data.readers.descriptors",
    "synthlift.data.stages",
    "synthlift.evaluation.outcome",
    "synthlift.generators.descriptors",
    "synthlift.study.stages.curation",
    "synthlift.study.stages.evidence",
    "synthlift.study.stages.generation",
    "synthlift.study.stages.models",
    "synthlift.training.trainer",
    "synthlift.vision.classifiers.descriptors",
    "synthlift.vision.classifiers.small_cnn",
    "synthlift.vision.copying",
    "synthlift.vision.encoders",
)

# What is imported stays: to look for garbage among it takes an eighth of the time.
gc.disable()
try:
    for name in MODULES:
        importlib.import_module(name)
    spare_imported_modules()
finally:  # The process lives on where an import fails, and workers are forked from it.
    gc.enable()
# Extensions complain of leaks where objects stay exempt when this process ends.
atexit.register(gc.unfreeze)
