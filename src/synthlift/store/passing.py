"""What processes need at present: spared as long as they go on, and no longer."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import filelock

from synthlift.store.files import write_json_atomic


class Passing:
    """Keys by process, each list beside a lock that dies with its holder.

    Args:
        folder: made when there is something to note.
        registering: what notes are written within; collections wait meanwhile.
    """

    def __init__(
        self, folder: Path, *, registering: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._folder, self._registering = folder, registering

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[Collection[str]], None]]:
        """Spare keys while the context lasts; yields what takes further ones."""
        self._folder.mkdir(exist_ok=True, mode=0o700)
        path = self._folder / f"{uuid.uuid4().hex}.json"
        noted: dict[str, None] = {}

        def note(keys: Collection[str]) -> None:
            noted.update(dict.fromkeys(keys))
            with self._registering():
                write_json_atomic(path, {"keys": list(noted)}, durable=False)

        lock = filelock.FileLock(path.with_suffix(".lock"))
        with lock:
            try:
                yield note
            finally:
                path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)

    def keys(self) -> set[str]:
        """What living processes hold; lists of dead ones go."""
        found: set[str] = set()
        for path in self._folder.glob("*.json"):
            lock = filelock.FileLock(path.with_suffix(".lock"))
            try:
                with lock.acquire(timeout=0):
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)
            except filelock.Timeout:
                with contextlib.suppress(FileNotFoundError):  # it has just ended
                    found.update(json.loads(path.read_text(encoding="utf-8"))["keys"])
        return found
