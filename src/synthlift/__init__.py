"""Synthlift: do synthetic images help my classifier?"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

__version__ = importlib.metadata.version("synthlift")

if TYPE_CHECKING:
    from synthlift.api import Run, load, plan, run

__all__ = ["Run", "__version__", "load", "plan", "run"]


def __getattr__(name: str) -> Any:
    # The API is imported on first use, so that `import synthlift` stays light.
    if name in {"Run", "load", "plan", "run"}:
        from synthlift import api

        return getattr(api, name)
    raise AttributeError(f"module 'synthlift' has no attribute '{name}'")
