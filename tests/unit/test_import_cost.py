"""What must stay light, stays light: torch is not loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "diffusers", "matplotlib", "sklearn", "pandas", "scipy")


@pytest.mark.parametrize(
    "module",
    ["errors", "seeds", "types", "registry", "spec.loading", "spec.results", "store", "study"],
)
def test_the_foundation_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, synthlift.{module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_descriptors_load_nothing_heavy() -> None:
    code = (
        "import sys; from synthlift.registry import available;"
        "found = [available(g) for g in ('generators', 'filters', 'classifiers')];"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
