"""What settings leave to be measured: speed, and with it the last digits, on this machine.

Everything is timed once. What was found is kept in the fit's folder, so that a killed fit goes on
as it began, and for the machine, so that a later fit of such a network there gives the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthlift.generators.flow.composing import Gaps
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.sampling import draw_images
from synthlift.generators.flow.space import Space
from synthlift.generators.flow.training import FlowLearner
from synthlift.generators.learning.compiling import can_compile, machine_folder
from synthlift.generators.learning.drawing import deterministic_kernels
from synthlift.generators.learning.examples import Examples
from synthlift.store.files import write_json_atomic
from synthlift.types import RunContext

FILE = "measured.json"
MEASURED = "measured"
CHUNKS = (16, 32, 64, 128, 256, 512, 1024)
STEPS, SECONDS = 8, 3.0
"""At most so many steps, or draws, of each form are timed, in about so many seconds."""
SLACK = 1.05
HOPELESS = 3.0
"""A first try that takes so many times as long as the best ends the search."""


@dataclass(frozen=True)
class Worth:
    """Seconds of a fit from which on other forms of its steps are tried, and compiled ones."""

    trying: float = 60.0
    compiling: float = 600.0


def tuned(
    config: FlowConfig,
    *,
    network: FlowNetwork,
    plan: Mapping[str, Any],
    examples: Examples,
    space: Space,
    run: RunContext,
    worth: Worth = Worth(),
) -> tuple[FlowConfig, dict[str, Any]]:
    """The settings with a value for everything that was left to be measured, and the times.

    Args:
        config: settled settings.
        network: as it begins; it is not changed.
        plan: the network's plan.
        examples: what is learnt from; their values do not matter here.
        space: what the network draws in.
        run: its folder keeps what was found.
        worth: which fits are worth it.

    Returns:
        The settings, and what was found, JSON-able; nothing if nothing was left open.
    """
    left = [name for name in ("precision", "compile", "micro_batch") if _open(config, name)]
    if not left:
        return config, {}
    place = run.folder / FILE
    known = machine_folder("measured") / f"{_key(config, plan, run.device)}.json"
    found = _read(place, left) or _read(known, left)
    if found is None:
        found = _Bench(config, network, examples, space, run).found(worth)
        run.log("flow.measured", **found)
        if not known.is_file():
            write_json_atomic(known, found, durable=False)
        # Of two fits that measured at a time, both take what was written first.
        found = _read(known, left) or found
    write_json_atomic(place, found)
    return config.model_copy(update={name: found[name] for name in left}), found


def _open(config: FlowConfig, name: str) -> bool:
    return bool(getattr(config, name) == MEASURED)


def _read(path: Path, left: Sequence[str]) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(found, dict) and all(name in found for name in left)
    return found if complete else None


def _key(config: FlowConfig, plan: Mapping[str, Any], device: str) -> str:
    """Of everything that the times depend on, but for what else the machine is doing."""
    on_gpu = torch.device(device).type == "cuda"
    parts = {
        "plan": dict(plan),
        "config": config.model_dump(mode="json"),
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Bench:
    config: FlowConfig
    network: FlowNetwork
    examples: Examples
    space: Space
    run: RunContext

    def found(self, worth: Worth) -> dict[str, Any]:
        """A value for each setting that is left open, and the seconds behind it."""
        found: dict[str, Any] = {}
        with deterministic_kernels():
            if _open(self.config, "precision") or _open(self.config, "compile"):
                found.update(self._forms(worth))
            if _open(self.config, "micro_batch"):
                found.update(self._chunks())
        return found

    def _forms(self, worth: Worth) -> dict[str, Any]:
        """The form of a step that takes the least time, the plain one unless it gains a tenth."""
        assert isinstance(self.config.steps, int), "settle() comes first"
        precisions, compiles = _choices(self.config)
        plain = (precisions[0], compiles[0])
        times = {plain: self._step_seconds(*plain, best=float("inf"))}
        fit_seconds = times[plain] * self.config.steps
        compiler = can_compile(self.run.device)
        for form in [(p, c) for c in compiles for p in precisions if (p, c) != plain]:
            enough = worth.compiling if form[1] else worth.trying
            if fit_seconds < enough or (form[1] and not compiler):
                continue
            self.run.progress(0, self.config.steps, f"trying {_words(*form)}")
            times[form] = self._step_seconds(*form, best=min(times.values()))
        best = min(times, key=lambda form: times[form])
        if times[best] > 0.9 * times[plain]:
            best = plain
        seconds = {_words(*form): round(value, 6) for form, value in times.items()}
        return {"precision": best[0], "compile": best[1], "seconds_per_step": seconds}

    def _step_seconds(self, precision: str, compile_: bool, *, best: float) -> float:
        """Median seconds of a training step, of a copy of the network."""
        config = self.config.model_copy(update={"precision": precision, "compile": compile_})
        learner = FlowLearner(
            copy.deepcopy(self.network), examples=self.examples, config=config, seed=0
        )
        with closing(learner.batches(range(STEPS + 1))) as batches:

            def step() -> None:
                learner.step(next(batches), step=0, memory={})

            # The first step of a compiled network compiles it.
            return _median_seconds(
                step, device=self.run.device, give_up=float("inf") if compile_ else HOPELESS * best
            )

    def _chunks(self) -> dict[str, Any]:
        """The smallest chunk of which an image takes little longer than of the best one."""
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        times: dict[int, float] = {}
        for size in CHUNKS:
            best = min(times.values(), default=float("inf"))
            try:
                seconds = _median_seconds(
                    partial(self._draw, network, size),
                    device=self.run.device,
                    give_up=HOPELESS * best * size,
                )
            except torch.OutOfMemoryError:
                break
            times[size] = seconds / size
            # Larger ones only take more memory, and longer until the first image is there.
            if times[size] > 1.5 * best or seconds > SECONDS:
                break
        best = min(times.values(), default=0.0)
        chosen = next((size for size in times if times[size] <= SLACK * best), CHUNKS[0])
        per_image = {str(size): round(value, 8) for size, value in times.items()}
        return {"micro_batch": chosen, "seconds_per_image": per_image}

    def _draw(self, network: FlowNetwork, size: int) -> None:
        config, examples = self.config, self.examples
        draw_images(
            network,
            wanted=np.repeat(examples.wanted_nk[:1].cpu().numpy(), size, axis=0),
            gaps=Gaps(),
            unsaid=examples.unsaid_k.tolist(),
            seeds=range(size),
            space=self.space,
            guidance_scale=config.guidance_scale,
            guidance_interval=config.guidance_interval,
            sampler=config.sampler,
            sampler_steps=config.sampler_steps,
            time_shift=float(config.time_shift),
            chunk=size,
        )


def _choices(config: FlowConfig) -> tuple[list[str], list[bool]]:
    given = str(config.precision)
    precisions = ["float32", "bfloat16"] if given == MEASURED else [given]
    compiles = [False, True] if config.compile == MEASURED else [bool(config.compile)]
    return precisions, compiles


def _words(precision: str, compile_: bool) -> str:
    return f"{precision}, compiled" if compile_ else precision


def _median_seconds(work: Callable[[], object], *, device: str, give_up: float) -> float:
    """Of some calls after a first one, or of the first one if it takes longer than ``give_up``."""

    def timed() -> float:
        began = time.perf_counter()
        work()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    first = timed()
    if first > give_up:
        return first
    times = [timed()]
    while len(times) < STEPS and sum(times) < SECONDS:
        times.append(timed())
    return float(np.median(times))
