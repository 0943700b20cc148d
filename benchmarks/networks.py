"""Whose U-Net the flow should have: ours, ours compiled, or that of diffusers.

All learn the same images of 32 × 32 pixels with the same loss, optimiser and batches of 64, on
one thread, for the same seconds of the process; then the loss on images that none has seen is
compared. The U-Net of diffusers (``UNet2DModel``) comes with our widths, on patches of 2 × 2
pixels as ours and on pixels as it is mostly used. ``torch.compile`` is timed without what earlier
runs left behind, by the clock, since it compiles in processes of its own. Steps in bfloat16 (as
autocast chooses what is computed in it) and in float32 take turns.

The folder has one sub-folder a class, such as CIFAR-10 unpacked.

    python -m benchmarks.networks CIFAR10/train --seconds 120 --json networks.json
    python -m benchmarks.networks CIFAR10/train --part bfloat16 --json networks.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.latents import read_images
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.batches import Batch, training_batches
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.network import EARLIEST, FlowNetwork, build_network, plan_network
from synthlift.generators.flow.training import FlowLearner
from synthlift.generators.learning.examples import Examples, load_examples
from synthlift.generators.learning.optimizer import unflatten
from synthlift.study.environment import describe_environment

SIZE, WIDTHS = 32, (32, 64)
HELD_OUT_BATCHES, TIMED = 16, 20
ROUNDS = 3
"""In bfloat16, which a processor without instructions for it takes seconds for."""
HORIZON = 20_000
"""Steps of the schedule: so many that the learning rate hardly falls in what is trained here."""
PARTS = ("networks", "compile", "bfloat16")


class Diffusers(FlowNetwork):
    """``UNet2DModel`` of diffusers in our terms: it predicts the image, the velocity follows."""

    def __init__(self, *, classes: int, patch: int) -> None:
        from diffusers.models.unets.unet_2d import UNet2DModel

        super().__init__(conditions=[classes], features=4 * WIDTHS[0])
        self.patch = patch
        channels = 3 * patch * patch
        self.inner = UNet2DModel(
            sample_size=SIZE // patch,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=WIDTHS,
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
            attention_head_dim=64,
            class_embed_type="identity",
        )

    def forward(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None = None
    ) -> Tensor:
        """As that of our U-Net."""
        image = self.raw(x_nchw, times_n, wanted_nk, augment_n4)
        return (x_nchw - image) / times_n.clamp(min=EARLIEST)[:, None, None, None]

    def raw(
        self, x_nchw: Tensor, times_n: Tensor, wanted_nk: Tensor, augment_n4: Tensor | None
    ) -> Tensor:
        """The predicted image."""
        condition = self.condition(times_n, wanted_nk, augment_n4)
        patches = F.pixel_unshuffle(x_nchw, self.patch)
        inside = patches.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.inner(inside, 1000 * times_n, class_labels=condition).sample
        return F.pixel_shuffle(out, self.patch)


def _ours(classes: int, config: FlowConfig) -> FlowNetwork:
    plan = plan_network(config, image_shape=(SIZE, SIZE, 3), conditions=[classes])
    return build_network(plan, seed=0)


def _theirs(classes: int, patch: int) -> FlowNetwork:
    torch.manual_seed(0)
    return Diffusers(classes=classes, patch=patch)


def train(
    network: FlowNetwork, examples: Examples, config: FlowConfig, *, seconds: float
) -> tuple[FlowLearner, list[float]]:
    """Train for so many seconds of the process; the learner, and the seconds of each step."""
    learner = FlowLearner(network, examples=examples, config=config, seed=0)
    spent: list[float] = []
    # Batches are made ahead in a thread, so they count in what the process took as a whole.
    began = before = time.process_time()
    for step, batch in enumerate(learner.batches(range(HORIZON))):
        learner.step(batch, step=step, memory={})
        now = time.process_time()
        spent.append(now - before)
        before = now
        if now - began >= seconds:
            break
    return learner, spent


@torch.no_grad()
def held_out_loss(learner: FlowLearner, network: FlowNetwork, batches: Sequence[Batch]) -> float:
    """The loss with averaged weights on fixed batches of unseen images."""
    for name, value in unflatten(network, learner.flats["network"].average).items():
        network.get_parameter(name).data = value
    losses = [
        (network(one.x_nchw, one.times_n, one.wanted_nk) - one.target_nchw).square().mean()
        for one in batches
    ]
    return float(torch.stack(losses).mean())


@torch.no_grad()
def sampling_seconds(network: Callable[..., Tensor], batch: Batch) -> float:
    """Seconds of the process for one evaluation of a batch without gradients; the median."""
    times = []
    for _ in range(TIMED):
        began = time.process_time()
        network(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
        times.append(time.process_time() - began)
    return statistics.median(times)


def compiled(network: FlowNetwork, batch: Batch) -> dict[str, float]:
    """What ``torch.compile`` takes, and a step and an evaluation with it; and without, in turns."""

    def step(call: Callable[..., Tensor]) -> float:
        began = time.process_time()
        found = call(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
        torch.autograd.backward((found - batch.target_nchw).square().mean())
        return time.process_time() - began

    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        fast = torch.compile(network)
        began = time.perf_counter()
        step(fast)
        with torch.no_grad():
            fast(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
        took = time.perf_counter() - began
    rounds = [(step(network), step(fast)) for _ in range(TIMED)]
    plain, quick = (statistics.median(side) for side in zip(*rounds, strict=True))
    evaluated = sampling_seconds(network, batch), sampling_seconds(fast, batch)
    return {
        "compiling_wall": took,
        "step": plain,
        "step_compiled": quick,
        "evaluation": evaluated[0],
        "evaluation_compiled": evaluated[1],
    }


def in_bfloat16(network: FlowNetwork, batch: Batch) -> dict[str, float]:
    """Seconds of the process for a step and an evaluation, each precision in turns; medians."""

    def step(enabled: bool) -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = network(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
        torch.autograd.backward((found.float() - batch.target_nchw).square().mean())
        return time.process_time() - began

    @torch.no_grad()
    def evaluation(enabled: bool) -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            network(batch.x_nchw, batch.times_n, batch.wanted_nk, batch.augment_n4)
        return time.process_time() - began

    found: dict[str, float] = {}
    for name, call in (("step", step), ("evaluation", evaluation)):
        call(True)
        rounds = [(call(False), call(True)) for _ in range(ROUNDS)]
        plain, half = (statistics.median(side) for side in zip(*rounds, strict=True))
        found |= {name: plain, f"{name}_bfloat16": half}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, each network")
    parser.add_argument("--train", type=int, default=900, help="images of each class")
    parser.add_argument("--part", action="append", choices=PARTS, help="of the result; all")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = os.getloadavg()[0]
    (seen, unseen), classes = read_images(given.folder, size=SIZE, per_class=(given.train, 200))
    config = settle(FlowConfig(), examples=len(seen), image_shape=seen.image_shape)
    config = config.model_copy(update={"steps": HORIZON, "augmentation": 0.0, "flip": "no"})
    vocabulary = Vocabulary.of(seen, ())
    examples = load_examples(seen, vocabulary, class_balance=0, device="cpu")
    held_out = load_examples(unseen, vocabulary, class_balance=0, device="cpu")
    plain = config.model_copy(update={"label_dropout": 0.0, "batch_size": 64})
    batches = list(training_batches(held_out, plain, seed=1, steps=range(HELD_OUT_BATCHES)))
    builds: dict[str, Callable[[], FlowNetwork]] = {
        "ours": lambda: _ours(len(classes), config),
        "diffusers, patches": lambda: _theirs(len(classes), 2),
        "diffusers, pixels": lambda: _theirs(len(classes), 1),
    }
    parts = given.part or PARTS
    found: dict[str, Any] = {}
    for name, build in builds.items() if "networks" in parts else ():
        network = build()
        learner, spent = train(network, examples, config, seconds=given.seconds)
        found[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "steps": len(spent),
            "step": statistics.median(spent),
            "evaluation": sampling_seconds(network, batches[0]),
            "held_out_loss": held_out_loss(learner, network, batches),
        }
        print(name, found[name], flush=True)
    result = json.loads(given.json.read_text()) if given.part and given.json else {}
    told = {
        "load_before_and_after": [before, os.getloadavg()[0]],
        "environment": describe_environment(device="cpu", workers=1),
    }
    if "networks" in parts:
        result |= {"seconds": given.seconds, "networks": found, **told}
    network = _ours(len(classes), config)
    if "compile" in parts:
        result["compile"] = compiled(network, batches[0])
    if "bfloat16" in parts:
        result["bfloat16"] = in_bfloat16(network, batches[0]) | told
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
