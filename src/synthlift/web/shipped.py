"""Finished runs of the built-in examples, which come with the package.

An archive is one compressed stream, since generated pictures repeat backgrounds of real ones::

    example.json    what made it
    run/…           the run folder, but for the report, which this version writes
    store/…         of its store, what pages read

Its lines of the ledger lie beside it: what people read of a test set counts, whoever opened it.

In the archive's texts a mark stands for every place; unpacked, they name places of this machine.
The run has a store of its own, so that nothing of another machine gets among the results that are
shared here.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import shlex
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any

import filelock
import yaml
from pydantic import BaseModel, ValidationError

from synthlift.api.classifying import kept_models
from synthlift.api.images import GENERATORS, read_component
from synthlift.api.run_folder import read_results
from synthlift.errors import InputError
from synthlift.reporting import write_report
from synthlift.study.folder import run_facts

STUDIES = Path(__file__).parent / "studies"
"""Study files of the examples, and their archives."""
FACTS, RUN, STORE = "example.json", "run", "store"
PLACE, FILES = "/@example@", "/@studies@"
"""Marks of the folder of an example and of that of the study files."""
TEXTS = frozenset((".json", ".jsonl", ".yaml"))
"""Endings of files that may name places."""
_MARKED = re.compile(rf"({PLACE}|{FILES})((?:/[\w.-]+)*)")
_LOG = logging.getLogger("synthlift.web")


class Made(BaseModel):
    """What made an archive.

    Attributes:
        version: of Synthlift.
        command: as anybody would type it.
        created: when the run was finished, in UTC.
        cpu_seconds: of processor time that it took; time by the clock says how busy a machine was.
        machine: processor, cores and system.
        study: SHA-256 of the study file.
    """

    version: str
    command: str
    created: str
    cpu_seconds: float
    machine: str
    study: str


def archive_of(name: str) -> Path:
    """The archive of an example."""
    return STUDIES / f"{name}.tar.xz"


def openings_of(name: str) -> Path:
    """The lines of the ledger that the run of an example wrote."""
    return STUDIES / f"{name}.openings.jsonl"


def made(place: Path) -> Made | None:
    """What made the run that was unpacked at a place; None where none was."""
    try:
        return Made.model_validate_json((place / FACTS).read_bytes())
    except (OSError, ValidationError):
        return None


def provide(archive: Path, place: Path) -> bool:
    """Have an example's finished run at a place: unpack it unless it is there.

    It is there whole or not at all, however many servers begin with it, and whenever they end.

    Returns:
        Whether it is there; False for what this version cannot read.
    """
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with filelock.FileLock(place.with_name(f".{place.name}.lock")):
        for left in place.parent.glob(f".{place.name}-*"):  # its server was killed
            shutil.rmtree(left, ignore_errors=True)
        if _readable(place):
            return True
        fresh, old = (
            place.with_name(f".{place.name}-{secrets.token_hex(8)}-{word}")
            for word in ("new", "old")
        )
        try:
            unpack(archive, fresh, place=place)
            if not _readable(fresh):
                return False
            write_report(read_results(fresh / RUN), fresh / RUN)
            if place.exists():
                place.rename(old)
            fresh.rename(place)
        except (OSError, EOFError, LZMAError, tarfile.TarError, ValueError, yaml.YAMLError):
            _LOG.warning("the finished run of an example cannot be unpacked", exc_info=True)
            return False
        finally:
            for left in (fresh, old):
                shutil.rmtree(left, ignore_errors=True)
        return True


def unpack(archive: Path, folder: Path, *, place: Path) -> None:
    """Write what is in an archive, with the places that it has once the folder is at ``place``."""
    places = Places(place)
    with tarfile.open(archive, "r|xz") as stream:
        for member in stream:
            name = PurePosixPath(member.name)
            file = stream.extractfile(member) if member.isfile() else None
            if file is None or name.is_absolute() or ".." in name.parts:
                raise ValueError(f"an entry that is no file below the folder: {name}")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(places.fill(file.read(), target.suffix))


def _readable(place: Path) -> bool:
    """Whether this version can show, classify with and draw from what was unpacked."""
    run = place / RUN
    try:
        run_facts(run)
        read_results(run)
        for component in (run / GENERATORS).glob("*"):
            read_component(component)
        return made(place) is not None and bool(kept_models(run))
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return False


# ── places ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Places:
    """What the marks in an archive's texts stand for.

    Attributes:
        place: folder of the example.
        studies: folder of the study files.
    """

    place: Path
    studies: Path = STUDIES

    def fill(self, content: bytes, suffix: str) -> bytes:
        """The content of a file by the ending of its name; what is no text stays as it is."""
        if suffix not in TEXTS or not any(mark.encode() in content for mark in (PLACE, FILES)):
            return content
        text = content.decode()
        if suffix == ".json":
            text = json.dumps(self._told(json.loads(text)), indent=1, ensure_ascii=False)
        elif suffix == ".jsonl":
            lines = (self._told(json.loads(line)) for line in text.splitlines())
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        else:
            told = self._told(yaml.safe_load(text))
            head = text.partition("\n")[0] + "\n" if text.startswith("#") else ""
            text = head + yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
        return text.encode()

    def _told(self, value: Any) -> Any:
        if isinstance(value, str):
            command = value.startswith("synthlift ")
            return self._filled(value, shlex.quote if command else str)
        if isinstance(value, dict):
            return {key: self._told(one) for key, one in value.items()}
        return [self._told(one) for one in value] if isinstance(value, list) else value

    def _filled(self, text: str, write: Callable[[str], str]) -> str:
        known = {PLACE: str(self.place), FILES: str(self.studies)}
        return _MARKED.sub(lambda found: write(known[found[1]] + found[2]), text)
