"""Planning very many images: what the main process holds of them, without sampling any.

``python -m tests.e2e.many_images FOLDER COUNT`` prints images, kept ones and peak memory as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from synthlift.spec.targets import Cell
from synthlift.store import StageRequest, Store
from synthlift.store.images import DataKeys
from synthlift.study.executors.local import LocalExecutor
from synthlift.study.expecting import CHUNK
from synthlift.study.filtering import curation_of
from synthlift.study.generation import GenerationPlan, fill, verdict_rows
from synthlift.study.layout import make_layout
from synthlift.study.ledger import Ledger
from synthlift.study.pools import Pool
from synthlift.study.session import Session
from synthlift.study.streams import make_streams
from tests.e2e.tiny import study_of

CLASSES = 10
EVERY = 20
"""Every so many images one is rejected, and one is the same as the first."""


class Records(LocalExecutor):
    """Commits what a chunk's and a verdict's record say, and no image: a million in a minute."""

    def run(self, requests: Iterable[StageRequest]) -> None:
        """Commit the records of all requests that are not in the store."""
        for request in requests:
            if not self.store.has(request.key):
                summary = _sampled(request) if request.stage == "sample" else _judged()
                cost = {"seconds": 0.1, "cpu_seconds": 0.1, "peak_memory_mib": 1.0}
                record = {**vars(request), "summary": summary, "cost": cost, "files": {}}
                self.store.folder(request.key).mkdir()
                path = self.store.folder(request.key) / "record.json"
                path.write_text(json.dumps({**record, "key": request.key}))


def _sampled(request: StageRequest) -> dict[str, Any]:
    place = canonical_place(request)
    hashes = [hashlib.sha256(f"{place}/{row}".encode()).hexdigest() for row in range(CHUNK)]
    hashes[1::EVERY] = [hashes[0]] * len(hashes[1::EVERY])
    return {"hashes": hashes}


def canonical_place(request: StageRequest) -> str:
    """Class and number of a chunk."""
    return f"{request.config['label']}/{request.config['chunk']}"


def _judged() -> dict[str, Any]:
    rows = range(CHUNK)
    flags = [row % EVERY == 0 for row in rows]
    return {
        "rejected_by": ["near_copies" if flag else "" for flag in flags],
        "reasons": [f"copy of training image {row}" if flags[row] else "" for row in rows],
        "scores": {
            name: np.linspace(0, 1, CHUNK).tolist() for name in ("near_copies", "class_agreement")
        },
        "flags": {"near_copies": flags, "class_agreement": [False] * CHUNK},
    }


def planned(folder: Path, count: int) -> Pool:
    """A pool that was filled with about ``count`` images of ten classes."""
    store = Store(folder / "store")
    study = study_of(folder, curation=["near_copies", "class_agreement"], plugins=[])
    session = Session(
        study=study,
        store=store,
        executor=Records(store, workers=1),
        ledger=Ledger(folder / "ledger"),
        base=folder,
    )
    fitted = StageRequest(stage="sample", function="", config={"label": 0, "chunk": -1})
    Records(store, workers=1).run([fitted])
    wanted = {Cell(label): round(count / CLASSES / 1.15) for label in range(CLASSES)}
    data: DataKeys = {"inventory": "read-1", "pixels": "resize-1", "split": "split-1"}
    pool = Pool(
        generator="flow",
        unit=make_layout("fixed", replicates=1, fits=1).units[0],
        fitted=store.open(fitted.key),
        data=data,
        scorer="model-1",
        streams=make_streams(CLASSES, wanted),
        wanted=wanted,
        curation=curation_of(study.curation, {}),
    )
    fill(session, [pool], GenerationPlan(CLASSES, (8, 8, 1), CHUNK, reserved=0))
    return pool


def main() -> None:
    """Plan, list what arms would train on, and run through the table of verdicts."""
    import resource

    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    pool = planned(folder, count)
    rows = sum(len(one["rows"]) for one in pool.manifest(pool.wanted, curated=True))
    listed = sum(1 for _ in verdict_rows(pool, Store(folder / "store")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"images": listed, "trained_on": rows, "peak_mib": round(peak)}))


if __name__ == "__main__":
    main()
