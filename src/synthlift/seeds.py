"""Seeds derive by name, never from global random state.

``seed_for(study_seed, "classifier_init", replicate)`` is the same number on every machine, in any
order and for any number of workers. Arms that must be paired share a seed by leaving the arm's
name out of it.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

Part = str | int | float | bool | None


def seed_for(*parts: Part) -> int:
    """Derive a seed from named parts.

    Args:
        parts: the study's seed, a purpose in words, then indices (replicate, class, request …).

    Returns:
        An integer in [0, 2**63), the leading bits of a SHA-256 over the parts.
    """
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(*parts: Part) -> np.random.Generator:
    """Return a NumPy generator (PCG64) seeded by :func:`seed_for`."""
    return np.random.default_rng(seed_for(*parts))
