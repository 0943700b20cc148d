"""The finished runs that are served, each under an id that says nothing of where it lies."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from synthlift.api.asking import PROMPT, limits_of, takes
from synthlift.api.classifying import KeptModel, kept_models
from synthlift.api.images import GENERATORS, read_component
from synthlift.api.run_folder import read_results
from synthlift.api.varying import why_not_from_a_picture
from synthlift.errors import InputError
from synthlift.spec.results import Results
from synthlift.study.folder import RESULTS, STUDY
from synthlift.web.errors import MissingError
from synthlift.web.settings import Settings
from synthlift.web.shipped import RUN

LOOK_AGAIN_SECONDS, LOOK_CLOSER_SECONDS = 3.0, 1.0
"""After which runs are sought anew, and a run that is known is read again if it has changed."""


def id_of(path: Path) -> str:
    """The id of a place: the same as long as it lies there."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class KeptGenerator:
    """A generator of a run.

    Attributes:
        name, kind: in the study.
        classes: that it can make.
        attributes: values that can be asked for, by name.
        defaults: of the settings that a request may change; empty where it may change none.
        limits: from where to where it may change them.
        takes_prompts: whether words of one's own may take the place of the study's.
        refuses_pictures: why it cannot start from a picture; "" where it can.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]
    defaults: Mapping[str, float]
    limits: Mapping[str, tuple[float, float]]
    takes_prompts: bool
    refuses_pictures: str


@dataclass(frozen=True)
class Finished:
    """A finished run; everything but the results is read when it is first asked for.

    Attributes:
        id: says nothing of where it lies.
        path: its folder.
        results: of its study.
        delivered: whether it came with the package.
    """

    id: str
    path: Path
    results: Results
    delivered: bool = False

    @cached_property
    def models(self) -> list[KeptModel]:
        """The classifiers that it keeps."""
        return kept_models(self.path)

    @cached_property
    def generators(self) -> list[KeptGenerator]:
        """The generators that it keeps; classes that the study had drawn come first.

        A generator may know classes of which it can make none, such as bare ground to paste onto.
        """
        folders = sorted(p.parent for p in (self.path / GENERATORS).glob("*/component.json"))
        drawn = {image.label for image in self.results.gallery if image.kind != "real"}
        found = [_kept_generator(folder) for folder in folders]
        return [
            replace(one, classes=tuple(sorted(one.classes, key=lambda name: name not in drawn)))
            for one in found
        ]

    @property
    def samples(self) -> list[tuple[Path, str]]:
        """Real pictures of the report's gallery with their class: one of each class, then more."""
        found = [
            (self.path / image.file, image.label)
            for image in self.results.gallery
            if image.kind == "real"
        ]
        home = self.path.resolve()
        by_class: dict[str, list[tuple[Path, str]]] = {}
        for file, label in dict(found).items():
            if file.is_file() and file.resolve().is_relative_to(home):
                by_class.setdefault(label, []).append((file, label))
        rounds = zip_longest(*by_class.values())
        return [one for members in rounds for one in members if one is not None]

    def sample(self, index: int) -> tuple[Path, str]:
        """One of the samples.

        Raises:
            InputError: there is none of that number.
        """
        samples = self.samples
        if index >= len(samples):
            raise InputError(
                f"sample {index}",
                rule=f"the run has {len(samples)} samples, counted from 0",
                remedy="choose one of them",
            )
        return samples[index]


@dataclass(frozen=True)
class _Read:
    """A run as it was read: when its results were written, and when that was looked at."""

    run: Finished
    changed: float
    looked: float


def _kept_generator(folder: Path) -> KeptGenerator:
    facts = read_component(folder)
    config = facts["config"]
    learnt = tuple(config.get("attributes") or ())
    values: Mapping[str, Any] = {}
    if learnt:
        try:
            known = json.loads((folder / "synthlift.json").read_text(encoding="utf-8"))
            values = known.get("attributes", {})
        except (OSError, ValueError):
            values = {}
    limits = {key: limit for key, limit in limits_of(facts["kind"]).items() if key in config}
    return KeptGenerator(
        name=folder.name,
        kind=facts["kind"],
        classes=tuple(facts["classes"]),
        attributes={name: tuple(values[name]) for name in learnt if values.get(name)},
        defaults={key: float(config[key]) for key in limits},
        limits=limits,
        takes_prompts=takes(facts["kind"], PROMPT),
        refuses_pictures=why_not_from_a_picture(facts["kind"]),
    )


class Library:
    """Finds runs in the given folders, among those started here, the examples, and in the store.

    Args:
        settings: where to look.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._looked = 0.0
        self._found: dict[str, Path] = {}
        self._read: dict[Path, _Read] = {}

    def runs(self) -> list[Finished]:
        """Finished runs, the newest first; such that cannot be read are left out."""
        found = []
        for name, path in self._places().items():
            try:
                found.append(self._open(name, path))
            except InputError:
                continue
        return sorted(found, key=lambda run: run.results.created, reverse=True)

    def get(self, name: str) -> Finished:
        """One run.

        Raises:
            MissingError: there is none of that id.
        """
        places = self._places()
        try:
            return self._open(name, places[name])
        except (KeyError, InputError):
            raise MissingError(name) from None

    def forget(self) -> None:
        """Look anew when asked next."""
        self._looked = 0.0
        with self._lock:
            self._read = {
                path: replace(one, looked=-LOOK_CLOSER_SECONDS) for path, one in self._read.items()
            }

    def _open(self, name: str, path: Path) -> Finished:
        with self._lock:
            known = self._read.get(path)
            if known is not None and time.monotonic() - known.looked < LOOK_CLOSER_SECONDS:
                return known.run
            try:
                changed = (path / RESULTS).stat().st_mtime
            except OSError:
                raise InputError(str(path), rule="", remedy="") from None
            if known is not None and known.changed == changed:
                run = known.run
            else:
                ours = path.is_relative_to(self.settings.examples_folder.resolve())
                run = Finished(name, path, read_results(path), delivered=ours)
            self._read[path] = _Read(run, changed, time.monotonic())
        return run

    def _places(self) -> dict[str, Path]:
        with self._lock:
            if time.monotonic() - self._looked > LOOK_AGAIN_SECONDS:
                found = {path.resolve() for path in self._candidates() if _is_finished(path)}
                self._found = {id_of(path): path for path in sorted(found)}
                self._looked = time.monotonic()
            return self._found

    def _candidates(self) -> Iterator[Path]:
        for given in (*self.settings.runs, self.settings.own_runs):
            yield given
            if given.is_dir():
                yield from (path for path in given.iterdir() if path.is_dir())
        yield from self.settings.examples_folder.glob(f"[!.]*/{RUN}")
        yield from _roots(self.settings.store)


def _roots(store: Path | None) -> Iterator[Path]:
    """Run folders that the store knows."""
    from synthlift.store import default_root

    for file in sorted((store or default_root()).glob("roots/*.json")):
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and facts.get("folder"):
            yield Path(str(facts["folder"]))


def _is_finished(path: Path) -> bool:
    return (path / RESULTS).is_file() and (path / STUDY).is_file()
