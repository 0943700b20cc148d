"""What settings leave to be measured on this machine: it is timed once, fixed with the fit, kept.

Kernels round differently at other batch shapes, so that what was found decides the last digits.
It is kept in the fit's folder, so that a killed fit goes on as it began, and for the machine, so
that a later fit of such a network there gives the same bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel

from synthlift.errors import is_out_of_memory
from synthlift.generators.learning.compiling import machine_folder
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.store.files import write_json_atomic
from synthlift.types import RunContext

FILE = "measured.json"
MEASURED = "measured"
CHUNKS = (4, 8, 16, 32, 64)
"""No more than are asked for at once by a study: what a chunk has beyond them is thrown away."""
CALLS, SECONDS = 8, 3.0
"""At most so many calls of each form are timed, in about so many seconds."""
SLACK = 1.05
HOPELESS = 3.0
"""A first try that takes so many times as long as the best ends the search."""

C = TypeVar("C", bound=BaseModel)


def left_open(config: BaseModel, names: Sequence[str]) -> list[str]:
    """Those of the settings that are to be measured."""
    return [name for name in names if getattr(config, name) == MEASURED]


def once(
    measure: Callable[[], Mapping[str, Any]],
    *,
    left: Sequence[str],
    config: BaseModel,
    plan: Mapping[str, Any],
    run: RunContext,
) -> dict[str, Any]:
    """What was measured before for this fit or for such a network here, else what is now.

    Args:
        measure: gives a value for each setting that is left open, JSON-able; it is told and kept.
        left: these settings.
        config: settled settings.
        plan: the network's plan.
        run: its folder keeps what was found.
    """
    place = run.folder / FILE
    known = machine_folder("measured") / f"{_key(config, plan, run.device)}.json"
    found = _read(place, left) or _read(known, left)
    if found is None:
        with deterministic_kernels():
            found = dict(measure())
        run.log("fit.measured", **found)
        # Where not one image went into memory, it was short today, and nothing was measured.
        if found.get("seconds_per_image", True):
            # Of two fits that measured at a time, both take what was written first.
            found = _remember(known, found, left)
    write_json_atomic(place, found)
    return found


def with_chunk(
    config: C,
    draw: Callable[[int], object],
    *,
    plan: Mapping[str, Any],
    run: RunContext,
    sizes: Sequence[int] = CHUNKS,
) -> tuple[C, dict[str, Any]]:
    """The settings with a number for ``micro_batch`` where it is left open, and the times.

    Args:
        config: settled settings.
        draw: draws so many images with a network of that plan; its weights do not matter here.
        plan: the network's plan.
        run: its folder keeps what was found.
        sizes: that are tried, the smallest first.

    Returns:
        The settings, and what was found, JSON-able; nothing if nothing was left open.
    """
    if not (left := left_open(config, ["micro_batch"])):
        return config, {}
    found = once(
        lambda: fastest_chunk(draw, device=run.device, sizes=sizes),
        left=left,
        config=config,
        plan={**plan, "chunks": sizes} if sizes != CHUNKS else plan,
        run=run,
    )
    return config.model_copy(update={name: found[name] for name in left}), found


def fastest_chunk(
    draw: Callable[[int], object], *, device: str, sizes: Sequence[int] = CHUNKS
) -> dict[str, Any]:
    """The smallest chunk of which an image takes little longer than of the best one."""
    times: dict[int, float] = {}
    for size in sizes:
        best = min(times.values(), default=float("inf"))
        try:
            with torch.inference_mode():
                seconds = median_seconds(
                    partial(draw, size), device=device, give_up=HOPELESS * best * size
                )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        times[size] = seconds / size
        # Larger ones only take more memory, and longer until the first image is there.
        if times[size] > 1.5 * best or seconds > SECONDS:
            break
    best = min(times.values(), default=0.0)
    chosen = next((size for size in times if times[size] <= SLACK * best), sizes[0])
    per_image = {str(size): round(value, 8) for size, value in times.items()}
    return {"micro_batch": chosen, "seconds_per_image": per_image}


def median_seconds(work: Callable[[], object], *, device: str, give_up: float) -> float:
    """Of some calls after a first one, or of the better of two if they take ``give_up``."""

    def timed() -> float:
        began = time.perf_counter()
        work()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    first = timed()
    # The first one may have begun something, or waited for other work.
    if first > give_up and (first := min(first, timed())) > give_up:
        return first
    times = [timed()]
    while len(times) < CALLS and sum(times) < SECONDS:
        times.append(timed())
    return float(np.median(times))


def _remember(known: Path, found: dict[str, Any], left: Sequence[str]) -> dict[str, Any]:
    """Keep it for the machine, unless something is kept; what is kept then."""
    if known.is_file() and _read(known, left) is None:
        known.unlink(missing_ok=True)  # damaged
    with TemporaryDirectory(dir=_folder(known.parent)) as folder:
        own = Path(folder) / known.name
        own.write_text(json.dumps(found, indent=1), encoding="utf-8")
        with suppress(OSError):  # another was first, or files have one name here
            os.link(own, known)
        if not known.is_file():
            own.replace(known)
    return _read(known, left) or found


def _folder(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def _read(path: Path, left: Sequence[str]) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(found, dict) and all(name in found for name in left)
    return found if complete else None


def _key(config: BaseModel, plan: Mapping[str, Any], device: str) -> str:
    """Of everything that the times depend on, but for what else the machine is doing."""
    on_gpu = torch.device(device).type == "cuda"
    parts = {
        "kind": type(config).__name__,
        "plan": dict(plan),
        "chunks": CHUNKS,
        "config": config.model_dump(mode="json"),
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
