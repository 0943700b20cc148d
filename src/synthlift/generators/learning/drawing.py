"""What drawing images from a network needs: noise per image, kernels that give equal bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Fixed convolution kernels on a GPU, so that equal inputs give equal bits."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def noise_for(seeds: Sequence[int], *, shape: Sequence[int]) -> Tensor:
    """Standard normal noise, float32 [n, *shape], each row from its own seed, on the CPU."""
    drawn = [np.random.default_rng(s).standard_normal(shape, dtype=np.float32) for s in seeds]
    return torch.from_numpy(np.stack(drawn))
