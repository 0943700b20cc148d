"""The web app: generate, classify and study in the browser. This process never loads torch.

What needs torch runs elsewhere: studies as ``synthlift`` commands (``jobs``), pictures in one
process that keeps models loaded (``inference``).
"""

from __future__ import annotations

from synthlift.web.app import create_app
from synthlift.web.settings import Settings

__all__ = ["Settings", "create_app"]
