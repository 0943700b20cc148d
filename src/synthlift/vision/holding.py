"""How much memory a loaded model holds, and giving back what others held."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

import torch

ELSEWHERE = (type, ModuleType, FunctionType)
"""What leads to everything that was ever imported."""


def held_bytes(model: object) -> int:
    """Bytes of all tensors that are found in an object, shared ones once, on whatever device.

    How much the process grew would say less: the first model brings libraries with it, and later
    ones fill what others have left.
    """
    storages: dict[tuple[str, int], int] = {}
    seen, waiting = set[int](), [model]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, ELSEWHERE):
            continue
        seen.add(id(one))
        waiting += gc.get_referents(one)
        if isinstance(one, torch.Tensor) and one.layout == torch.strided and not one.is_meta:
            storage = one.untyped_storage()
            storages[str(one.device), storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def give_back() -> None:
    """Let go of models that nobody refers to but their own parts, also on a GPU."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where none is in use
