"""What a GPU says of its own energy, through NVIDIA's management library (NVML)."""

from __future__ import annotations

import functools
from typing import Any

from synthlift.store.metering import EnergyCounter


def energy_counter(device: str) -> EnergyCounter | None:
    """The counter of a GPU's whole energy.

    Args:
        device: torch device string.

    Returns:
        None where none can be read: no GPU, one of another maker or from before Volta, or a part of
        one (MIG), which has no counter of its own.
    """
    found = _gpu(device)
    if found is None:
        return None
    import pynvml

    name, handle = found

    def read() -> int | None:
        try:
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError:
            return None

    return None if read() is None else EnergyCounter(name, read)


def most_watts(device: str) -> float | None:
    """What a GPU is allowed to draw; None where that cannot be read."""
    found = _gpu(device)
    if found is None:
        return None
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(found[1])) / 1000
    except pynvml.NVMLError:
        return None


@functools.cache
def _gpu(device: str) -> tuple[str, Any] | None:
    """UUID and NVML's handle of a whole GPU."""
    if not device.startswith("cuda"):
        return None
    import pynvml
    import torch

    try:
        facts: Any = torch.cuda.get_device_properties(device)
        pynvml.nvmlInit()
        # Numbers are no names: CUDA_VISIBLE_DEVICES changes torch's, and not NVML's.
        place = bus_id(facts.pci_domain_id, facts.pci_bus_id, facts.pci_device_id)
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(place)
        name = pynvml.nvmlDeviceGetUUID(handle)
    except (pynvml.NVMLError, RuntimeError, AssertionError):  # torch asserts that there is CUDA
        return None
    return None if _is_cut(handle) else (str(name), handle)


def bus_id(domain: int, bus: int, device: int) -> str:
    """A place on the PCI bus as NVML writes it."""
    return f"{domain:08X}:{bus:02X}:{device:02X}.0"


def _is_cut(handle: Any) -> bool:
    """Whether the GPU is cut into parts, whose work the counter of the whole does not tell."""
    import pynvml

    try:
        now, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:  # it cannot be cut
        return False
    return bool(now == pynvml.NVML_DEVICE_MIG_ENABLE)
