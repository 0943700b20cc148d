"""Train the models that come with the package, from drawings alone.

    python -m scripts.embedded_models            # all of them, into src/synthlift/embedded
    python -m scripts.embedded_models clip --into ./mine

Everything follows from fixed seeds, one thread computes, and an interrupted training goes on from
its last check-point.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from scripts.embedded_models.autoencoder import finish_decoder, train_autoencoder
from scripts.embedded_models.contrast import processor, train_clip
from scripts.embedded_models.denoiser import train_pipeline
from scripts.embedded_models.matching import match_decoder
from scripts.embedded_models.pool import Pool, training_pool
from scripts.embedded_models.tokenizer import save_tokenizer
from synthlift.embedded import embedded_model

DRAWINGS = 20_000
PARTS = ("clip", "text_to_image")
"""In this order: the pipeline takes the text encoder of the CLIP."""

TOKENIZER_FILES = ("vocab.json", "merges.txt")
"""What older versions of transformers read in place of tokenizer.json."""


def main() -> None:
    """Train what was asked for and write it in half precision."""
    parser = argparse.ArgumentParser(prog="python -m scripts.embedded_models", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument(
        "--decoder", action="store_true", help="only finish the decoder, beside another training"
    )
    parser.add_argument(
        "--match",
        action="store_true",
        help="only let the decoder of the packaged pipeline learn what its network draws",
    )
    parser.add_argument("--work", type=Path, default=Path(".cache/embedded_models"))
    parser.add_argument("--into", type=Path, default=embedded_model("clip").parent)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(given.work / "tokenizer")
    pool = training_pool(given.work, DRAWINGS)
    if given.decoder:
        finish_decoder(_autoencoder(pool, given.work), pool, given.work)
        return
    if given.match:
        packaged = StableDiffusionPipeline.from_pretrained(embedded_model("text_to_image"))
        packaged = packaged.to(dtype=torch.float32)
        packaged.vae.register_to_config(_name_or_path="")
        match_decoder(packaged, pool, given.work)
        packaged.vae.to(dtype=torch.float16).save_pretrained(given.into / "text_to_image" / "vae")
        return
    for part in given.parts or PARTS:
        folder = given.into / part
        if part == "clip":
            _make_clip(pool, tokenizer, given.work, folder)
        else:
            _make_pipeline(pool, tokenizer, given.work, folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{folder}: {size / 2**20:.2f} MiB")


def _make_pipeline(pool: Pool, tokenizer: CLIPTokenizer, work: Path, folder: Path) -> None:
    autoencoder = _autoencoder(pool, work)
    pipeline = train_pipeline(pool, autoencoder, tokenizer, train_clip(pool, tokenizer, work), work)
    finish_decoder(autoencoder, pool, work)
    match_decoder(pipeline, pool, work)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    _copy_tokenizer(work, folder / "tokenizer")


def _autoencoder(pool: Pool, work: Path) -> AutoencoderKL:
    """The autoencoder before its decoder is finished."""
    kept = work / "autoencoder"
    if not kept.is_dir():
        train_autoencoder(pool, work).save_pretrained(kept)
    model = AutoencoderKL.from_pretrained(kept)
    # Else the packaged settings would name a folder of this machine.
    model.register_to_config(_name_or_path="")
    return model.eval()


def _make_clip(pool: Pool, tokenizer: CLIPTokenizer, work: Path, folder: Path) -> None:
    model = train_clip(pool, tokenizer, work)
    _halve(model)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    processor().save_pretrained(folder)
    _copy_tokenizer(work, folder)


def _halve(model: nn.Module) -> None:
    model.to(dtype=torch.float16)


def _copy_tokenizer(work: Path, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        shutil.copyfile(work / "tokenizer" / name, folder / name)


if __name__ == "__main__":
    main()
