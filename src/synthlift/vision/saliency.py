"""Where a convolutional classifier looks: Grad-CAM, place by place.

Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) averages the gradients of each channel over all
places, which says what networks with average pooling do. A network that flattens its last map
weighs each place by itself; there the product of map and gradient, place by place, says what counts
(HiResCAM, Draelos & Carin 2020, eq. 5). With average pooling both are the same, so the second is
computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthlift.types import Float32, Int64, UInt8
from synthlift.vision.classifiers.base import ImageNetwork
from synthlift.vision.prediction import Classifier

MOST_AFTER = 8
"""Modules that may follow the last map: pooling, flattening, some dense layers and the head. After
a transformer's only map, that of its patches, come dozens, which mix the places."""
_STOPS = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64
)
"""Colours from cold to hot, told apart by their brightness alone (after *inferno*)."""
SHOWN = 192
"""Pixels a side of what :func:`overlay` gives, at least."""


def grad_cam(classifier: Classifier, pixels: UInt8, *, classes: Int64) -> Float32 | None:
    """How much each place of an image speaks for a class.

    Args:
        classifier: a convolutional one.
        pixels: uint8 [n, H, W, C] of its size.
        classes: the class of each image that is asked for [n].

    Returns:
        float32 [n, H, W] in 0..1, the most important place of each image 1; all 0 where no place
        speaks for the class. None where the network has no map of places.
    """
    network = classifier.network
    layer = _last_map(network, classifier)
    if layer is None:
        return None
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(classifier.device)
    images = (images.permute(0, 3, 1, 2).float() / 255).requires_grad_()
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _given, made: kept.append(made))
    try:
        with torch.enable_grad():
            logits = network(images)
            wanted = torch.from_numpy(classes).to(logits.device)[:, None]
            (slopes,) = torch.autograd.grad(logits.gather(1, wanted).sum(), kept[0])
    finally:
        hook.remove()
    with torch.no_grad():
        coarse = torch.relu((slopes * kept[0]).sum(dim=1, keepdim=True))
        fine = F.interpolate(coarse, pixels.shape[1:3], mode="bilinear", align_corners=False)
        highest = fine.amax(dim=(1, 2, 3), keepdim=True)
        maps: Float32 = (fine / highest.clamp_min(1e-12))[:, 0].cpu().numpy()
    return maps


def evidence_inside(heat: Float32, mask: UInt8) -> float | None:
    """The share of a map [H, W] that lies where a mask [H, W] is not 0; None of an empty map.

    To be held against the share of places that the mask covers: evidence spread anyhow reaches
    just that (the energy-based pointing game, Wang et al. 2020, section 4.3).
    """
    total = float(heat.sum())
    return float(heat[mask > 0].sum()) / total if total > 0 else None


def _last_map(network: ImageNetwork, classifier: Classifier) -> nn.Module | None:
    """The last module that gives a map of several places, in the order in which they end.

    A block ends after its parts, so that it is the block's result which counts, not that of a part.
    """
    ran: list[tuple[nn.Module, bool]] = []

    def note(module: nn.Module, _given: Any, made: Any) -> None:
        is_map = isinstance(made, Tensor) and made.dim() == 4 and min(made.shape[2:]) > 1
        ran.append((module, is_map))

    hooks = [module.register_forward_hook(note) for module in network.trunk.modules()]
    try:
        height, width, channels = classifier.facts.image_shape
        with torch.inference_mode():
            network(torch.zeros(1, channels, height, width, device=classifier.device))
    finally:
        for hook in hooks:
            hook.remove()
    places = [place for place, (_, is_map) in enumerate(ran) if is_map]
    if not places:
        return None
    after = [module for module, _ in ran[places[-1] + 1 :] if not list(module.children())]
    return ran[places[-1]][0] if len(after) <= MOST_AFTER else None


def overlay(pixels: UInt8, heat: Float32) -> UInt8:
    """A picture with a map laid over it in colours.

    Args:
        pixels: uint8 [H, W, 1 or 3].
        heat: [H, W] in 0..1.

    Returns:
        uint8 [h, w, 3], enlarged by a whole factor to 192 pixels or more.
    """
    height, width = heat.shape
    factor = max(1, -(-SHOWN // max(height, width)))
    large = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1).astype(np.float64)
    grid = torch.from_numpy(np.asarray(heat, np.float32))[None, None]
    size = (height * factor, width * factor)
    fine = F.interpolate(grid, size, mode="bilinear", align_corners=False)[0, 0].double().numpy()
    place = np.clip(fine, 0, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(np.intp), len(_STOPS) - 2)
    part = (place - low)[..., None]
    colours = _STOPS[low] * (1 - part) + _STOPS[low + 1] * part
    mixed: UInt8 = np.rint(0.45 * large + 0.55 * colours).astype(np.uint8)
    return mixed
