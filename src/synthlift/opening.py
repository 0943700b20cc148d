"""What a generator offers that has much to read before it draws its first image."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from synthlift.types import FittedGenerator


@runtime_checkable
class OpensFirst(Protocol):
    """A fitted generator that can be opened before it draws, so that drawing alone is timed."""

    def opened(self) -> FittedGenerator:
        """The same generator, open; where this one compiles, which takes minutes once, that one
        does not, and may draw more slowly."""
        ...


def opened(fitted: FittedGenerator) -> FittedGenerator:
    """The generator as its drawing is timed: open, if that can be done apart, and not compiled."""
    return fitted.opened() if isinstance(fitted, OpensFirst) else fitted
