"""What a generator offers where not even one image at a time fits into memory."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from synthlift.types import FittedGenerator


@runtime_checkable
class SavesMemory(Protocol):
    """A fitted generator with further ways to save memory, where one image alone does not fit.

    They are tried one after another, each a recorded decision: they may change pixels.
    """

    @property
    def ways_to_save(self) -> tuple[str, ...]:
        """What can be done, in words, the mildest first."""

    def with_savings(self, savings: int) -> FittedGenerator:
        """The same generator with the first so many of them in use; this one is unchanged."""
