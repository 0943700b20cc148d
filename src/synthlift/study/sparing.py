"""What keeps ``gc`` from the results of a study that is being computed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from synthlift.store import Store, digest
from synthlift.study.folder import RunFolder

ASKED = "SYNTHLIFT_ASKED"
"""Names a file where whoever starts a command finds what it asked of the store, however it ended.

Each line is JSON: the ``store`` with ``keys``, or with the key of the ``study``.
"""


class Spared:
    """Keys that ``gc`` must leave alone; a context manager.

    They are noted before they are computed: while no run folder is known, for as long as the
    process goes on; then in the run's root, which outlives it. See :data:`ASKED`, too.

    Args:
        store: where they are computed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._passing = contextlib.ExitStack()
        self._note = self._passing.enter_context(store.passing.hold())
        self._keys: dict[str, None] = {}
        self._name, self._facts = "", dict[str, Any]()

    def __enter__(self) -> Spared:
        return self

    def __exit__(self, *_error: object) -> None:
        self._passing.close()

    def add(self, keys: Collection[str]) -> None:
        """Spare these, too."""
        fresh = [key for key in dict.fromkeys(keys) if key not in self._keys]
        if not fresh:
            return
        self._keys.update(dict.fromkeys(fresh))
        self._tell(keys=fresh)
        if self._name:
            self._register(fresh)
        else:
            self._note(fresh)

    def of_study(self, key: str) -> None:
        """Tell whoever started this of which study decisions may have been recorded."""
        if key:
            self._tell(study=key)

    def attach(self, folder: RunFolder, *, study: str) -> None:
        """Register the run, with all that was asked so far.

        Roots of this run under other names, as earlier versions gave them, become part of it.
        """
        own = digest(str(folder.path))[:8]
        self._name = f"{study}-{folder.key[:12]}-{own}"
        self._facts = {"folder": str(folder.path), "study": study, "key": folder.key}
        earlier = {
            name: root
            for name, root in self._store.roots().items()
            if (root.get("folder"), root.get("key")) == (str(folder.path), folder.key)
        }
        known = [key for root in earlier.values() for key in root["keys"]]
        self._register([*known, *self._keys])
        for name in earlier.keys() - {self._name}:
            self._store.drop_root(name)
        self._passing.close()

    def done(self) -> None:
        """Note that the run is finished."""
        self._register([], state="done")

    def detach(self) -> None:
        """Take the run's root away: nothing was computed for it."""
        self._store.drop_root(self._name)

    def _tell(self, **asked: str | list[str]) -> None:
        if place := os.environ.get(ASKED):
            with Path(place).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"store": str(self._store.root), **asked}) + "\n")

    def _register(self, keys: list[str], *, state: str = "running") -> None:
        self._store.register_root(self._name, keys, **self._facts, state=state, at=time.time())
