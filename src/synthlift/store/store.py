"""The artefact store: content-keyed folders that exist whole or not at all.

Layout under the root (mode 0700)::

    artefacts/<key>/record.json + files    committed, never changed
    work/<key>/                            check-points of unfinished work, and what it took so
                                           far; survives kills
    leases/<key>.lock                      saves double work; correctness never depends on it
    decisions/<study>/<name>.json          created once, first writer wins
    roots/<run>.json                       what ``gc`` must keep
    passing/<process>.json                 the same, while that process goes on
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from synthlift.errors import DiskFullError, StageError, SynthliftError
from synthlift.store.files import hash_files, write_json_atomic
from synthlift.store.metering import EnergyCounter, Meter, progress_writer
from synthlift.store.passing import Passing
from synthlift.store.requests import StageContext, StageRequest, resolve

RECORD = "record.json"
MINIMUM_FREE_BYTES = 64 * 1024**2
NO_HARD_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
"""What file systems without hard links answer (FAT, some network shares)."""


def default_root() -> Path:
    """``$SYNTHLIFT_STORE``, else the user's cache folder."""
    import platformdirs

    given = os.environ.get("SYNTHLIFT_STORE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("synthlift")) / "store"


@dataclass(frozen=True)
class Artefact:
    """A committed result: its folder and its record."""

    key: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the stage function returned."""
        summary: Mapping[str, Any] = self.record["summary"]
        return summary

    def path(self, name: str) -> Path:
        """The path of one of its files."""
        assert name in self.record["files"], f"{self.key} has no file {name}"
        return self.folder / name


class Store:
    """See the module's text. Safe for any number of processes on one machine."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_root()).absolute()
        for name in ("artefacts", "work", "leases", "decisions", "roots"):
            (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(PermissionError):
            self.root.chmod(0o700)
        self.passing = Passing(self.root / "passing", registering=self._registering)

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def folder(self, key: str) -> Path:
        """Where ``key`` is or will be."""
        return self.root / "artefacts" / key

    def has(self, key: str) -> bool:
        """Whether ``key`` is committed."""
        return (self.folder(key) / RECORD).is_file()

    def open(self, key: str) -> Artefact:
        """Open a committed artefact.

        Raises:
            SynthliftError: it is not there (deleted by hand, or never made), or is damaged.
        """
        folder = self.folder(key)
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SynthliftError(f"the store holds no '{key}'; run the study again") from None
        except ValueError:
            raise SynthliftError(
                f"the record of '{key}' is damaged; delete the folder {folder} and run again"
            ) from None
        return Artefact(key, folder, record)

    def scratch(self) -> Path:
        """A folder on the store's disk for temporary files that delete themselves."""
        folder = self.root / "scratch"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    # ── computing ─────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def lease(self, key: str) -> Iterator[bool]:
        """Yield whether this process now holds the lease of ``key`` (never blocks)."""
        lock = filelock.FileLock(self.root / "leases" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def compute(
        self,
        request: StageRequest,
        *,
        log: Callable[..., None] = lambda *_a, **_k: None,
        counter: EnergyCounter | None = None,
    ) -> str:
        """Compute and commit ``request`` unless it is there.

        Args:
            request: what is wanted.
            log: told by name and fields what happens.
            counter: of the GPU that the request names, where it counts its energy.

        Returns:
            "present" (nothing done), "computed", or "busy" (another process holds the lease).

        Raises:
            DiskFullError: too little space before, or none left during, the stage.
        """
        if self.has(request.key):
            return "present"
        with self.lease(request.key) as held:
            if not held:
                return "busy"
            if self.has(request.key):
                return "present"
            if shutil.disk_usage(self.root).free < MINIMUM_FREE_BYTES:
                raise DiskFullError(_full(self.root))
            self._run(request, log, counter)
        return "computed"

    def _run(
        self, request: StageRequest, log: Callable[..., None], counter: EnergyCounter | None
    ) -> None:
        work = self.root / "work" / request.key
        meter = Meter(work, on_gpu=request.device != "cpu", counter=counter)
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        context = StageContext(self, out, work, progress_writer(work, request.label, meter), log)
        try:
            summary = resolve(request.function)(request, context)
            write_json_atomic(out / RECORD, _record(request, context, summary, meter))
            self._commit(request.key, out)
        except BaseException as error:
            full = _is_disk_full(error, self.root)
            shutil.rmtree(out, ignore_errors=True)
            with contextlib.suppress(OSError):  # a full disk; what went wrong says more
                meter.note(ended=True)
            if full:
                raise DiskFullError(_full(self.root)) from error
            raise
        shutil.rmtree(work, ignore_errors=True)

    def _commit(self, key: str, out: Path) -> None:
        try:
            out.rename(self.folder(key))
        except OSError as error:
            if self.has(key):
                return
            if not self.folder(key).is_dir():
                raise StageError(
                    f"could not commit {key}: {error}. Delete {self.folder(key)} if it is there"
                ) from error
            # Without a record it is no artefact: what a copy or a deletion by hand left over.
            self._remove(self.folder(key))
            out.rename(self.folder(key))

    def tidy(self) -> None:
        """Delete work whose artefact is there: left by a kill between commit and tidying up."""
        for work in (self.root / "work").glob("*"):
            if self.has(work.name):
                shutil.rmtree(work, ignore_errors=True)

    # ── decisions ─────────────────────────────────────────────────────────────────────────────

    def decisions(self, study: str) -> dict[str, dict[str, Any]]:
        """All recorded decisions of a study, by name, in the order in which they were taken."""
        folder = self.root / "decisions" / study
        found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
        return {d["name"]: d for d in sorted(found, key=lambda d: (d["at"], d["name"]))}

    def decide(self, study: str, name: str, make: Callable[[], tuple[Any, str]]) -> Any:
        """Return the recorded value of decision ``name``; take and record it if there is none.

        Args:
            study: the study's key.
            name: e.g. ``"image_size"``.
            make: returns (JSON value, reason in words); called only when nothing is recorded.
        """
        path = self.root / "decisions" / study / f"{name.replace('/', '~')}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            value, reason = make()
            record = {"name": name, "value": value, "reason": reason, "at": time.time()}
            with self._saying_when_full():
                _create_once(path, json.dumps(record, indent=1))
        return json.loads(path.read_text(encoding="utf-8"))["value"]

    def forget_decisions(self, study: str) -> None:
        """Discard all decisions of a study (``--replan``)."""
        shutil.rmtree(self.root / "decisions" / study, ignore_errors=True)

    # ── roots and collection ──────────────────────────────────────────────────────────────────

    def register_root(self, name: str, keys: list[str], **facts: Any) -> None:
        """Protect ``keys`` from :meth:`collect` on behalf of the run ``name``.

        They come on top of those that it protected before; the facts take the place of earlier
        ones. Once this returns, no collection deletes them, a running one included.
        """
        path = self._root_file(name)
        with self._registering():
            before = json.loads(path.read_text(encoding="utf-8"))["keys"] if path.exists() else []
            write_json_atomic(path, {"keys": list(dict.fromkeys([*before, *keys])), **facts})

    def drop_root(self, name: str) -> None:
        """Protect nothing any more on behalf of a run."""
        self._root_file(name).unlink(missing_ok=True)

    def _root_file(self, name: str) -> Path:
        return self.root / "roots" / f"{name}.json"

    @contextlib.contextmanager
    def _registering(self) -> Iterator[None]:
        with self._roots_lock(), self._saying_when_full():
            yield

    @contextlib.contextmanager
    def _saying_when_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if _is_disk_full(error, self.root):
                raise DiskFullError(_full(self.root)) from error
            raise

    def _roots_lock(self) -> filelock.FileLock:
        """What is registered meanwhile would be deleted all the same: one after the other."""
        return filelock.FileLock(self.root / "leases" / "roots.lock")

    def roots(self) -> dict[str, dict[str, Any]]:
        """Registered runs by name."""
        found = sorted((self.root / "roots").glob("*.json"))
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in found}

    def collect(self, *, dry_run: bool = False) -> tuple[int, int]:
        """Delete artefacts and left-over work that no run refers to and nobody holds.

        Returns:
            Number of folders and bytes freed (or that would be freed).
        """
        with self._roots_lock():
            live = self._live_keys()
            return self._sweep(lambda name: name not in live, dry_run=dry_run)

    def forget(self, roots: Collection[str], keys: Collection[str]) -> tuple[int, int]:
        """Delete registered runs, and what of theirs no other run refers to and nobody holds.

        Args:
            roots: names of the runs; they need not be registered any more.
            keys: what they asked for; what these were made from goes with them.

        Returns:
            Number of folders and bytes freed.
        """
        named = {
            key for name, root in self.roots().items() if name in roots for key in root["keys"]
        }
        theirs = self._with_inputs({*named, *keys})
        for name in roots:
            self.drop_root(name)
        with self._roots_lock():
            live = self._live_keys()
            return self._sweep(lambda name: name in theirs and name not in live)

    def _sweep(self, doomed: Callable[[str], bool], *, dry_run: bool = False) -> tuple[int, int]:
        count = size = 0
        for kind in ("artefacts", "work"):
            for folder in sorted((self.root / kind).iterdir()):
                if not doomed(folder.name):
                    continue
                with self.lease(folder.name) as held:
                    if held:
                        count += 1
                        size += sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
                        if not dry_run:
                            self._remove(folder)
        return count, size

    def _remove(self, folder: Path) -> None:
        """Delete in two steps: an artefact is whole or gone, even if this process is killed."""
        doomed = self.root / "work" / f"deleted-{uuid.uuid4().hex}"
        folder.rename(doomed)
        shutil.rmtree(doomed) if doomed.is_dir() else doomed.unlink()

    def _live_keys(self) -> set[str]:
        keys = {key for root in self.roots().values() for key in root["keys"]}
        return self._with_inputs(keys | self.passing.keys())

    def _with_inputs(self, keys: Iterable[str]) -> set[str]:
        """Some artefacts, and all that they were made from."""
        waiting = list(keys)
        found: set[str] = set()
        while waiting:
            key = waiting.pop()
            if key in found:
                continue
            found.add(key)
            with contextlib.suppress(SynthliftError):  # not made yet, or its record is damaged
                for value in self.open(key).record["inputs"].values():
                    waiting.extend([value] if isinstance(value, str) else value)
        return found


def _record(
    request: StageRequest, context: StageContext, summary: Mapping[str, Any], meter: Meter
) -> dict[str, Any]:
    return {
        "key": request.key,
        "stage": request.stage,
        "function": request.function,
        "config": dict(request.config),
        "inputs": dict(request.inputs),
        "seed": request.seed,
        "numerics": dict(request.numerics),
        "version": request.version,
        "files": hash_files(context.out, known=context.digests),
        "summary": summary,
        "cost": meter.read(),
    }


# NumPy, torch and safetensors report a failed write without the system's error number.
_FULL_WORDS = re.compile(r"no space left|not enough free space|quota exceeded", re.IGNORECASE)


def _is_disk_full(error: BaseException, root: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if not isinstance(error, Exception) or isinstance(error, SynthliftError):
        return False
    return bool(_FULL_WORDS.search(str(error))) or (
        shutil.disk_usage(root).free < MINIMUM_FREE_BYTES
    )


def _full(root: Path) -> str:
    return (
        f"the disk that holds the store is full ({root}). Nothing finished is lost: free space, "
        "or point SYNTHLIFT_STORE elsewhere, and run the same command again"
    )


def _create_once(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.write_text(text, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
