"""The folder format of diffusers: JSON and safetensors, never a pickle.

``model_index.json``, ``network/config.json`` with its weights, ``scheduler/`` (loadable as
``diffusers.FlowMatchEulerDiscreteScheduler``), and ``synthlift.json`` for what diffusers has no
place for: classes, settings, history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from synthlift.errors import InputError
from synthlift.store.files import write_bytes_atomic, write_json_atomic

FORMAT = 1
COMPONENT = "network"
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
    "shift": 1.0,
    "use_dynamic_shifting": False,
}


def write_folder(
    folder: Path,
    *,
    plan: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Write a fitted generator.

    Args:
        folder: created if absent.
        plan: the network's ``config.json``.
        weights: tensors by parameter name.
        facts: JSON-able facts for ``synthlift.json``, written last.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_json_atomic(folder / "model_index.json", INDEX)
    write_json_atomic(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json_atomic(folder / COMPONENT / "config.json", dict(plan))
    write_bytes_atomic(folder / COMPONENT / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    write_json_atomic(folder / "synthlift.json", {"format": FORMAT, **facts})


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read back plan, weights and facts.

    Raises:
        InputError: the folder holds no flow generator, or one of a newer version.
    """
    try:
        facts = json.loads((folder / "synthlift.json").read_text("utf-8"))
        plan = json.loads((folder / COMPONENT / "config.json").read_text("utf-8"))
        weights = load((folder / COMPONENT / WEIGHTS).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"'{folder}' holds no flow generator ('{Path(error.filename).name}' is missing)",
            rule="a saved flow generator has network/, scheduler/ and synthlift.json",
            remedy="give a folder below a run's generators/",
        ) from error
    if facts["format"] > FORMAT:
        raise InputError(
            f"'{folder}' was written by a newer version (format {facts['format']})",
            rule=f"this version reads formats up to {FORMAT}",
            remedy="upgrade synthlift",
        )
    return plan, weights, facts
