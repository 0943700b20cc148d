"""How many workers hold large models at a time: as many as the device's memory takes.

Which worker computes what changes no bit, so the number is no part of any key. It depends on the
machine, which stands in the name of the decision: a study that goes on elsewhere decides anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synthlift.machine import memory_bytes
from synthlift.study.components import settings_of
from synthlift.study.executors.local import HOLDS

if TYPE_CHECKING:
    from synthlift.spec.study import Component
    from synthlift.study.session import Session

GIB = 2**30
LARGE = GIB
"""A worker that holds less than this is not counted."""
USABLE = 0.9
"""Share of the memory; the rest is lost between what is allocated."""
CONTEXT = GIB // 2
"""Of a GPU's memory that each process takes before it computes anything."""


def workers_that_fit(workers: int, *, total: int, held: int, context: int = 0) -> int:
    """How many of the workers may hold large models.

    Args:
        workers: in all.
        total: bytes of the device's memory.
        held: bytes that a worker with a large model holds.
        context: bytes that each of the workers takes besides.

    Returns:
        At least 1: whether a single model fits is found out by trying.
    """
    left = int(USABLE * total) - workers * context
    return max(1, min(workers, left // held))


def holds(component: Component) -> Mapping[str, int]:
    """What a request of a generator says of its memory under ``local``; {} = it is small."""
    found = settings_of("generators", component).device_bytes()
    return {HOLDS: found} if found >= LARGE else {}


def share_device(session: Session) -> int:
    """Workers that may hold large models, as a recorded decision where not all of them may."""
    workers, on_gpu = session.executor.workers, not session.device.startswith("cpu")
    asked = (session.holds(one.title).get(HOLDS, 0) for one in session.study.generators)
    held = max(asked, default=0)
    if not held or workers == 1:
        return workers
    total = device_bytes(session.device)
    context = CONTEXT if on_gpu else 0
    fit = workers_that_fit(workers, total=total, held=held, context=context)
    if fit == workers:
        return workers

    def choose() -> tuple[Any, str]:
        return fit, (
            f"a worker that draws with a large model takes {held / GIB:.1f} GiB, estimated from "
            f"the size of its weights and images; '{session.device.partition(':')[0]}' has "
            f"{total / GIB:.1f} GiB for {workers} workers"
        )

    kind = session.device.partition(":")[0]
    return int(session.decide(f"large_models/{kind}-{total // GIB}GiB-{workers}", choose))


def device_bytes(device: str) -> int:
    """Bytes of memory that a device has in all."""
    if device.startswith("cpu"):
        return memory_bytes()
    import torch

    if device.startswith("mps"):
        return torch.mps.recommended_max_memory()
    return int(torch.cuda.get_device_properties(device).total_memory)
