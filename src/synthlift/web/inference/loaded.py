"""Models that are kept loaded, and what goes with them; the least recently used given up first."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

Model = TypeVar("Model")
LOOK_AGAIN_SECONDS = 1.0
"""A folder's files are looked at no more often: that takes longer than a small model computes."""


class Loaded:
    """A cache by folder or file, limited by the memory that the models hold.

    One counts with its tensors; until it is :meth:`weigh`-ed, at least with its files, since some
    are read only to draw. What is in use is not given up.

    Args:
        limit_bytes: of all that are kept; one that is larger alone is kept alone.
        look_again: seconds after which a folder's files are looked at anew.
    """

    def __init__(self, limit_bytes: int, *, look_again: float = LOOK_AGAIN_SECONDS) -> None:
        self.limit_bytes, self.look_again = limit_bytes, look_again
        self._kept: OrderedDict[tuple[str, float], tuple[object, int]] = OrderedDict()
        self._used = Counter[int]()
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
        from synthlift.vision.holding import held_bytes

        files += [path.stat() for place in beside for path in _files_of(place)]
        size = sum(one.st_size for one in files)
        self._give_up(room=self.limit_bytes - size)
        model = load()
        self._keep(key, model, max(size, held_bytes(model)))
        return model

    def hold(
        self, key: tuple[str, float], make: Callable[[], Model], *, weigh: Callable[[Model], int]
    ) -> Model:
        """What goes with models, such as images to compare with, within the same limit.

        Args:
            key: a place, and when it changed last.
            make: computes it.
            weigh: the bytes that it takes.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return cast(Model, self._kept[key][0])
        made = make()
        self._keep(key, made, weigh(made))
        return made

    @contextmanager
    def use(self, model: object) -> Iterator[None]:
        """Keep a model, however much is loaded beside it; then it is the one used last."""
        self._used[id(model)] += 1
        try:
            yield
        finally:
            self._used[id(model)] -= 1
            for key in self._keys_of(model):
                self._kept.move_to_end(key)
            self._give_up(room=self.limit_bytes, spared=1)

    def weigh(self, model: object) -> None:
        """Measure a model anew that has opened all of its files since it was loaded."""
        from synthlift.vision.holding import held_bytes

        held = held_bytes(model)
        for key in self._keys_of(model):
            self._keep(key, model, held or self._kept[key][1])

    def _keys_of(self, model: object) -> list[tuple[str, float]]:
        return [key for key, (one, _) in self._kept.items() if one is model]

    def _keep(self, key: tuple[str, float], model: object, size: int) -> None:
        self._kept[key] = (model, size)
        self._kept.move_to_end(key)
        self._give_up(room=self.limit_bytes, spared=1)

    def _give_up(self, *, room: int, spared: int = 0) -> None:
        """Give models up until the others fit, but none in use, nor those that were used last."""
        from synthlift.vision.holding import give_back

        held, before = sum(size for _, size in self._kept.values()), len(self._kept)
        for key, (model, size) in list(self._kept.items())[: before - spared]:
            if held > room and not self._used[id(model)]:
                del self._kept[key]
                held -= size
        model = None
        if len(self._kept) < before:
            give_back()

    def __len__(self) -> int:
        return len(self._kept)


def _files_of(place: Path) -> Iterator[Path]:
    yield from (path for path in (place, *place.rglob("*")) if path.is_file())
