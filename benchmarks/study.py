"""Claim: Synthlift's trainer costs little beside a plain PyTorch loop that does the same work.

The demo's training – every arm and replicate, same network, steps, batch size, optimiser, schedule,
weight averaging and augmentation – once through the stages and the executor, once by the loop
below: tensors in memory, batches by index, nothing logged, checked or resumable. Both use the same
number of one-thread processes, start them anew, and leave weights and validation probabilities
behind. Real images pose as synthetic ones, since time does not depend on what images show. Pairs
alternate (Synthlift, plain, Synthlift, plain …); the ratio is taken within each pair.

    python benchmarks/study.py --pairs 5 --json study.json
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from synthlift.api import demo_study
from synthlift.spec.arms import Arm, Recipe
from synthlift.spec.study import Study
from synthlift.spec.targets import LARGEST
from synthlift.store import Store
from synthlift.store.images import read_part
from synthlift.study.choices import predeclared_rival, with_recipe
from synthlift.study.components import resolve_component
from synthlift.study.environment import describe_environment
from synthlift.study.executors.local import LocalExecutor
from synthlift.study.flips import settings_of_draws
from synthlift.study.layout import Layout, make_layout, wanted_images
from synthlift.study.ledger import Ledger
from synthlift.study.modelling import Modelling, model_request
from synthlift.study.preparation import decide_channels, decide_design, open_data, prepare
from synthlift.study.session import Session


@dataclass(frozen=True)
class Work:
    """The demo's training, ready to be done either way."""

    session: Session
    shared: Modelling
    arms: tuple[Arm, ...]
    layout: Layout


@dataclass(frozen=True)
class Job:
    """One model for the plain loop; images as uint8 [n, h, w, c]."""

    pixels: np.ndarray
    labels: np.ndarray
    real: int
    held_out: np.ndarray
    classes: int
    recipe: Recipe
    regime: str
    settings: dict[str, Any]
    seed: int
    out: str


# ── the plain loop ────────────────────────────────────────────────────────────────────────────


def train_plainly(job: Job) -> None:
    """Train one model as one would by hand."""
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from synthlift.registry import descriptor
    from synthlift.vision.classifiers.base import ImageTask, build_network
    from synthlift.vision.transforms import COLUMNS, augment, mix

    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    found = descriptor("classifiers", "small_cnn")
    shape = job.pixels.shape[1:]
    scaled = job.pixels[: job.real] / 255
    mean, std = tuple(scaled.mean((0, 1, 2))), tuple(scaled.std((0, 1, 2)))
    task = ImageTask((shape[0], shape[1], shape[2]), job.classes, mean, std)
    network = build_network(found, found.config(), task=task, seed=job.seed)
    network.to(memory_format=torch.channels_last)
    settings, steps = job.settings, job.settings["steps"]
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        fused=True,
    )

    def rate(step: int) -> float:
        warm_up = (step + 1) / (0.05 * steps)
        return float(min(warm_up, 0.5 * (1 + math.cos(math.pi * step / steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    mean_of_weights = get_ema_multi_avg_fn(settings["ema"])  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=mean_of_weights)
    images = torch.from_numpy(job.pixels).permute(0, 3, 1, 2)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(job.labels)
    targets = functional.one_hot(labels, job.classes).float()
    counts = torch.bincount(labels, minlength=job.classes).clamp(min=1).float()
    shift = (counts / counts.sum()).log() if job.recipe.loss == "logit_adjusted" else 0.0
    weight = None
    if job.recipe.loss == "effective_number":
        weight = (1 - 0.999) / (1 - 0.999**counts)
        weight = weight * job.classes / weight.sum()
    share = 1 / counts[labels] if job.recipe.sampler == "class_balanced" else None
    strength, size = job.recipe.augmentation, settings["batch_size"]
    for step in range(steps):
        rows = _rows(job, step, size, share)
        inputs, wanted = images[rows].float() / 255, targets[rows]
        if strength != "none":
            draws = torch.rand(len(rows), COLUMNS)
            inputs = augment(inputs, draws, strength=strength, flip=settings["flip"])
            inputs, wanted = mix(inputs, wanted, draws, strength=strength)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(network(inputs) + shift, wanted, weight=weight)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
    averaged.eval()
    with torch.inference_mode():
        held_out = torch.from_numpy(job.held_out).permute(0, 3, 1, 2).float() / 255
        probabilities = averaged(held_out).softmax(1).numpy()
    np.savez(job.out + ".npz", probabilities=probabilities)
    save_file({k: v.contiguous() for k, v in averaged.module.state_dict().items()}, job.out)


def _rows(job: Job, step: int, size: int, share: Any) -> Any:
    """Row numbers of one batch: what the regime and the sampler ask for."""
    import torch

    count, real = len(job.labels), job.real
    if job.regime == "batch_share":
        half = size // 2
        return torch.cat([torch.randint(real, (size - half,)), torch.randint(real, count, (half,))])
    synthetic = job.regime == "synthetic_only" or (
        job.regime == "pretrain_finetune" and step < job.settings["steps"] // 2
    )
    if synthetic:
        return torch.randint(real, count, (size,))
    if share is not None:
        return torch.multinomial(share, size, replacement=True)
    last = real if job.regime == "pretrain_finetune" else count
    return torch.randint(last, (size,))


def plain_jobs(work: Work, *, seed: int, out: Path) -> list[Job]:
    """The same models for the plain loop."""
    jobs = []
    for replicate in work.layout.replicates:
        store, keys, draw = work.session.store, work.shared.data, replicate.draw
        train = read_part(store, keys, draw=draw, part="train")
        held_out = read_part(store, keys, draw=draw, part="validation").pixels()
        for arm in work.arms:
            census = work.shared.census(draw)
            wanted = LARGEST.shares(census) if arm.duplicate else wanted_images(arm, census)
            beside = (
                np.resize(np.flatnonzero(train.labels == cell.label), n)
                for cell, n in wanted.items()
            )
            rows = np.concatenate([np.arange(len(train)), *beside]).astype(np.intp)
            jobs.append(
                Job(
                    pixels=train.pixels(rows),
                    labels=train.labels[rows],
                    real=len(train),
                    held_out=held_out,
                    classes=len(train.classes),
                    recipe=arm.recipe,
                    regime=arm.regime,
                    settings=work.shared.training[draw],
                    seed=seed + replicate.index,
                    out=str(out / f"{arm.name}-{replicate.index}.safetensors"),
                )
            )
    return jobs


# ── the same through Synthlift ────────────────────────────────────────────────────────────────


def prepare_work(study: Study, *, home: Path, executor: LocalExecutor) -> Work:
    """Read and split the data, resolve settings and arms; nothing of this is timed."""
    session = Session(
        study=study,
        store=executor.store,
        executor=executor,
        ledger=Ledger(home / "openings.jsonl"),
        base=home,
    )
    opened = open_data(session)
    design = decide_design(session, opened)
    layout = make_layout(
        design.kind,
        replicates=study.replicates,
        fits=study.generator_fits,
        draws=design.draws,
        folds=design.folds,
    )
    prepared = prepare(
        session,
        opened,
        design=design,
        image_size=8,
        channels=decide_channels(session, opened),
        layout=layout,
    )
    draws = {replicate.draw for replicate in layout.replicates}
    shared = Modelling(
        data=prepared.data,
        classifier=resolve_component("classifiers", study.classifier),
        training=settings_of_draws(session, prepared, draws, steps=None),
        counts=prepared.counts,
    )
    rival = predeclared_rival(session.arms(), unbalanced=True)
    arms = tuple(_settled(with_recipe(arm, rival)) for arm in session.arms())
    return Work(session, shared, arms, layout)


def _settled(arm: Arm) -> Arm:
    """The arm with medium augmentation where a study would tune it, and with posing images."""
    recipe = arm.recipe
    if recipe.augmentation == "tuned":
        recipe = recipe.model_copy(update={"augmentation": "medium"})
    posing = "resampled" if arm.uses_synthetic else None
    return arm.model_copy(update={"recipe": recipe, "generator": None, "posing": posing})


def time_synthlift(work: Work, *, seed: int, workers: int) -> float:
    """Seconds for all models by stages and executor; worker start-up included."""
    session = replace(work.session, study=work.session.study.model_copy(update={"seed": seed}))
    requests = [
        model_request(session, work.shared, arm, replicate, None)
        for replicate in work.layout.replicates
        for arm in work.arms
    ]
    assert len({request.key for request in requests}) == len(requests), "two arms are one model"
    began = time.perf_counter()
    with LocalExecutor(session.store, workers=workers) as executor:
        executor.run(requests)
    return time.perf_counter() - began


def time_plain(work: Work, *, seed: int, workers: int, out: Path) -> float:
    """Seconds for all models by the plain loop; worker start-up included."""
    out.mkdir(parents=True)
    began = time.perf_counter()
    jobs = plain_jobs(work, seed=seed, out=out)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(train_plainly, jobs, chunksize=1)
    return time.perf_counter() - began


def compare(study: Study, *, pairs: int, workers: int) -> dict[str, Any]:
    """Time pairs of runs; the ratio is Synthlift's seconds by the plain loop's."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with LocalExecutor(Store(home / "store"), workers=workers) as executor:
            work = prepare_work(study, home=home, executor=executor)
        rows = []
        for pair in range(pairs):
            ours = time_synthlift(work, seed=1000 + pair, workers=workers)
            plain = time_plain(work, seed=1000 + pair, workers=workers, out=home / f"plain-{pair}")
            rows.append({"synthlift": ours, "plain": plain, "ratio": ours / plain})
        models = len(work.arms) * len(work.layout.replicates)
        steps = next(iter(work.shared.training.values()))["steps"]
    ratios = [row["ratio"] for row in rows]
    return {
        "models": models,
        "steps": steps,
        "pairs": rows,
        "ratio": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)},
        "environment": describe_environment("cpu", workers),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, help="fewer steps, for a trial")
    parser.add_argument("--replicates", type=int, help="fewer replicates, for a trial")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args(arguments)
    study = demo_study()
    if given.steps:
        training = study.training.model_copy(update={"steps": given.steps})
        study = study.model_copy(update={"training": training})
    if given.replicates:
        study = study.model_copy(update={"replicates": given.replicates})
    found = compare(study, pairs=given.pairs, workers=given.workers)
    for row in found["pairs"]:
        print(f"Synthlift {row['synthlift']:7.1f} s   plain {row['plain']:7.1f} s")
    ratio = found["ratio"]
    print(
        f"{found['models']} models of {found['steps']} steps: Synthlift takes "
        f"{ratio['median']:.2f} × the plain loop's time ({ratio['low']:.2f} to {ratio['high']:.2f})"
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
