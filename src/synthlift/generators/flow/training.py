"""The training loop: resumable, watched, refusing to go on with numbers that are not finite."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import closing

import torch
from torch import Tensor

from synthlift.errors import SynthliftError
from synthlift.generators.flow.batches import Batch, Examples, as_nchw, training_batches
from synthlift.generators.flow.checkpoints import (
    Progress,
    TrainingState,
    read_checkpoint,
    write_checkpoint,
)
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.flow.network import FlowNetwork
from synthlift.generators.flow.optimizer import flatten, unflatten, update
from synthlift.rows import in_blocks
from synthlift.types import MonitorReading, RunContext

Probe = Callable[[int, dict[str, Tensor]], MonitorReading]

WARM_UP = 0.05
PATIENCE = 2
LONGEST_WINDOW = 25


def train(
    network: FlowNetwork,
    *,
    examples: Examples,
    config: FlowConfig,
    run: RunContext,
    probe: Probe | None,
) -> tuple[dict[str, Tensor], Progress]:
    """Train with the conditional flow matching loss (Lipman 2023, eq. 23).

    Args:
        network: changed in place.
        examples: what is learnt from.
        config: settled settings.
        run: folder for check-points, seed, progress, log.
        probe: draws samples with the averaged weights after a step and has them judged.

    Returns:
        The weights to keep – the average at the last reading that was accepted; at the first one
        if none was; at the end without a monitor – and the history.

    Raises:
        SynthliftError: the loss is not finite.
    """
    steps = config.steps
    assert isinstance(steps, int), "settle() comes first"
    state = TrainingState(flatten(network))
    fingerprint = _fingerprint(config, seed=run.seed, examples=examples)
    if read_checkpoint(run.folder, state, fingerprint=fingerprint):
        run.log("flow.resumed", step=state.progress.step)
    progress, looks = state.progress, _reading_steps(steps, config if probe else None)
    window = max(1, min(LONGEST_WINDOW, steps // 100))
    saved = time.monotonic()
    total = torch.zeros((), device=examples.device)
    left = range(progress.step, steps)
    with closing(training_batches(examples, config, seed=run.seed, steps=left)) as batches:
        while progress.step < steps and progress.refused < PATIENCE:
            total += _step(network, state, batch=next(batches), config=config, steps=steps)
            progress.step += 1
            if progress.step % window and progress.step not in looks and progress.step < steps:
                continue
            _note_loss(progress, total, config)
            total.zero_()
            if probe and progress.step in looks:
                _look(network, state, probe=probe, run=run)
            if time.monotonic() - saved > config.checkpoint_seconds:
                write_checkpoint(run.folder, state, fingerprint=fingerprint)
                saved = time.monotonic()
            run.progress(progress.step, steps, f"loss {progress.losses[-1][1]:.3f}")
    best = state.flat.average if state.kept is None else state.kept
    return unflatten(network, best), progress


def _step(
    network: FlowNetwork,
    state: TrainingState,
    *,
    batch: Batch,
    config: FlowConfig,
    steps: int,
) -> Tensor:
    step = state.progress.step
    predicted = network(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
    loss: Tensor = (predicted - batch.target_nchw).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    update(
        state.flat,
        step=step,
        learning_rate=config.learning_rate * learning_rate_factor(step, steps),
        decay=min(1 - 1 / max(1.0, config.ema * steps), (1 + step) / (10 + step)),
    )
    return loss.detach()


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise over 5 %, then half a cosine to zero."""
    rise = max(1.0, WARM_UP * steps)
    return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _reading_steps(steps: int, config: FlowConfig | None) -> frozenset[int]:
    if config is None or config.readings == 0:
        return frozenset()
    assert config.readings != "auto"
    count = config.readings
    return frozenset(math.ceil(steps * (i + 1) / count) for i in range(count))


def _note_loss(progress: Progress, total: Tensor, config: FlowConfig) -> None:
    since = int(progress.losses[-1][0]) if progress.losses else 0
    mean = float(total) / (progress.step - since)
    if not math.isfinite(mean):
        raise SynthliftError(
            f"training the flow generator failed: the loss is not finite at step {progress.step}. "
            f"Remedy: lower 'learning_rate' (now {config.learning_rate:g}), for instance to "
            f"{config.learning_rate / 4:g}"
        )
    progress.losses.append([progress.step, mean])


def _look(network: FlowNetwork, state: TrainingState, *, probe: Probe, run: RunContext) -> None:
    """Have samples judged; keep these weights if they are accepted, or are the first ones."""
    progress = state.progress
    reading = probe(progress.step, unflatten(network, state.flat.average))
    record = {"step": progress.step, "value": reading.value, "acceptable": reading.acceptable}
    progress.readings.append({**record, "detail": dict(reading.detail)})
    run.log("flow.reading", **record)
    if reading.acceptable or state.kept is None:
        state.kept = state.flat.average.clone()
        progress.kept_step, progress.kept_acceptable = progress.step, reading.acceptable
    # Blurred samples of the first steps may be refused too: only what follows an accepted
    # reading shows that copying has begun.
    begun = progress.kept_acceptable and not reading.acceptable
    progress.refused = progress.refused + 1 if begun else 0


def _fingerprint(config: FlowConfig, *, seed: int, examples: Examples) -> str:
    sha = hashlib.sha256(f"{config.model_dump_json()}:{seed}".encode())
    sha.update(examples.wanted_nk.cpu().numpy().tobytes())
    for block in in_blocks(examples.source):
        sha.update(as_nchw(torch.from_numpy(block)).numpy().data)
    return sha.hexdigest()
