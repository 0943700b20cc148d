"""The ledger of openings: which model of which study saw which test set, kept for good.

It lies in the user's data folder, not in the store, so that clearing the store does not make a
test set look unused. One JSON line per (model, test set); writing a line twice changes nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import filelock


def ledger_path() -> Path:
    """``$SYNTHLIFT_DATA_HOME``, else the user's data folder."""
    import platformdirs

    given = os.environ.get("SYNTHLIFT_DATA_HOME")
    home = Path(given) if given else Path(platformdirs.user_data_dir("synthlift"))
    return home / "openings.jsonl"


@dataclass(frozen=True)
class Tally:
    """Openings of one test set.

    Attributes:
        studies, models: all that opened it, this study and its models among them.
        this_study: models of this study.
        earlier: differing studies that opened it before this one did; what comes later does not
            take back what this study could say.
    """

    studies: int
    models: int
    this_study: int
    earlier: int


class Ledger:
    """Append-only file of openings, safe for several processes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or ledger_path()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _entries(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        # A line cut short by a crash is no opening: it was never acknowledged.
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.strip()]

    def record(
        self, *, test_hash: str, study: str, models: Iterable[str], at: str | None = None
    ) -> None:
        """Add the openings that are not in the ledger yet; ``at`` is when, in UTC, None = now."""
        with filelock.FileLock(f"{self.path}.lock"):
            entries = self._entries()
            known = {(e["test"], e["model"], e["study"]) for e in entries}
            fresh = [m for m in models if (test_hash, m, study) not in known]
            when = at or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._cut_broken_line()
            with self.path.open("a", encoding="utf-8") as stream:
                for model in fresh:
                    entry = {"test": test_hash, "study": study, "model": model, "at": when}
                    stream.write(json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())

    def take_over(self, file: Path) -> None:
        """Add the openings in the ledger of a run that was made elsewhere, with their times."""
        together: dict[tuple[str, str, str], list[str]] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            place = (entry["test"], entry["study"], entry["at"])
            together.setdefault(place, []).append(entry["model"])
        for (test_hash, study, at), models in together.items():
            self.record(test_hash=test_hash, study=study, models=models, at=at)

    def _cut_broken_line(self) -> None:
        content = self.path.read_bytes() if self.path.is_file() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def opened(self, *, test_hash: str, model: str) -> bool:
        """Whether ``model`` may read this test set."""
        return any(e["test"] == test_hash and e["model"] == model for e in self._entries())

    def knows(self, study: str) -> bool:
        """Whether a study has opened a test set."""
        return any(e["study"] == study for e in self._entries())

    def tally(self, *, test_hash: str, study: str) -> Tally:
        """Count the openings of a test set."""
        entries = [e for e in self._entries() if e["test"] == test_hash]
        studies = list(dict.fromkeys(e["study"] for e in entries))
        return Tally(
            studies=len(studies),
            models=len({e["model"] for e in entries}),
            this_study=len({e["model"] for e in entries if e["study"] == study}),
            earlier=studies.index(study) if study in studies else len(studies),
        )
