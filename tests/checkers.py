"""Safety checkers of tiny pipelines: none, and one that objects."""

from __future__ import annotations

from typing import Any

import torch

NO_CHECKER: dict[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "requires_safety_checker": False,
}


def objecting_checker(above: float) -> dict[str, Any]:
    """One that blackens images with a likeness above this one to what it objects to."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    # A likeness above its threshold is objected to; none is below -1.
    torch.nn.init.constant_(checker.concept_embeds_weights, above)
    extractor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    return {"safety_checker": checker, "feature_extractor": extractor}
