"""Models that come with the package, trained by this project on drawings that it makes itself."""

from __future__ import annotations

from synthlift.embedded.folders import EMBEDDED, embedded_model

__all__ = ["EMBEDDED", "embedded_model"]
