"""Run the built-in examples of the web app, and pack what they leave for the package.

    python -m scripts.example_runs                   # all of them
    python -m scripts.example_runs leaves --work DIR

Finished work in DIR is used again, so that an example is computed once and packed as often as
needed. Each example has a store and a ledger of its own there: no other study on this machine
changes what it says. No archive names a place of this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from synthlift import __version__
from synthlift.api.classifying import ARM, MODELS
from synthlift.api.images import GENERATORS, read_component
from synthlift.api.run_folder import REPORT, read_results
from synthlift.api.training_sets import VERDICTS
from synthlift.registry import descriptor
from synthlift.store import Store
from synthlift.study.folder import PROGRESS, RESULTS, STATUS, TRAINING, run_facts
from synthlift.study.ledger import ledger_path
from synthlift.web.examples import EXAMPLES
from synthlift.web.shipped import FACTS, FILES, PLACE, RUN, STORE, STUDIES, TEXTS, Made

LEDGER = "ledger"
LEFT_OUT = frozenset((REPORT, STATUS, PROGRESS, TRAINING))
"""Of the run folder: what is written anew, a process that ended, what the page of a job shows."""
# Pictures are runs of bytes whose places count little and whose neighbours tell much.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 4, "lp": 0, "pb": 0}]
_PROGRAM = "from synthlift.cli import main; main()"


def main() -> None:
    """Compute and pack what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m scripts.example_runs", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*EXAMPLES, []], help="default: all")
    parser.add_argument("--into", type=Path, default=STUDIES, help="where the archives go")
    parser.add_argument("--work", type=Path, help="where runs are computed; a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.names or EXAMPLES:
            place = (given.work or Path(temporary)).absolute() / name
            compute(EXAMPLES[name].file, place)
            archive = given.into / f"{name}.tar.xz"
            pack(EXAMPLES[name].file, place, archive)
            openings = (place / LEDGER / ledger_path().name).read_text()
            (given.into / f"{name}.openings.jsonl").write_text(openings)
            print(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")


def compute(study: Path, place: Path) -> None:
    """Run a study file in a folder, unless that was done."""
    if (place / RUN / RESULTS).is_file():
        return
    place.mkdir(parents=True, exist_ok=True)
    words = ["run", str(study), "--out", str(place / RUN), "--store", str(place / STORE)]
    subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words],
        env={**os.environ, "SYNTHLIFT_DATA_HOME": str(place / LEDGER)},
        cwd=place,
        check=True,
    )


def pack(study: Path, place: Path, archive: Path) -> None:
    """Write the archive of a finished run.

    Raises:
        SystemExit: a file that goes into it names a place of this machine.
    """
    content = {FACTS: _facts(study, place), **dict(_files(place))}
    archive.parent.mkdir(parents=True, exist_ok=True)
    # Pictures first: those that repeat others follow close behind them.
    order = sorted(content, key=lambda name: (name != FACTS, Path(name).name, name))
    with (
        lzma.open(archive, "wb", filters=FILTERS) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in order:
            entry = tarfile.TarInfo(name)  # no owner and no time: the same run, the same bytes
            entry.size = len(content[name])
            tar.addfile(entry, io.BytesIO(content[name]))


def _facts(study: Path, place: Path) -> bytes:
    results = read_results(place / RUN)
    machine = results.environment
    made = Made(
        version=__version__,
        command=f"synthlift run {study.name}",
        created=results.created,
        machine=f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        study=hashlib.sha256(study.read_bytes()).hexdigest(),
        # By the run's own account: workers outlive the process that a shell would count.
        cpu_seconds=sum(one.cpu_seconds for one in results.cost),
    )
    return made.model_dump_json(indent=1).encode()


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    """Name in the archive and content of every file, marks in place of places."""
    run, store = place / RUN, Store(place / STORE)
    folders = [path for path in run.iterdir() if path.name not in LEFT_OUT]
    folders += [store.folder(key) for key in sorted(_artefacts(run, store))]
    folders += (store.root / "roots").iterdir()
    marks = {str(place): PLACE, str(STUDIES): FILES}
    strange = [str(Path.home()), str(Path.cwd()), tempfile.gettempdir(), *marks]
    for folder in folders:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if not file.is_file():
                continue
            content = file.read_bytes()
            if file.suffix in TEXTS:
                for known, mark in marks.items():
                    content = content.replace(known.encode(), mark.encode())
            if any(f"{one}/".encode() in content for one in strange):
                raise SystemExit(f"{file} names a place of this machine")
            yield file.relative_to(place).as_posix(), content


def _artefacts(run: Path, store: Store) -> set[str]:
    """What pages read of the store: generated images, and what the rival's model learnt from."""
    rival: dict[str, Any] = json.loads((run / MODELS / "rival" / ARM).read_text())
    keys = {rival["key"], *pd.read_parquet(run / VERDICTS)["chunk"]}
    for folder in (run / GENERATORS).iterdir():
        component = read_component(folder)
        if "inputs" in descriptor("generators", component["kind"]).needs:
            keys.add(component["fit"])
    for key in list(keys):
        if not key.startswith("sample-"):
            inputs = store.open(key).record["inputs"]
            keys |= {one for name, one in inputs.items() if name in PARTS}
    assert run_facts(run)["key"] in {root["key"] for root in store.roots().values()}
    return keys


PARTS = ("inventory", "pixels", "split", "masks")
"""Inputs of a model or a fit that are the data set."""


if __name__ == "__main__":
    main()
