"""The run folder: what a user keeps. Files are replaced one by one, ``results.json`` last."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from synthlift.errors import InputError
from synthlift.spec.results import SCHEMA_VERSION
from synthlift.spec.study import Study
from synthlift.store.files import write_bytes_atomic, write_json_atomic

FORMAT = 1
REPORT, ARTEFACTS = "report.html", "artefacts.json"
TRAINING = "training"
"""Sheets of what generators drew while they trained."""
STUDY, RESULTS, LOG, STATUS, PROGRESS, STOP = (
    "study.yaml",
    "results.json",
    "log.jsonl",
    "status.json",
    "progress.json",
    "stop-requested",
)


class RunFolder:
    """One run's folder; refuses a folder that belongs to something else.

    Args:
        path: created when missing.
        key: the study's identity.

    Raises:
        InputError: the folder holds another study, a newer version's run, or foreign files.
    """

    def __init__(self, path: Path, *, key: str) -> None:
        self.path, self.key = path.absolute(), key
        self._refuse_foreign()
        self._made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / STOP).unlink(missing_ok=True)

    def _refuse_foreign(self) -> None:
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        facts = run_facts(self.path)
        if facts["key"] != self.key:
            raise InputError(
                f"'{self.path}' holds the run of another study ('{facts['name']}')",
                rule="a run folder belongs to one study on one state of its data",
                remedy="give another folder with --out, or delete this one",
            )

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.path / name

    def log(self, event: str, /, **fields: Any) -> None:
        """Append one line to ``log.jsonl``."""
        stamp = (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}Z"
        )
        line = json.dumps({"at": stamp, "event": event, **fields}, ensure_ascii=False, default=str)
        with self.file(LOG).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def status(self, state: str, **fields: Any) -> None:
        """Replace ``status.json``; read by ``synthlift status``."""
        facts = {"state": state, "pid": os.getpid(), "at": time.time(), **fields}
        write_json_atomic(self.file(STATUS), facts, durable=False)

    def discard(self) -> None:
        """Take away what a start wrote before anything was computed."""
        for name in (STUDY, LOG, STATUS, PROGRESS):
            self.file(name).unlink(missing_ok=True)
        shutil.rmtree(self.file(TRAINING), ignore_errors=True)
        if self._made:
            with suppress(OSError):  # somebody has put something into it
                self.path.rmdir()

    def stop_requested(self) -> bool:
        """Whether ``synthlift stop`` was called since this run began."""
        return self.file(STOP).exists()

    def write_study(
        self, study: Study, *, decisions: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> None:
        """Write the resolved study with its decisions; it can be run again as it is."""
        content = {
            "run": {"format": FORMAT, "key": self.key, **facts, "decisions": dict(decisions)},
            **study.model_dump(mode="json"),
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        header = "# Resolved study: run it again with `synthlift run <this folder>`.\n"
        write_bytes_atomic(self.file(STUDY), (header + text).encode())

    def finished_results(self) -> dict[str, Any] | None:
        """The results on file, when the run was completed."""
        path = self.file(RESULTS)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def artefact_keys(path: Path) -> dict[str, Any]:
    """``artefacts.json`` of a run folder; empty where an earlier version wrote the run.

    ``data`` has the keys of inventory, pixels and split of the data set; ``models`` has, by arm,
    the key of each replicate's model, by the replicate's number from 0.
    """
    try:
        content: dict[str, Any] = json.loads((path / ARTEFACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def run_facts(path: Path) -> dict[str, Any]:
    """The ``run:`` part of a run folder's study file, and the study's name.

    Raises:
        InputError: no run folder, or one of a newer version.
    """
    try:
        content = yaml.safe_load((path / STUDY).read_text(encoding="utf-8"))
        facts = {"name": content["name"], **content["run"]}
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        raise InputError(
            f"'{path}' is no run folder",
            rule=f"a run folder holds {STUDY} with a 'run:' part",
            remedy="give the folder that `synthlift run` printed, or an empty one with --out",
        ) from None
    version = max(facts["format"], _results_version(path))
    if version > max(FORMAT, SCHEMA_VERSION):
        raise InputError(
            f"'{path}' was written by a newer Synthlift (format {version})",
            rule=f"this version reads formats up to {max(FORMAT, SCHEMA_VERSION)}",
            remedy="update Synthlift, or give another folder with --out",
        )
    return facts


def _results_version(path: Path) -> int:
    try:
        return int(json.loads((path / RESULTS).read_text(encoding="utf-8"))["schema_version"])
    except (OSError, KeyError, ValueError):
        return 0
