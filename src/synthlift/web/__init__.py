"""The web app: generate, classify and study in the browser. This process never loads torch.

What needs torch runs elsewhere: studies as ``synthlift`` commands (``jobs``), pictures in one
process that keeps models loaded (``inference``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthlift.web.app import create_app
    from synthlift.web.settings import Settings

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    # The process of models is started anew at times and needs none of the pages.
    if name == "create_app":
        from synthlift.web.app import create_app

        return create_app
    if name == "Settings":
        from synthlift.web.settings import Settings

        return Settings
    raise AttributeError(f"module 'synthlift.web' has no attribute '{name}'")
