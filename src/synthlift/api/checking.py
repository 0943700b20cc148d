"""Whether this machine is ready: ``doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from synthlift.errors import installing
from synthlift.machine import free_bytes, memory_bytes

Level = Literal["ok", "warning", "problem"]
GIB = 1024**3
LEAST_FREE, LEAST_MEMORY = 2 * GIB, 3 * GIB


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, how it is, and what to do about it."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def doctor(store: Path | str | None = None) -> list[dict[str, Any]]:
    """Look at Python, torch and the GPU, the store, memory, permissions and optional extras.

    Args:
        store: where results are shared; the usual place when None.

    Returns:
        One record a check: name, level (ok, warning, problem), found, remedy.
    """
    from synthlift.store import default_root
    from synthlift.study.ledger import ledger_path

    root = Path(store).absolute() if store is not None else default_root().absolute()
    checks = [
        _python(),
        *_torch(),
        _store(root),
        _writable("ledger of test openings", ledger_path().parent, "SYNTHLIFT_DATA_HOME"),
        _memory(),
        *_extras(),
    ]
    return [asdict(check) for check in checks]


def _python() -> Check:
    version = importlib.metadata.version("synthlift")
    found = f"Synthlift {version}, Python {platform.python_version()} on {platform.platform()}"
    return Check("python", "ok", found)


def _torch() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("torch", "problem", f"cannot be imported: {error}", "install torch ≥ 2.11")
        return
    gpu = _gpu_present()
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Check("torch", "ok", f"torch {torch.__version__} with {', '.join(names)}")
    elif gpu and torch.version.cuda is None:
        yield Check(
            "torch",
            "warning",
            f"torch {torch.__version__} is built for the CPU only, but this machine has {gpu}",
            "install a CUDA build of torch to use the GPU; everything works without it, slower",
        )
    elif gpu:
        yield Check(
            "torch",
            "warning",
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}, finds no usable "
            f"GPU, but this machine has {gpu}",
            "check the driver with nvidia-smi; it must support this CUDA version",
        )
    elif torch.backends.mps.is_available():
        yield Check("torch", "ok", f"torch {torch.__version__} with Apple's GPU (mps)")
    else:
        yield Check("torch", "ok", f"torch {torch.__version__} on the CPU; no GPU on this machine")


def _gpu_present() -> str:
    """What the machine has, whatever torch says; "" for none."""
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        return "an NVIDIA GPU"
    return "an AMD GPU" if Path("/sys/module/amdgpu").exists() and Path("/dev/kfd").exists() else ""


def _store(root: Path) -> Check:
    writable = _writable("store", root, "SYNTHLIFT_STORE")
    if writable.level == "problem":
        return writable
    free = shutil.disk_usage(_existing(root)).free
    size = _size(root)
    found = f"{root}: holds {size / GIB:.2f} GiB, {free / GIB:.1f} GiB free"
    if free < LEAST_FREE:
        remedy = "free space, run `synthlift gc`, or point SYNTHLIFT_STORE at another disk"
        return Check("store", "warning", found, remedy)
    return Check("store", "ok", found)


def _size(root: Path) -> int:
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            try:
                total += (Path(folder) / name).lstat().st_size
            except OSError:  # taken away meanwhile
                continue
    return total


def _writable(name: str, folder: Path, variable: str) -> Check:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = f"allow writing there, or set {variable} to a folder of yours"
        return Check(name, "problem", f"{folder} cannot be written to ({reason})", remedy)
    return Check(name, "ok", f"{folder}, writable")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _memory() -> Check:
    left = free_bytes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free, total = left / GIB, memory_bytes() / GIB
    found = f"{free:.1f} of {total:.1f} GiB of memory free, {cores} cores"
    if left < LEAST_MEMORY:
        return Check("memory", "warning", found, "close other programs, or give --workers 1")
    return Check("memory", "ok", found)


def _extras() -> Iterator[Check]:
    """The package's optional extras, as its own metadata name them."""
    wanted: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("synthlift") or []:
        found = re.fullmatch(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"].*", line)
        if found:
            wanted.setdefault(found[2], []).append(found[1])
    for extra, names in sorted(wanted.items()):
        missing = [name for name in names if not _installed(name)]
        words = f"not installed ({', '.join(missing)} missing)" if missing else "installed"
        remedy = f"if you want it: {installing(extra)}" if missing else ""
        yield Check(f"extra {extra}", "ok", f"optional, {words}", remedy)


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
