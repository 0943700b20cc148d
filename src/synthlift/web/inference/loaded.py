"""Models that are kept loaded, the least recently used given up first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

Model = TypeVar("Model")
LIMIT_BYTES = 2 * 1024**3
LOOK_AGAIN_SECONDS = 1.0
"""A folder's files are looked at no more often: that takes longer than a small model computes."""


class Loaded:
    """A cache by folder or file, limited by the size of the files.

    Args:
        limit_bytes: of all that are kept; one that is larger alone is kept alone.
        look_again: seconds after which a folder's files are looked at anew.
    """

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, *, look_again: float = LOOK_AGAIN_SECONDS
    ) -> None:
        self.limit_bytes, self.look_again = limit_bytes, look_again
        self._kept: OrderedDict[tuple[str, float], tuple[object, int]] = OrderedDict()
        self._looked: dict[Path, tuple[float, tuple[str, float]]] = {}

    def get(self, folder: Path, load: Callable[[], Model], *, beside: Sequence[Path] = ()) -> Model:
        """The model of a folder or file, loaded anew when what lies there has changed.

        Args:
            folder: where it lies.
            load: opens it.
            beside: other places with weights that it opens; they count for its size.
        """
        looked, key = self._looked.get(folder, (-LOOK_AGAIN_SECONDS, ("", 0.0)))
        if time.monotonic() - looked < self.look_again and key in self._kept:
            self._kept.move_to_end(key)
            return cast(Model, self._kept[key][0])
        files = [path.stat() for path in _files_of(folder)]
        key = (str(folder), max((one.st_mtime for one in files), default=0.0))
        self._looked[folder] = (time.monotonic(), key)
        if key in self._kept:
            self._kept.move_to_end(key)
            return cast(Model, self._kept[key][0])
        files += [path.stat() for place in beside for path in _files_of(place)]
        size = sum(one.st_size for one in files)
        while self._kept and sum(kept for _, kept in self._kept.values()) + size > self.limit_bytes:
            self._kept.popitem(last=False)
        model = load()
        self._kept[key] = (model, size)
        return model

    def __len__(self) -> int:
        return len(self._kept)


def _files_of(place: Path) -> Iterator[Path]:
    yield from (path for path in (place, *place.rglob("*")) if path.is_file())
