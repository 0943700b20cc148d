"""``embedded:leaves``, the leaves that Synthlift draws itself, as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from synthlift.data import leaves
from synthlift.data.contract import Item, Where
from synthlift.data.decode import WHITE_16_BIT, Decoded
from synthlift.data.readers.numbered import no_column
from synthlift.store import digest
from synthlift.types import UInt8

LEAVES = "embedded:leaves"
MASK = "mask"


class LeavesSource:
    """Leaves of six species, 64 × 64 in colour, drawn when they are asked for."""

    def __init__(self, where: Where) -> None:
        for key, name in {"label": where.label, "group": where.group}.items():
            if name is not None:
                raise no_column(name, [leaves.BACKGROUND], given=where.source, key=key)
        self.where = where
        self.fingerprint = digest([where.source, leaves.VERSION])
        self.ignored: Mapping[str, int] = {}
        self.notes: Sequence[str] = (
            f"drawn by Synthlift; the attribute '{leaves.BACKGROUND}' says what a leaf lies on",
        )

    @cached_property
    def items(self) -> Sequence[Item]:
        """All leaves, with masks where ``where.masks`` asks for them."""
        mask = self.where.masks == MASK
        return [
            Item(
                one.id,
                one.species,
                one.id,
                one.id,
                attributes={leaves.BACKGROUND: one.background},
                mask=one.id if mask else "",
            )
            for one in leaves.leaves()
        ]

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        """Draw one; it is small, and white is its own."""
        del max_pixels, white
        return Decoded(pixels=_drawn(path)[0], mode="RGB", bits=8)

    def file(self, path: str) -> Path | None:
        """No leaf lies in a file."""
        del path
        return None

    def load_mask(self, mask: str) -> UInt8:
        """Where the leaf is."""
        return _drawn(mask)[1]


@lru_cache(maxsize=64)
def _drawn(path: str) -> tuple[UInt8, UInt8]:
    return leaves.picture(leaves.leaf(path))
