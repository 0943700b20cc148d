"""What the process that tests' workers are forked from imports: the libraries of pipelines, too.

A worker of a study imports diffusers and transformers when it first opens a pipeline, which takes a
processor some seconds. Tests start hundreds of workers; commands that run in a process of their own
import as they do for users.
"""

from __future__ import annotations

import importlib
import warnings

# What workers of the studies in tests were seen to import; those that are not installed are not.
MODULES = (
    "diffusers.pipelines.auto_pipeline",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.quantizers.auto",
    "peft",
    "torchvision.transforms.v2.functional",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
    "transformers.modeling_utils",
    "transformers.loss.loss_utils",
)

for name in MODULES:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say of each other
        try:
            importlib.import_module(name)
        except ImportError:
            continue
# Last, since it exempts what has been imported from garbage collection.
importlib.import_module("synthlift.study.executors.imported")
