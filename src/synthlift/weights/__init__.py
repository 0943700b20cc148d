"""Weights that others have trained: found by name or path, pinned by hash, offline first."""

from __future__ import annotations

from synthlift.weights.files import hash_weights_of
from synthlift.weights.locating import locate
from synthlift.weights.shelf import Entry, Shelf

__all__ = ["Entry", "Shelf", "hash_weights_of", "locate"]
