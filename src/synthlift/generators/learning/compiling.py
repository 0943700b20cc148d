"""Networks compiled by torch, and where what is found out about a machine is kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
import torch

from synthlift.errors import InputError

KERNELS = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it has compiled; by itself, it is lost with the next start."""
COMPILERS = ("cl",) if sys.platform == "win32" else ("c++", "g++", "clang++")


def machine_folder(name: str) -> Path:
    """A folder for what is true of this machine alone; losing it costs time, and nothing else."""
    given = os.environ.get("SYNTHLIFT_DATA_HOME")
    return (Path(given) if given else Path(platformdirs.user_cache_dir("synthlift"))) / name


def keep_kernels() -> None:
    """Have compiled kernels kept where the next process finds them, unless the user says where."""
    os.environ.setdefault(KERNELS, str(machine_folder("kernels")))


def compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled when it is first called, and anew for each shape of its inputs.

    Kernels are those that the compiler chooses without trying them out: which of several is the
    fastest differs from day to day, and with it the last digits.
    """
    found: Callable[..., Any] = torch.compile(forward, dynamic=False)
    return found


def can_compile(device: str) -> bool:
    """Whether what torch compiles with is here: a C++ compiler, or Triton for a GPU."""
    if torch.device(device).type == "cpu":
        given = os.environ.get("CXX")
        return any(shutil.which(one) for one in ((given,) if given else COMPILERS))
    return find_spec("triton") is not None


def require_compiler(device: str) -> None:
    """Refuse to compile where nothing can.

    Raises:
        InputError: there is no compiler.
    """
    if can_compile(device):
        return
    on_cpu = torch.device(device).type == "cpu"
    raise InputError(
        "'compile' is set, and nothing here can compile",
        rule=f"it needs {'a C++ compiler' if on_cpu else 'Triton'} for the device '{device}'",
        remedy=f"install {'one, such as g++' if on_cpu else 'it'}, or leave 'compile' out",
    )
