"""Test sets from elsewhere: read before the study, looked at only when the test is opened.

What shows a picture that the study trains or chooses on is left out: it would be known by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from synthlift.errors import InputError
from synthlift.spec.data import Beside
from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.images import SPLIT, DataKeys, read_table, usable_rows
from synthlift.study.beside import (
    Images,
    beyond_white,
    kept_apart,
    open_test_set,
    read_compared,
    read_images,
)
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session

_USED = ("train", "validation", "unlabelled")
"""Parts that generators, classifiers or choices learn from."""


@dataclass(frozen=True)
class External:
    """One external test set, ready to be predicted.

    Attributes:
        name: as in the study file.
        data: its artefacts; every image is a test image.
        test_hash: content hash, for the ledger.
        images: usable ones.
        notes: what is to be said of how it was read, and of what was left out.
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
    compared = session.study.data.near_duplicates == "join"
    read = read_compared if compared else read_images
    images = read(session, prepared, source)
    known = {"overlap": images.overlap, "split_of_data": prepared.data["split"]}
    (split,) = session.ask(
        [
            StageRequest(
                stage="split",
                function="synthlift.study.external:all_test",
                inputs={"inventory": images.inventory, **(known if compared else {})},
                label=f"locking '{beside.name}'",
                version="2",
            ),
        ]
    )
    name = f"the external set '{beside.name}'"
    return External(
        name=beside.name,
        data={"inventory": images.inventory, "pixels": images.pixels, "split": split.key},
        test_hash=str(split.summary["test_hash"]),
        images=int(split.summary["images"]),
        notes=(*beyond_white(images, name=name), *_left_out(session, images, split, name=name)),
    )


def _left_out(session: Session, images: Images, split: Artefact, *, name: str) -> list[str]:
    """What shows a picture of the data set, in words."""
    said = []
    if shown := split.summary["shown"]:
        said.append(
            f"{shown} images of {name} show a picture that is trained or validated on; they are "
            "left out of it."
        )
    apart = session.store.open(images.overlap).summary["apart"] if images.overlap else 0
    return [*said, kept_apart(apart, name=f"the images of {name}")] if apart else said


def all_test(request: StageRequest, context: StageContext) -> Summary:
    """Stage: a split whose one draw tests every image but those that show what is learnt from.

    Raises:
        InputError: none is left.
    """
    from synthlift.data.splits import content_hash

    rows = usable_rows(context.store, request.one("inventory"))
    known = _known(request, context) if "overlap" in request.inputs else set[str]()
    kept = [
        (name, content)
        for name, content in zip(rows["id"].tolist(), rows["sha256"].tolist(), strict=True)
        if name not in known
    ]
    if not kept and known:
        raise InputError(
            "every image of an external test set shows a picture that the study trains or "
            "validates on",
            rule="models are tested on pictures that they have not learnt from",
            remedy="leave the set out; or test on it all the same with "
            "data.near_duplicates: ignore",
        )
    if not kept:
        raise InputError(
            "an external test set has no usable image",
            rule="at least one image must be readable",
            remedy="see what is wrong with it: synthlift inspect",
        )
    ids = [name for name, _ in kept]
    table = pa.table({"draw": [0] * len(ids), "id": ids, "part": ["test"] * len(ids)})
    pq.write_table(table, context.out / SPLIT)
    return {
        "images": len(ids),
        "shown": len(rows["id"]) - len(ids),
        "test_hash": content_hash([content for _, content in kept]),
    }


def _known(request: StageRequest, context: StageContext) -> set[str]:
    """External images of pictures that any draw of the study learns from or chooses on."""
    store = context.store
    split = read_table(store.open(request.one("split_of_data")).path(SPLIT), ("id", "part"))
    ids, parts = (split.column(name).to_pylist() for name in ("id", "part"))
    used = {name for name, part in zip(ids, parts, strict=True) if part in _USED}
    pairs = store.open(request.one("overlap")).summary["pairs"]
    return {theirs for theirs, ours in pairs if ours in used}
