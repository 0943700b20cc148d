"""Tiny ControlNets of several families; unlike new ones, they already have a say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.pipelines import tiny_flux, tiny_stable_diffusion_3, tiny_stable_diffusion_xl


def controlled(family: str, folder: Path) -> tuple[Path, Path]:
    """A tiny pipeline of a family (sdxl, sd3, flux) and a ControlNet for it."""
    import diffusers

    builders: dict[str, Any] = {
        "sdxl": tiny_stable_diffusion_xl,
        "sd3": lambda place: tiny_stable_diffusion_3(place, layers=2),
        "flux": tiny_flux,
    }
    pipeline: Path = builders[family](folder / "pipeline")
    kinds: Any = diffusers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "sdxl":
            unet = kinds.UNet2DConditionModel.from_pretrained(pipeline / "unet")
            control = kinds.ControlNetModel.from_unet(
                unet, conditioning_embedding_out_channels=(8, 16)
            )
        elif family == "sd3":
            network = kinds.SD3Transformer2DModel.from_pretrained(pipeline / "transformer")
            control = kinds.SD3ControlNetModel.from_transformer(
                network, num_layers=1, num_extra_conditioning_channels=0
            )
        else:
            network = kinds.FluxTransformer2DModel.from_pretrained(pipeline / "transformer")
            control = kinds.FluxControlNetModel.from_transformer(
                network,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
            )
        for parameter in control.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    control.save_pretrained(folder / "control", safe_serialization=True)
    return pipeline, folder / "control"
