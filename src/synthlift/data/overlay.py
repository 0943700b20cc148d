"""A source whose items are told more of, or otherwise, than its reader knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthlift.data.contract import Item, Source
from synthlift.data.decode import WHITE_16_BIT, Decoded
from synthlift.types import UInt8


class Overlay:
    """Other items over the same images.

    Args:
        source: what loads them.
        items: the items; their paths are those of ``source``.
        fingerprint: of the whole.
        notes: added to those of the source.
        load_mask: reads the items' masks; None = the source does.
    """

    def __init__(
        self,
        source: Source,
        *,
        items: Sequence[Item],
        fingerprint: str,
        notes: Sequence[str] = (),
        load_mask: Callable[[str], UInt8] | None = None,
    ) -> None:
        self._source = source
        self._load_mask = load_mask or source.load_mask
        self.where = source.where
        self.fingerprint = fingerprint
        self.ignored: Mapping[str, int] = source.ignored
        self.notes: Sequence[str] = (*source.notes, *notes)
        self.items: Sequence[Item] = sorted(items, key=lambda item: item.id)

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        """See :class:`~synthlift.data.contract.Source`."""
        return self._source.load(path, max_pixels=max_pixels, white=white)

    def file(self, path: str) -> Path | None:
        """See :class:`~synthlift.data.contract.Source`."""
        return self._source.file(path)

    def load_mask(self, mask: str) -> UInt8:
        """See :class:`~synthlift.data.contract.Source`."""
        return self._load_mask(mask)
