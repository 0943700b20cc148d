"""Adam whose moments take a byte each (Dettmers 2022), computed by bitsandbytes.

A moment is one of 256 numbers between -1 and 1, or 0 and 1, that lie denser near 0, times the
largest magnitude within its block of 256.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from synthlift.errors import InputError, needing_extra

BLOCK = 256
EXTRA = "adam8bit"


def require_eight_bit(device: torch.device) -> None:
    """Refuse 8-bit moments where they cannot be computed.

    Raises:
        InputError: bitsandbytes is not installed, or does not know the device.
    """
    with needing_extra("'optimizer: adam8bit'", extra=EXTRA):
        import bitsandbytes  # noqa: F401
    try:
        numbers = torch.zeros(BLOCK, device=device)
        codes, scales = empty_moments(numbers)
        step_eight_bit(
            numbers,
            numbers.clone(),
            moments=(codes, codes.clone()),
            scales=scales,
            step=0,
            learning_rate=0.0,
            betas=(0.9, 0.99),
            epsilon=1e-8,
        )
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"'optimizer: adam8bit' on the device '{device}': {str(error).splitlines()[0]}",
            rule="bitsandbytes updates weights where they lie; it knows processors, NVIDIA, AMD "
            "and Intel GPUs, each as far as its version and their drivers go",
            remedy="set optimizer: adam, or take another device",
        ) from None


def empty_moments(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [n] of moments that are 0, and scales [2, blocks] for both moments."""
    blocks = -(-weights.numel() // BLOCK)
    codes = torch.zeros_like(weights, dtype=torch.uint8)
    return codes, torch.zeros((2, blocks), device=weights.device)


def step_eight_bit(
    weights: Tensor,
    gradient: Tensor,
    *,
    moments: tuple[Tensor, Tensor],
    scales: Tensor,
    step: int,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """One step of Adam.

    Args:
        weights: float32 [n]; changed in place.
        gradient: float32 [n].
        moments: codes of the first and the second, uint8 [n]; changed in place.
        scales: of their blocks, float32 [2, blocks]; changed in place.
        step: steps done before this one.
        learning_rate: of this step.
        betas: of the running means.
        epsilon: is added to the root of the second moment.
    """
    with needing_extra("'optimizer: adam8bit'", extra=EXTRA):
        from bitsandbytes.functional import optimizer_update_8bit_blockwise as update
    signed, unsigned = _tables(weights.device)
    update(
        "adam",
        gradient,
        weights,
        *moments,
        beta1=betas[0],
        beta2=betas[1],
        beta3=0.0,
        alpha=0.0,
        eps=epsilon,
        step=step + 1,
        lr=learning_rate,
        qmap1=signed,
        qmap2=unsigned,
        absmax1=scales[0],
        absmax2=scales[1],
    )


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """What the codes of the first and of the second moment stand for, float32 [256] each."""
    from bitsandbytes.functional import create_dynamic_map

    made: Any = [create_dynamic_map(signed=signed).to(device) for signed in (True, False)]
    return made[0], made[1]
