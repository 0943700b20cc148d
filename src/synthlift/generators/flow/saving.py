"""The folder format of diffusers.

``model_index.json``, ``network/config.json`` with its weights, ``scheduler/`` (loadable as
``diffusers.FlowMatchEulerDiscreteScheduler``), and ``synthlift.json`` for what diffusers has no
place for: classes, settings, history.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from synthlift.generators.learning.folders import COMPONENT, read_network, write_network
from synthlift.store.files import write_json_atomic

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX: dict[str, Any] = {
    "_class_name": "FlowGenerator",
    "_diffusers_version": "0.36.0",
    COMPONENT: ["synthlift.generators.flow.network", "FlowNetwork"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.36.0",
    "num_train_timesteps": 1000,
    "use_dynamic_shifting": False,
}


def write_folder(
    folder: Path,
    *,
    plan: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    shift: float,
) -> None:
    """Write a fitted generator: network, scheduler (with its time shift), index."""
    write_json_atomic(folder / "model_index.json", INDEX)
    write_json_atomic(folder / "scheduler" / "scheduler_config.json", {**SCHEDULER, "shift": shift})
    write_network(folder, plan=plan, weights=weights, facts=facts, weights_file=WEIGHTS)


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read back plan, weights and facts.

    Raises:
        InputError: the folder holds no flow generator, or one of another version.
    """
    return read_network(folder, kind="flow", classes=("FlowMLP", "FlowUNet"), weights_file=WEIGHTS)
