"""Training a LoRA on few images: ours beside a plain loop of diffusers, on a GPU.

The plain loop is what the training scripts of diffusers do, which DataDream (Kim 2024) builds on,
with DataDream's settings as far as they cost time: rank 16 in the attention of network and text
encoder, batches of eight at 512 pixels in mixed precision, AdamW; images are encoded and texts read
in every step. Ours is the fit of a study's generator with as many image passes. Both begin with
opening the pipeline, whose weights are random (:mod:`benchmarks.real_shapes`)::

    python -m benchmarks.few_shot_lora --json results/performance/few_shot_lora.json

On a processor, in miniature: ``--shape tiny-sd15 --device cpu --dtype float32 --passes 16``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.power import Energy
from benchmarks.real_shapes import SHAPES, build
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.study.environment import describe_environment
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, UInt8

RANK, BATCH, LEARNING_RATE = 16, 8, 1e-4
CLASSES = ("crane", "gull", "heron", "swift")


def few_images(count: int, side: int) -> tuple[UInt8, list[int]]:
    """Noise, the classes in turn."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    return pixels, [number % len(CLASSES) for number in range(count)]


def plain_loop(folder: Path, side: int, given: Any) -> None:
    """What the scripts of diffusers do."""
    from peft import LoraConfig

    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=getattr(torch, given.dtype))
    pipeline.to(given.device)
    unet, reader, vae = pipeline.unet, pipeline.text_encoder, pipeline.vae
    for part in (unet, reader, vae):
        part.requires_grad_(False)
    attention = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=attention))
    if given.text_encoder:
        words = ["q_proj", "k_proj", "v_proj", "out_proj"]
        reader.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=words))
    learnt = [w for part in (unet, reader) for w in part.parameters() if w.requires_grad]
    for weight in learnt:
        weight.data = weight.data.float()
    if given.checkpointing:
        unet.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(learnt, lr=LEARNING_RATE)
    noising = DDPMScheduler.from_config(pipeline.scheduler.config)
    pixels, labels = few_images(given.images, side)
    order = np.random.default_rng(1)
    for _ in range(given.passes // BATCH):
        rows = order.integers(0, given.images, BATCH)
        x = _seen(pixels[rows]).to(given.device, vae.dtype)
        texts = [f"a photo of {CLASSES[labels[row]]}" for row in rows]
        loss = _loss(pipeline, noising, x, texts, device=given.device)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    float(loss)


def _seen(pixels: UInt8) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _loss(pipeline: Any, noising: Any, x: Tensor, texts: Sequence[str], *, device: str) -> Tensor:
    with torch.no_grad():
        clean = pipeline.vae.encode(x).latent_dist.sample() * pipeline.vae.config.scaling_factor
    noise = torch.randn_like(clean)
    steps = noising.config.num_train_timesteps
    times = torch.randint(0, steps, (len(x),), device=device)
    noised = noising.add_noise(clean, noise, times)
    tokens = pipeline.tokenizer(
        list(texts), padding="max_length", truncation=True, return_tensors="pt"
    )
    mixed = pipeline.unet.dtype != torch.float32
    with torch.autocast(torch.device(device).type, dtype=pipeline.unet.dtype, enabled=mixed):
        told = pipeline.text_encoder(tokens["input_ids"].to(device))[0]
        predicted = pipeline.unet(noised, times, told, return_dict=False)[0]
    return mse_loss(predicted.float(), noise.float())


def with_synthlift(folder: Path, side: int, given: Any, *, work: Path) -> None:
    """The fit of a study's generator."""
    config = TextToImageConfig.model_validate(
        {
            "model": str(folder),
            "dtype": given.dtype,
            "micro_batch": BATCH,
            "adapt": {
                "kind": "lora",
                "rank": RANK,
                "text_encoder": given.text_encoder,
                "batch_size": BATCH,
                "learning_rate": LEARNING_RATE,
                "steps": given.passes // BATCH,
                "readings": 0,
                "gradient_checkpointing": given.checkpointing,
            },
        }
    )
    pixels, labels = few_images(given.images, side)
    train = ImageSet.from_arrays(pixels, np.array(labels, np.int64), CLASSES)
    none = train.ids[:0]
    inputs = FitInputs(
        train=train,
        validation=train.subset(np.arange(0)),
        test=LockedTest(ids=none, groups=none, hashes=none),
    )
    work.mkdir(parents=True)
    run = RunContext(folder=work, seed=1, device=given.device)
    TextToImageGenerator(config).fit(inputs, run=run)


def timed(train: Callable[[], None], given: Any) -> dict[str, float]:
    """Seconds and energy of a whole training."""
    with Energy(given.device) as spent:
        train()
    return {"seconds": spent.seconds, "kwh": spent.kwh}


def measure(given: Any) -> dict[str, Any]:
    """Both sides in turns; a first round, which warms up, is not counted."""
    side = SHAPES[given.shape].side
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as place:
        dtype = getattr(torch, given.dtype)
        model = build(given.shape, Path(place) / "model", device=given.device, dtype=dtype)
        for number in range(given.rounds + 1):
            work = Path(place) / f"work-{number}"
            sides: dict[str, Callable[[], None]] = {
                "loop": partial(plain_loop, model, side, given),
                "ours": partial(with_synthlift, model, side, given, work=work),
            }
            order = list(sides) if number % 2 else list(sides)[::-1]
            rounds.append({one: timed(sides[one], given) for one in order})
    counted = rounds[1:]
    return {
        **{name: value for name, value in vars(given).items() if name != "json"},
        "gpu": torch.cuda.get_device_name(given.device) if "cuda" in given.device else "",
        "energy": Energy(given.device).method,
        "first": rounds[0],
        "rounds": counted,
        "share_of_loop": [one["ours"]["seconds"] / one["loop"]["seconds"] for one in counted],
        "environment": describe_environment(given.device, 1),
    }


def arguments(said: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stable = [name for name in SHAPES if name.endswith("sd15")]
    parser.add_argument("--shape", choices=stable, default="sd15")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--images", type=int, default=64, help="that are learnt")
    parser.add_argument("--passes", type=int, default=1600, help="images seen in all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text-encoder", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--checkpointing", action="store_true", help="of gradients, both sides")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(said)


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = measure(given)
    shares = found["share_of_loop"]
    print(
        f"ours takes {statistics.median(shares):.2f} of the plain loop's time "
        f"({min(shares):.2f} to {max(shares):.2f})"
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
