"""Models that are kept loaded, the least recently used given up first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

Model = TypeVar("Model")
LOOK_AGAIN_SECONDS = 1.0
"""A folder's files are looked at no more often: that takes longer than a small model computes."""


class Loaded:
    """A cache by folder or file, limited by the memory that the models hold.

    One counts with its tensors, and at least with its files: some are read only to draw.

    Args:
        limit_bytes: of all that are kept; one that is larger alone is kept alone.
        look_again: seconds after which a folder's files are looked at anew.
    """

    def __init__(self, limit_bytes: int, *, look_again: float = LOOK_AGAIN_SECONDS) -> None:
        self.limit_bytes, self.look_again = limit_bytes, look_again
        self._kept: OrderedDict[tuple[str, float], tuple[object, int]] = OrderedDict()
        self._looked: dict[Path, tuple[float, tuple[str, float]]] = {}

    def get(self, folder: Path, load: Callable[[], Model], *, beside: Sequence[Path] = ()) -> Model:
        """The model of a folder or file, loaded anew when what lies there has changed.

        Args:
            folder: where it lies.
            load: opens it.
            beside: other places with weights that it opens; room is made for them, too.
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
        self._give_up(room=self.limit_bytes - size)
        model = load()
        self._keep(key, model, size)
        return model

    def weigh(self, model: object) -> None:
        """Measure a model anew that has opened more since it was loaded."""
        kept = ((key, size) for key, (one, size) in self._kept.items() if one is model)
        for key, size in list(kept):
            self._keep(key, model, size)

    def _keep(self, key: tuple[str, float], model: object, least: int) -> None:
        from synthlift.vision.holding import held_bytes

        self._kept[key] = (model, max(least, held_bytes(model)))
        self._give_up(room=self.limit_bytes, spared=1)

    def _give_up(self, *, room: int, spared: int = 0) -> None:
        """Give models up until the others fit, but never those that were used last."""
        from synthlift.vision.holding import give_back

        before = len(self._kept)
        while len(self._kept) > spared and sum(size for _, size in self._kept.values()) > room:
            self._kept.popitem(last=False)
        if len(self._kept) < before:
            give_back()

    def __len__(self) -> int:
        return len(self._kept)


def _files_of(place: Path) -> Iterator[Path]:
    yield from (path for path in (place, *place.rglob("*")) if path.is_file())
