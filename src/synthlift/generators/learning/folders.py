"""A generator's network in a folder: JSON and safetensors, never a pickle.

``network/config.json`` with its weights, and ``synthlift.json`` for classes, settings, history.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from synthlift.errors import InputError
from synthlift.store.files import write_bytes_atomic, write_json_atomic

FORMAT = 2
COMPONENT = "network"
WEIGHTS = "model.safetensors"
FACTS = "synthlift.json"


def write_network(
    folder: Path,
    *,
    plan: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    weights_file: str = WEIGHTS,
) -> None:
    """Write a fitted generator's network.

    Args:
        folder: created if absent.
        plan: the network's ``config.json``.
        weights: tensors by parameter name.
        facts: JSON-able facts for ``synthlift.json``, written last.
        weights_file: its name.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_json_atomic(folder / COMPONENT / "config.json", dict(plan))
    write_bytes_atomic(folder / COMPONENT / weights_file, save(tensors, metadata={"format": "pt"}))
    write_json_atomic(folder / FACTS, {"format": FORMAT, **facts})


def read_network(
    folder: Path, *, kind: str, classes: Collection[str], weights_file: str = WEIGHTS
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read back plan, weights and facts.

    Args:
        folder: what :func:`write_network` wrote.
        kind: of the generator.
        classes: names of network classes that a generator of that kind has.
        weights_file: its name.

    Raises:
        InputError: the folder holds no generator of that kind, or one of another version.
    """
    rule = f"a saved {kind} generator has {COMPONENT}/config.json, its weights and {FACTS}"
    remedy = "give a folder below a run's generators/"
    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        plan = json.loads((folder / COMPONENT / "config.json").read_text("utf-8"))
        weights = load((folder / COMPONENT / weights_file).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"'{folder}' holds no {kind} generator ('{Path(error.filename).name}' is missing)",
            rule=rule,
            remedy=remedy,
        ) from error
    if facts["format"] != FORMAT:
        newer = facts["format"] > FORMAT
        raise InputError(
            f"'{folder}' was written by {'a newer' if newer else 'an older'} version (format "
            f"{facts['format']})",
            rule=f"this version reads format {FORMAT}",
            remedy="upgrade synthlift" if newer else "run the study again, which makes it anew",
        )
    if plan["_class_name"] not in classes:
        raise InputError(
            f"'{folder}' holds no {kind} generator (its network is a {plan['_class_name']})",
            rule=rule,
            remedy=remedy,
        )
    return plan, weights, facts
