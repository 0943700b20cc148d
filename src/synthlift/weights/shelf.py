"""The shelf: names that the user gave to weights, with their hashes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock

from synthlift.errors import InputError, nearest_name
from synthlift.weights.files import files_of, hash_weights_of
from synthlift.weights.recognising import UNKNOWN, licence_of, recognise

VARIABLES = (("SYNTHLIFT_WEIGHTS", ""), ("SYNTHLIFT_DATA_HOME", "weights"))
"""Folders that take the place of the usual one, and where in them the shelf is."""
INDEX = "weights.json"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
State = Literal["ok", "missing", "changed"]


@dataclass(frozen=True)
class Entry:
    """Weights on the shelf.

    Attributes:
        name: as study files call them.
        path: where they lie.
        kind: see :class:`~synthlift.weights.recognising.Recognised`.
        architecture: likewise.
        sha256: over their files.
        bytes: of these files.
        licence: as they state it; "" = they state none.
        source: where they came from: a path, or ``hf:OWNER/NAME``.
        revision: commit of a source on the Hub; "" elsewhere.
    """

    name: str
    path: str
    kind: str
    architecture: str
    sha256: str
    bytes: int
    licence: str = ""
    source: str = ""
    revision: str = ""


def require_name(called: str) -> str:
    """A name for weights, as it is.

    Raises:
        InputError: it is none.
    """
    if not NAME.fullmatch(called):
        raise InputError(
            f"'{called}' as a name for weights",
            rule="a name is made of letters, digits, '-', '_' and '.', and starts with one of "
            "the first two",
            remedy="choose another with --name",
        )
    return called


class Shelf:
    """Names for weights, kept in one file of a folder.

    Args:
        root: the folder; by default ``$SYNTHLIFT_WEIGHTS``, else ``weights`` in
            ``$SYNTHLIFT_DATA_HOME`` or in the user's data folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        given = [
            Path(os.environ[name]) / below for name, below in VARIABLES if os.environ.get(name)
        ]
        usual = platformdirs.user_data_path("synthlift") / "weights"
        self.root = (root or (given or [usual])[0]).expanduser()
        self.converted = self.root / "converted"
        """Where weights lie that came in a pickled format."""

    def entries(self) -> dict[str, Entry]:
        """What is on the shelf, by name."""
        try:
            told = json.loads((self.root / INDEX).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return {name: Entry(**told[name]) for name in sorted(told)}

    def find(self, name: str) -> Entry:
        """One entry.

        Raises:
            InputError: there is none of that name.
        """
        known = self.entries()
        if name not in known:
            raise InputError(
                f"no weights are called '{name}'{nearest_name(name, known)}",
                rule=f"known names: {', '.join(known) or 'none'}",
                remedy="list them: synthlift models list; add some: synthlift models add PATH",
            )
        return known[name]

    def add(self, place: Path, *, name: str = "", source: str = "", revision: str = "") -> Entry:
        """Give weights a name; nothing is copied.

        Args:
            place: their folder or file.
            name: by default that of the folder or file.
            source: where they came from, where that is another place.
            revision: of that source.

        Raises:
            InputError: nothing of use lies there, the name is no name, or it is taken by other
                weights.
        """
        called = require_name(name or (place.stem if place.is_file() else place.name))
        entry = _entry_of(place, name=called, source=source, revision=revision)
        with self._named(entry) as known:
            self._write({**known, called: entry})
        return entry

    def take(
        self, place: Path, draft: Path, *, name: str, source: str, revision: str = ""
    ) -> Entry:
        """The same for converted weights, which move to their place beside the shelf.

        Args:
            place: their folder or file, in the draft.
            draft: the folder that moves, once nothing speaks against the name.
            name, source, revision: as in :meth:`add`.

        Raises:
            InputError: as :meth:`add`.
        """
        entry = _entry_of(place, name=require_name(name), source=source, revision=revision)
        target = self.converted / f"{name}-{entry.sha256[:12]}"
        settled = target / place.relative_to(draft)
        moved = replace(entry, path=str(settled.resolve()))
        with self._named(entry) as known:
            if not settled.exists() or hash_weights_of(settled) != entry.sha256:
                shutil.rmtree(target, ignore_errors=True)
                draft.rename(target)
            self._write({**known, name: moved})
        return moved

    @contextlib.contextmanager
    def _named(self, entry: Entry) -> Iterator[dict[str, Entry]]:
        """All entries, while nobody else changes them, if this one may have its name."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{INDEX}.lock"):
            known = self.entries()
            if entry.name in known and known[entry.name].sha256 != entry.sha256:
                raise InputError(
                    f"'{entry.name}' is already the name of other weights, at "
                    f"{known[entry.name].path}",
                    rule="a name stands for one content, so that studies stay repeatable",
                    remedy="choose another with --name",
                )
            yield known

    def check(self, names: tuple[str, ...] = ()) -> Iterator[tuple[Entry, State]]:
        """Hash weights again, all of them where none is named.

        Raises:
            InputError: a name that is not known.
        """
        for entry in [self.find(name) for name in names] or self.entries().values():
            place = Path(entry.path)
            if not place.exists():
                yield entry, "missing"
            else:
                same = hash_weights_of(place) == entry.sha256
                yield entry, "ok" if same else "changed"

    def _write(self, entries: dict[str, Entry]) -> None:
        told = {name: asdict(entry) for name, entry in sorted(entries.items())}
        draft = self.root / f"{INDEX}.new"
        draft.write_text(json.dumps(told, indent=1), encoding="utf-8")
        draft.replace(self.root / INDEX)


def _entry_of(place: Path, *, name: str, source: str, revision: str) -> Entry:
    found = recognise(place) if place.exists() else None
    if found is None or found.kind == UNKNOWN:
        raise InputError(
            f"'{place}' " + ("does not exist" if found is None else "holds no weights"),
            rule="weights are a pipeline or model as diffusers or transformers saves it, or a "
            ".safetensors, .pth or .pt file",
            remedy="give the folder with model_index.json or config.json, or the file",
        )
    # A file of the Hub's cache is a link to one without a name.
    resolved = place.parent.resolve() / place.name if place.is_file() else place.resolve()
    return Entry(
        name=name,
        path=str(resolved),
        kind=found.kind,
        architecture=found.architecture,
        sha256=hash_weights_of(place),
        bytes=sum(path.stat().st_size for path in files_of(place)),
        licence=licence_of(place),
        source=source or str(resolved),
        revision=revision,
    )
