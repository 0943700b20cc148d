"""Batched augmentation in torch: every image's parameters come from its own row of draws.

The draws depend on a seed and on the position in an image stream, never on the batch, the arm or
the strength, so that paired arms see the same ones. Sizes are relative to the image.

Shape letters: n images, c channels, h height, w width, k classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthlift.rows import PixelRows, in_blocks
from synthlift.seeds import generator_for, seed_for
from synthlift.spec.arms import Augmentation
from synthlift.types import Float64, ImageSet, Int64, Strings

COLUMNS = 16
_BLOCK = 4096
# Columns of the draws, each uniform in [0, 1).
_X, _Y, _ANGLE, _SCALE, _FLIP, _LIGHT, _CONTRAST, _COLOUR, _CUT, _CUT_X, _CUT_Y = range(11)
_MIX, _MIX_LAMBDA, _MIX_X, _MIX_Y = range(11, 15)


@dataclass(frozen=True)
class Strength:
    """Ranges of one strength; 0 switches a part off.

    Attributes:
        shift: largest shift as a share of the side.
        angle: largest rotation in degrees.
        scale: largest relative enlargement or reduction.
        light: largest change of brightness on the scale [0, 1].
        contrast, colour: largest relative change of contrast and saturation.
        cut: side of the cut-out square as a share of the image's side.
        cut_rate: share of images with a cut-out (DeVries & Taylor 2017).
        mix_rate: share of images mixed with another one (half mixup, half CutMix).
    """

    shift: float = 0.0
    angle: float = 0.0
    scale: float = 0.0
    light: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    cut: float = 0.0
    cut_rate: float = 0.0
    mix_rate: float = 0.0


STRENGTHS: dict[Augmentation, Strength] = {
    "none": Strength(),
    "light": Strength(shift=0.1),
    "medium": Strength(
        shift=0.1, angle=10, scale=0.1, light=0.1, contrast=0.2, colour=0.2, cut=0.25, cut_rate=0.5
    ),
    "strong": Strength(
        shift=0.125,
        angle=15,
        scale=0.2,
        light=0.2,
        contrast=0.4,
        colour=0.4,
        cut=0.375,
        cut_rate=0.5,
        mix_rate=0.5,
    ),
}


class Draws:
    """An endless table of uniform draws, one row a stream position; any part can be asked for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._blocks: dict[int, Tensor] = {}

    def take(self, start: int, count: int) -> Tensor:
        """Rows ``start`` … ``start + count - 1``, float32 [count, COLUMNS] in [0, 1)."""
        first, last = start // _BLOCK, (start + max(count, 1) - 1) // _BLOCK
        wanted = range(first, last + 1)
        self._blocks = {b: self._blocks[b] if b in self._blocks else self._make(b) for b in wanted}
        table = torch.cat([self._blocks[b] for b in wanted])
        return table[start - first * _BLOCK :][:count]

    def _make(self, block: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_for(self._seed, "draws", block))
        return torch.rand(_BLOCK, COLUMNS, generator=generator)


def augment(
    images_nchw: Tensor, draws: Tensor, *, strength: Augmentation, flip: bool = False
) -> Tensor:
    """Shift, turn, scale, flip, change light and colour, cut out.

    Args:
        images_nchw: float32 [n, c, h, w] in [0, 1].
        draws: float32 [n, COLUMNS] in [0, 1), a row per image (:class:`Draws`).
        strength: name in :data:`STRENGTHS`; ``none`` returns the images unchanged.
        flip: also flip half of the images horizontally.

    Returns:
        float32 [n, c, h, w] in [0, 1].
    """
    if strength == "none" or not len(images_nchw):
        return images_nchw
    sizes = STRENGTHS[strength]
    images = _move(images_nchw, draws, sizes, flip)
    if sizes.light or sizes.contrast:
        images = _shade(images, draws, sizes)
    return _cut(images, draws, sizes) if sizes.cut_rate else images


def _centred(draws: Tensor, column: int) -> Tensor:
    return draws[:, column] * 2 - 1


def _move(images: Tensor, draws: Tensor, sizes: Strength, flip: bool) -> Tensor:
    if not (sizes.angle or sizes.scale):
        return _shift(images, draws, sizes.shift, flip)
    x = _centred(draws, _X) * 2 * sizes.shift
    y = _centred(draws, _Y) * 2 * sizes.shift
    angle = _centred(draws, _ANGLE) * (sizes.angle * math.pi / 180)
    scale = torch.exp(_centred(draws, _SCALE) * math.log1p(sizes.scale))
    mirror = torch.where(draws[:, _FLIP] < 0.5, -1.0, 1.0) if flip else torch.ones_like(x)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([cos * mirror, -sin, x, sin * mirror, cos, y], dim=1).view(-1, 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _shift(images: Tensor, draws: Tensor, share: float, flip: bool) -> Tensor:
    """Shift by whole pixels, at least one either way, so that nothing is blurred."""
    count, channels, height, width = images.shape
    device = images.device
    across, down = max(1, round(width * share)), max(1, round(height * share))
    x = torch.floor(draws[:, _X] * (2 * across + 1)).sub_(across).long()[:, None]
    y = torch.floor(draws[:, _Y] * (2 * down + 1)).sub_(down).long()[:, None]
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        columns = torch.where(draws[:, _FLIP, None] < 0.5, width - 1 - columns, columns)
    columns = (columns + x).clamp(0, width - 1)
    rows = (torch.arange(height, device=device) + y).clamp(0, height - 1)
    rows += torch.arange(count, device=device)[:, None] * height
    # Whole pixels are copied, each from its place in the batch: four times as fast as a grid.
    places = (rows[:, :, None] * width + columns[:, None, :]).flatten()
    flat = images.permute(0, 2, 3, 1).reshape(-1, channels)
    return flat.index_select(0, places).view(count, height, width, channels).permute(0, 3, 1, 2)


def _shade(images: Tensor, draws: Tensor, sizes: Strength) -> Tensor:
    column = (-1, 1, 1, 1)
    if images.shape[1] == 3 and sizes.colour:
        grey = images.mean(dim=1, keepdim=True)
        colour = 1 + (_centred(draws, _COLOUR) * sizes.colour).view(column)
        images = torch.lerp(grey, images, colour)
    centre = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1 + (_centred(draws, _CONTRAST) * sizes.contrast).view(column)
    light = (_centred(draws, _LIGHT) * sizes.light).view(column)
    return torch.addcmul(centre * (1 - contrast) + light, images, contrast).clamp_(0, 1)


def _box(centre_x: Tensor, centre_y: Tensor, side: Tensor, shape: torch.Size) -> Tensor:
    """Boolean [n, 1, h, w]: pixels inside a square; centres and sides are shares of the image."""
    height, width = shape[-2:]
    rows = (torch.arange(height, device=side.device) + 0.5) / height
    columns = (torch.arange(width, device=side.device) + 0.5) / width
    inside_y = (rows - centre_y[:, None]).abs() < side[:, None] / 2
    inside_x = (columns - centre_x[:, None]).abs() < side[:, None] / 2
    return (inside_y[:, :, None] & inside_x[:, None, :])[:, None]


def _cut(images: Tensor, draws: Tensor, sizes: Strength) -> Tensor:
    side = torch.where(draws[:, _CUT] < sizes.cut_rate, sizes.cut, 0.0)
    inside = _box(draws[:, _CUT_X], draws[:, _CUT_Y], side, images.shape)
    return torch.where(inside, images.mean(dim=(1, 2, 3), keepdim=True), images)


def mix(
    images_nchw: Tensor, targets_nk: Tensor, draws: Tensor, *, strength: Augmentation
) -> tuple[Tensor, Tensor]:
    """Mix images with their neighbours in the batch: mixup or CutMix, both with α = 1.

    Zhang 2018 (mixup, eq. 1) and Yun 2019 (CutMix, eq. 1): λ is uniform in [0, 1].

    Args:
        images_nchw: float32 [n, c, h, w].
        targets_nk: float32 [n, k], rows sum to 1.
        draws: float32 [n, COLUMNS].
        strength: name in :data:`STRENGTHS`; only ``strong`` mixes.

    Returns:
        Images and targets, the latter mixed by the share of each image that is visible.
    """
    rate = STRENGTHS[strength].mix_rate
    if not rate:
        return images_nchw, targets_nk
    chosen, weight = draws[:, _MIX], draws[:, _MIX_LAMBDA]
    blended = torch.where(chosen < rate / 2, weight, 1.0)
    pasted = torch.where((chosen >= rate / 2) & (chosen < rate), (1 - weight).sqrt(), 0.0)
    inside = _box(draws[:, _MIX_X], draws[:, _MIX_Y], pasted, images_nchw.shape)
    partner = images_nchw.roll(1, dims=0)
    images = torch.lerp(partner, images_nchw, blended.view(-1, 1, 1, 1))
    images = torch.where(inside, partner, images)
    own = (blended * (1 - inside.float().mean(dim=(1, 2, 3))))[:, None]
    return images, torch.lerp(targets_nk.roll(1, dims=0), targets_nk, own)


# ── do flips keep the class? ──────────────────────────────────────────────────────────────────

_NEIGHBOURS, _FEATURE_SIDE, _MOST_IMAGES = 5, 16, 2000
# Tolerated loss: 5 points, or a tenth of what neighbours know beyond chance.
_TOLERATED, _TOLERATED_SHARE = 0.05, 0.1
_ONE_SIDED_95 = 1.645


def flip_keeps_class(train: ImageSet) -> tuple[bool, str]:
    """Test on training images alone whether a horizontal flip keeps the class.

    Every image asks its 5 nearest neighbours outside its own group for its class, once as it is and
    once flipped. Flips are allowed when the upper 95 % limit of the loss in agreement is small, and
    no single class loses significantly (Bonferroni). Where neighbours know nothing, or in doubt,
    the answer is no: a needless "no" costs a little, a wrong "yes" teaches false classes.

    Args:
        train: labelled training images.

    Returns:
        The answer and the reason in words.
    """
    rows = _some_rows(train)
    labels, groups = train.labels[rows], train.groups[rows]
    if len(rows) <= _NEIGHBOURS or len(np.unique(labels)) < 2:
        return False, "too few training images to test flips"
    images = train.source.narrowed(rows)
    features = _features(images)
    plain = _agreement(features, features, labels, groups)
    flipped = _agreement(_features(images, flipped=True), features, labels, groups)
    chance = float(np.mean(np.bincount(labels)[labels]) / len(labels))
    skill, uncertainty = float(plain.mean()) - chance, _standard_error(plain)
    if skill <= 2 * uncertainty:
        return False, "nearest neighbours do not tell the classes apart, so flips were not tested"
    loss = plain - flipped
    limit = float(loss.mean()) + _ONE_SIDED_95 * _standard_error(loss)
    figures = f"neighbours agree {plain.mean():.0%} unflipped, {flipped.mean():.0%} flipped"
    hurt = _hurt_classes(loss, labels, len(train.classes))
    if hurt:
        names = ", ".join(train.classes[k] for k in hurt[:3])
        return False, f"flips change the class of {names} ({figures})"
    if limit > max(_TOLERATED, _TOLERATED_SHARE * skill):
        return False, f"flips may change the class ({figures}, loss up to {limit:.1%})"
    return True, f"flips keep the class ({figures}, loss at most {max(limit, 0.0):.1%})"


def _some_rows(train: ImageSet) -> Int64:
    rows = np.flatnonzero(train.labels >= 0)
    if len(rows) > _MOST_IMAGES:
        rows = np.sort(generator_for("flip_test").permutation(rows)[:_MOST_IMAGES])
    return rows.astype(np.int64)


def _agreement(queries: Tensor, references: Tensor, labels: Int64, groups: Strings) -> Float64:
    """Share of each query's neighbours, outside its group, that have its label; float64 [n]."""
    similarity = queries @ references.T
    _, group = np.unique(groups, return_inverse=True)
    own = torch.from_numpy(group[:, None] == group[None, :])
    nearest = similarity.masked_fill(own, -2.0).topk(_NEIGHBOURS, dim=1).indices.numpy()
    share: Float64 = (labels[nearest] == labels[:, None]).mean(axis=1)
    return share


def _features(images: PixelRows, *, flipped: bool = False) -> Tensor:
    parts = []
    for block in in_blocks(images):
        pixels = np.ascontiguousarray(block[:, :, ::-1]) if flipped else block
        images_nchw = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        side = min(_FEATURE_SIDE, *images_nchw.shape[-2:])
        parts.append(functional.adaptive_avg_pool2d(images_nchw, side).flatten(1))
    flat = torch.cat(parts)
    return functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def _standard_error(values: Float64) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def _hurt_classes(loss: Float64, labels: Int64, classes: int) -> list[int]:
    from scipy.stats import norm

    threshold = float(norm.isf(0.05 / classes))
    hurt = []
    for k in range(classes):
        own = loss[labels == k]
        if len(own) > _NEIGHBOURS and own.mean() > max(
            2 * _TOLERATED, threshold * _standard_error(own)
        ):
            hurt.append(k)
    return hurt
