"""Blind tests that wait for answers: pictures under numbers, what they are kept to ourselves."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthlift.api.blind_tests import Shown
from synthlift.store.files import write_bytes_atomic, write_json_atomic
from synthlift.web.errors import BusyError, MissingError

TEST = "test.json"
_ID = re.compile(r"[0-9a-f]{16}")
Kind = Literal["real", "synthetic"]


@dataclass(frozen=True)
class Waiting:
    """A test whose pictures were drawn.

    Attributes:
        id: random.
        path: its folder.
        run: id of the run.
        generator: whose images are shown.
        shown: image, class and kind of every picture, in order.
    """

    id: str
    path: Path
    run: str
    generator: str
    shown: Sequence[tuple[str, str, Kind]]

    def picture(self, index: int) -> Path:
        """The file of a picture; it says nothing of where it comes from.

        Raises:
            MissingError: there is none.
        """
        if not 0 <= index < len(self.shown):
            raise MissingError(str(index))
        return self.path / f"{index:03d}.png"


class BlindTests:
    """All blind tests of one server that were begun.

    Args:
        folder: where they lie until they are old.
        most: that may be there; more are refused.
    """

    def __init__(self, folder: Path, *, most: int) -> None:
        self.folder, self.most = folder, most

    def begin(self, run: str, *, generator: str, shown: Sequence[Shown]) -> Waiting:
        """Keep the pictures of a test.

        Raises:
            BusyError: too many are open.
        """
        if self.folder.is_dir() and len(list(self.folder.iterdir())) >= self.most:
            raise BusyError("too many blind tests are open")
        name = secrets.token_hex(8)
        place = self.folder / name
        place.mkdir(parents=True, mode=0o700)
        for index, one in enumerate(shown):
            write_bytes_atomic(place / f"{index:03d}.png", one.png, durable=False)
        facts = [[one.image, one.label, one.was] for one in shown]
        content = {"run": run, "generator": generator, "shown": facts}
        write_json_atomic(place / TEST, content, durable=False)
        return self.get(name)

    def get(self, name: str) -> Waiting:
        """One test.

        Raises:
            MissingError: there is none, or it was deleted since it is old.
        """
        path = self.folder / name
        if not _ID.fullmatch(name) or not (path / TEST).is_file():
            raise MissingError(name)
        facts = json.loads((path / TEST).read_text(encoding="utf-8"))
        shown = [(image, label, kind) for image, label, kind in facts["shown"]]
        return Waiting(name, path, facts["run"], facts["generator"], shown)

    def delete_older(self, than: float) -> None:
        """Delete tests that were begun before ``than`` (seconds since the epoch)."""
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place.stat().st_mtime < than:
                shutil.rmtree(place, ignore_errors=True)
