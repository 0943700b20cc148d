"""Test sets from elsewhere: read before the study, looked at only when the test is opened."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from synthlift.errors import InputError
from synthlift.spec.data import Beside
from synthlift.store import StageContext, StageRequest, Summary
from synthlift.store.images import SPLIT, DataKeys, usable_rows
from synthlift.study.beside import beyond_white, open_test_set, read_images
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session


@dataclass(frozen=True)
class External:
    """One external test set, ready to be predicted.

    Attributes:
        name: as in the study file.
        data: its artefacts; every image is a test image.
        test_hash: content hash, for the ledger.
        images: usable ones.
        notes: what is to be said of how it was read.
    """

    name: str
    data: DataKeys
    test_hash: str
    images: int
    notes: tuple[str, ...] = ()


def open_external(session: Session, prepared: Prepared) -> tuple[External, ...]:
    """Read all external test sets and bring them to the study's size.

    Raises:
        InputError: one has a class that the study does not know, or no usable image.
    """
    return tuple(_open(session, prepared, beside) for beside in session.study.data.external)


def _open(session: Session, prepared: Prepared, beside: Beside) -> External:
    source = open_test_set(beside, base=session.base, classes=prepared.opened.classes)
    images = read_images(session, prepared, source)
    (split,) = session.ask(
        [
            StageRequest(
                stage="split",
                function="synthlift.study.external:all_test",
                inputs={"inventory": images.inventory},
                label=f"locking '{beside.name}'",
            ),
        ]
    )
    return External(
        name=beside.name,
        data={"inventory": images.inventory, "pixels": images.pixels, "split": split.key},
        test_hash=str(split.summary["test_hash"]),
        images=int(split.summary["images"]),
        notes=tuple(beyond_white(images, name=f"the external set '{beside.name}'")),
    )


def all_test(request: StageRequest, context: StageContext) -> Summary:
    """Stage: a split whose one draw tests every image."""
    from synthlift.data.splits import content_hash

    rows = usable_rows(context.store, request.one("inventory"))
    ids = rows["id"].tolist()
    if not ids:
        raise InputError(
            "an external test set has no usable image",
            rule="at least one image must be readable",
            remedy="see what is wrong with it: synthlift inspect",
        )
    table = pa.table({"draw": [0] * len(ids), "id": ids, "part": ["test"] * len(ids)})
    pq.write_table(table, context.out / SPLIT)
    return {"images": len(ids), "test_hash": content_hash(rows["sha256"])}
