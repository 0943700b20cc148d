"""Pools: folders of generated pictures that people kept, with where each comes from.

A pool holds ``images/<class>/*.png``, which a study takes as a generator of kind ``pool``;
``metadata.csv`` with a row for each of them; and ``judged.jsonl``, every verdict in its order, also
on pictures that were not kept: how many had to be looked at belongs to what a pool is. Studies that
are asked here read ``list-<digest>.csv``, the pool as it was then: it may grow meanwhile.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from synthlift.api.naming import folder_names, plain_name
from synthlift.errors import InputError
from synthlift.spec.licences import licences_of
from synthlift.spec.provenance import LICENCE
from synthlift.store.files import write_bytes_atomic, write_json_atomic
from synthlift.web.errors import MissingError
from synthlift.web.generations import harmless

FACTS, IMAGES, TABLE, JUDGED = "pool.json", "images", "metadata.csv", "judged.jsonl"
LIST = "list-"
"""What a list of the pictures of one moment is called, before its digest."""
MOST_POOLS, MOST_IMAGES = 50, 20_000
LISTED = ("file_name", "label")
SETTLED_NS = 2_000_000_000
"""What was changed so long ago is found to have changed when it changes again."""
_ID = re.compile(r"[0-9a-f]{16}")
README = """These pictures are synthetic: a generator made them and a person kept them.
They show nothing that exists.

metadata.csv says of each what made it, from which seed, and who kept it.
A study takes them with: generators: [{kind: pool, source: images}]
Files that end in MODEL-LICENCE.txt have the terms of the models behind them, word by word.
The generator has learnt from pictures of a study. Test a model on other pictures than those.
"""


@dataclass(frozen=True)
class Pool:
    """One pool.

    Attributes:
        id: random.
        name: for people.
        path: its folder.
        judged: every verdict, in order: verdict, who, at, label, file, source, facts, seen,
            near_copy.
    """

    id: str
    name: str
    path: Path
    judged: Sequence[Mapping[str, Any]]

    @property
    def images(self) -> list[Mapping[str, Any]]:
        """Verdicts that put a picture in which is still there."""
        last = {one["source"]: one for one in self.judged}
        return [one for one in last.values() if one["verdict"] == "keep"]

    def holds(self, source: str) -> bool:
        """Whether a picture is in the pool."""
        return any(one["source"] == source for one in self.images)

    @property
    def classes(self) -> dict[str, int]:
        """Pictures of each class."""
        return dict(sorted(Counter(one["label"] for one in self.images).items()))

    def file(self, one: Mapping[str, Any]) -> Path:
        """The file of a picture."""
        return self.path / IMAGES / str(one["file"])

    def archive(self) -> bytes:
        """A zip of the pool."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for one in self.images:
                archive.write(self.file(one), f"{IMAGES}/{one['file']}")
            archive.writestr(TABLE, _table(self.images))
            archive.writestr("README.txt", README)
            for name, text in licences_of(self.path).items():
                archive.write(text, name)
        return stream.getvalue()


class Pools:
    """All pools of one server.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def all(self) -> list[Pool]:
        """The newest first."""
        places = list(self.folder.iterdir()) if self.folder.is_dir() else []
        dated = [(path.stat().st_mtime, path.name) for path in places if _ID.fullmatch(path.name)]
        found = []
        for _, name in sorted(dated, reverse=True):
            try:
                found.append(self.get(name))
            except MissingError:  # being made, or deleted just now
                continue
        return found

    def get(self, name: str) -> Pool:
        """One pool.

        Raises:
            MissingError: there is none of that id.
        """
        if not _ID.fullmatch(name):
            raise MissingError(name)
        path = self.folder / name
        try:
            facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise MissingError(name) from None
        lines = (path / JUDGED).read_text(encoding="utf-8") if (path / JUDGED).is_file() else ""
        judged = [json.loads(line) for line in lines.splitlines() if line.endswith("}")]
        return Pool(name, str(facts["name"]), path, judged)

    def make(self, title: str) -> Pool:
        """A new, empty pool.

        Raises:
            InputError: there are too many.
        """
        with self._lock:
            if len(self.all()) >= MOST_POOLS:
                raise InputError(
                    f"there are {MOST_POOLS} pools",
                    rule="a server keeps no more",
                    remedy="delete one that you need no longer",
                )
            name = secrets.token_hex(8)
            (self.folder / name / IMAGES).mkdir(parents=True)
            facts = {"name": " ".join(title.split())[:60] or "pool", "created": time.time()}
            write_json_atomic(self.folder / name / FACTS, facts, durable=False)
        return self.get(name)

    def judge(
        self,
        name: str,
        *,
        source: str,
        label: str,
        verdict: str,
        who: str,
        png: bytes,
        facts: Mapping[str, str],
        seen: Mapping[str, Any] | None,
        near_copy: bool | None = None,
        terms: str = "",
        caution: str = "",
    ) -> Pool:
        """Record a verdict on a drawn picture; a kept one is put into the pool, once.

        Args:
            name: of the pool.
            source: what the picture is, so that a second verdict replaces the first.
            label: its class.
            verdict: keep or reject.
            who: said so.
            png: the file.
            facts: what made it.
            seen: what a classifier takes it for.
            near_copy: whether it is nearly a copy of a training picture; None = not known.
            terms: of the model behind its generator, word by word; they stay with the pool.
            caution: what speaks against its generator, in words.
        """
        with self._lock:
            pool = self.get(name)
            if len(pool.images) >= MOST_IMAGES:
                raise InputError(
                    f"the pool holds {MOST_IMAGES:,} pictures",
                    rule="a pool holds no more",
                    remedy="make another one",
                )
            file = f"{_folder_of(label, pool)}/synthetic-{source.replace('/', '-')}.png"
            entry = {
                "verdict": verdict,
                "who": who,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "label": label,
                "file": file,
                "source": source,
                "facts": dict(facts),
                "seen": dict(seen) if seen else None,
                "near_copy": near_copy,
                "caution": caution,
            }
            target = pool.path / IMAGES / file
            # A study may be reading the file: it is not written again.
            if verdict == "keep" and not target.is_file():
                target.parent.mkdir(exist_ok=True)
                write_bytes_atomic(target, png, durable=False)
                _keep_terms(pool, terms, facts)
            self._append(pool, entry)
            if verdict != "keep":
                target.unlink(missing_ok=True)
        return self.get(name)

    def listed(self, name: str) -> Path:
        """A table of the pictures that a pool has now, which no later verdict changes.

        Raises:
            MissingError: there is no such pool.
        """
        with self._lock:
            pool = self.get(name)
            stream = io.StringIO()
            writer = csv.writer(stream)
            writer.writerow(LISTED)
            writer.writerows(
                sorted((f"{IMAGES}/{one['file']}", str(one["label"])) for one in pool.images)
            )
            content = stream.getvalue().encode()
            path = pool.path / f"{LIST}{hashlib.sha256(content).hexdigest()[:12]}.csv"
            if not path.is_file():
                write_bytes_atomic(path, content, durable=False)
        return path

    def take_out(self, name: str, file: str, *, who: str) -> Pool:
        """Take a picture out of a pool again.

        Raises:
            MissingError: there is none.
        """
        with self._lock:
            pool = self.get(name)
            found = next((one for one in pool.images if Path(one["file"]).name == file), None)
            if found is None:
                raise MissingError(file)
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._append(pool, {**found, "verdict": "withdrawn", "who": who, "at": at})
            pool.file(found).unlink(missing_ok=True)
        return self.get(name)

    def delete(self, name: str) -> None:
        """Delete a pool with its pictures."""
        shutil.rmtree(self.get(name).path)

    def _append(self, pool: Pool, entry: Mapping[str, Any]) -> None:
        with (pool.path / JUDGED).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
        table = _table(self.get(pool.id).images)
        write_bytes_atomic(pool.path / TABLE, table.encode(), durable=False)


def missing_of(path: Path) -> int:
    """How many pictures of a list of :meth:`Pools.listed` are gone.

    What was found holds as long as the list and the pool's folders are as they were.
    """
    folders = [one for one in (path.parent / IMAGES).glob("*") if one.is_dir()]
    changed = {one.name: one.stat().st_mtime_ns for one in (path, *folders)}
    # What changes again in the same tick of the file system's clock does not show in its times.
    settled = max(changed.values()) < time.time_ns() - SETTLED_NS
    count = _missing_of if settled else _missing_of.__wrapped__
    return count(path, tuple(sorted(changed.items())))


@lru_cache(maxsize=1024)
def _missing_of(path: Path, changed: tuple[tuple[str, int], ...]) -> int:
    del changed
    named: dict[str, set[str]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            folder, _, name = row["file_name"].rpartition("/")
            named.setdefault(folder, set()).add(name)
    return sum(len(names - _files_in(path.parent / folder)) for folder, names in named.items())


def _files_in(folder: Path) -> set[str]:
    """Names of the files in a folder, without asking after each; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except FileNotFoundError:
        return set()


def _keep_terms(pool: Pool, terms: str, facts: Mapping[str, str]) -> None:
    """Lay terms into a pool, each text once, by the name of the generator."""
    known = [path.read_bytes() for path in licences_of(pool.path).values()]
    if not terms or terms.encode() in known:
        return
    number = f"-{len(known) + 1}" if known else ""
    name = plain_name(f"{facts.get('generator', 'model')}{number}-{LICENCE}")
    write_bytes_atomic(pool.path / name, terms.encode(), durable=False)


def _folder_of(label: str, pool: Pool) -> str:
    """The folder of a class: the one that it always had, else a name that no other class has."""
    known = {str(one["label"]): str(one["file"]).split("/")[0] for one in pool.judged}
    if label in known:
        return known[label]
    plain, used = folder_names([label])[label], {name.casefold() for name in known.values()}
    numbered = (f"{plain}_{number}" for number in range(2, len(used) + 3))
    return next(name for name in (plain, *numbered) if name.casefold() not in used)


def _table(images: Sequence[Mapping[str, Any]]) -> str:
    """One row a picture: its file, class, what made it, who kept it, how it is seen."""
    keys = sorted({key for one in images for key in one["facts"]})
    stream = io.StringIO()
    writer = csv.writer(stream)
    said = ("kept_by", "kept_at", "seen_as", "seen_probability", "near_copy")
    writer.writerow(["file_name", "label", *keys, *said])
    for one in images:
        seen = one["seen"] or {"label": "", "probability": ""}
        facts = [harmless(str(one["facts"].get(key, ""))) for key in keys]
        words = [harmless(str(one[key])) for key in ("who", "at")]
        # What is read back as a data set stays as it is: a class may be called -1.
        row = [f"{IMAGES}/{one['file']}", str(one["label"]), *facts, *words]
        views = [harmless(str(seen["label"])), seen["probability"], one.get("near_copy")]
        writer.writerow([*row, *views])
    return stream.getvalue()
