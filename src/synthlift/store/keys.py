"""Content keys: a readable prefix and a SHA-256 over everything that changes the result."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON text with sorted keys; equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) over the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest_bytes(data: bytes | memoryview) -> str:
    """SHA-256 (hex) over bytes."""
    return hashlib.sha256(data).hexdigest()
