"""Which device is used: stated at the start, never a silent fallback."""

from __future__ import annotations

import re

from synthlift.errors import InputError


def choose_device(wanted: str) -> str:
    """Resolve ``auto`` and check a named device.

    ``auto`` asks torch only where a driver is present, since importing torch takes seconds.

    Raises:
        InputError: no such device, or torch cannot use it.
    """
    if wanted == "cpu" or (wanted == "auto" and not has_accelerator()):
        return "cpu"
    if wanted != "auto" and not re.fullmatch(r"cuda(:\d+)?|mps", wanted):
        raise InputError(
            f"device '{wanted}'",
            rule="a device is auto, cpu, cuda, cuda:N or mps",
            remedy="leave --device out to use what is there",
        )
    import torch

    name = wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "mps")
    usable = torch.cuda.is_available() if "cuda" in name else torch.backends.mps.is_available()
    if usable:
        return "cuda:0" if name == "cuda" else name
    if wanted == "auto":
        return "cpu"
    raise InputError(
        f"device '{wanted}' cannot be used by the installed torch {torch.__version__}",
        rule="a named device must be usable; there is no silent fallback",
        remedy="run `synthlift doctor`, or give --device cpu",
    )


def has_accelerator() -> bool:
    """Whether a driver is present; torch is not asked."""
    import platform
    from pathlib import Path

    return Path("/proc/driver/nvidia").exists() or platform.system() == "Darwin"
