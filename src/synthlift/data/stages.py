"""The stages of the data, and the requests for them.

``read`` → ``inventory`` → ``pixels``, ``masks`` and ``split``. Only ``read`` is keyed by the place
and the times of the files, so that an unchanged folder is not decoded again. Its summary names the
digest of what was found, and ``inventory`` – a copy of the usable rows – is keyed by that digest
alone; so are, through it, pixels, split and everything after them (masks by their own digest too).
The same images elsewhere, or with other times, thus lead to the same keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from synthlift.data.contract import Source, Where
from synthlift.data.decode import WHITE_16_BIT, UnusableImageError, without_pillow_warnings
from synthlift.data.designs import Design
from synthlift.data.given import Published, split_digest
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import (
    DESCRIBED,
    Asked,
    Row,
    attribute_columns,
    conversion_notes,
    describe,
    describe_exclusions,
    read_rows,
    take_inventory,
    usable,
    write_rows,
    write_table,
)
from synthlift.data.kept import Keeper, kept_images, link_file, link_kept
from synthlift.data.masks import load_mask, mask_facts, read_masks, require_equal_sizes
from synthlift.data.parallel import in_order
from synthlift.data.published import open_split
from synthlift.data.sizes import Fit, resize, resize_mask
from synthlift.data.sources import open_source
from synthlift.data.splits import SplitTable, content_hash, count_parts, make_split
from synthlift.errors import StageError
from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.images import INVENTORY, MASKS, PIXELS, SPLIT
from synthlift.types import UInt8

_HERE = "synthlift.data.stages"
_WRITTEN_AT_ONCE = 2**20


# ── requests ──────────────────────────────────────────────────────────────────────────────────


def read_request(source: Source, asked: Asked) -> StageRequest:
    """Ask for all images of ``source`` to be decoded once, checked and counted."""
    return StageRequest(
        stage="read",
        function=f"{_HERE}:read",
        version="4" if asked.shares else "3",
        config={
            "fingerprint": source.fingerprint,
            # The same files without their classes are other data.
            **({} if source.where.labelled else {"labelled": False}),
            **asked.as_json(),
        },
        label="reading the images",
        local={
            "source": source.where.as_json(),
            "split": None if asked.parting.file is None else str(asked.parting.file),
        },
    )


def inventory_request(read: Artefact) -> StageRequest:
    """Ask for the usable rows of what ``read`` found, keyed by content."""
    return StageRequest(
        stage="inventory",
        function=f"{_HERE}:inventory",
        config={"digest": read.summary["digest"]},
        label="listing the images",
        local={"read": read.key},
    )


def pixels_request(
    inventory: str, *, read: Artefact, source: Source, size: int, fit: Fit, channels: int
) -> StageRequest:
    """Ask for all usable images at one size.

    Args:
        inventory: key of the inventory.
        read: what that inventory was taken from.
        source: where the images are now.
        size, fit, channels: as in :func:`~synthlift.data.sizes.resize`.
    """
    return StageRequest(
        stage="pixels",
        function=f"{_HERE}:pixels",
        config={"size": size, "fit": fit, "channels": channels, "white": read.summary["white"]},
        inputs={"inventory": inventory},
        label=f"bringing the images to {size} pixels",
        # A limit that let an image in once lets it in again; the key need not know it.
        local={
            "source": source.where.as_json(),
            "max_pixels": read.record["config"]["max_pixels"],
            "read": read.key,
        },
    )


def masks_request(
    inventory: str, *, read: Artefact, source: Source, size: int, fit: Fit
) -> StageRequest:
    """Ask for the masks of all usable images at one size; arguments as :func:`pixels_request`."""
    return StageRequest(
        stage="masks",
        function=f"{_HERE}:masks",
        config={"size": size, "fit": fit, "digest": read.summary["masks"]["digest"]},
        inputs={"inventory": inventory},
        label=f"bringing the masks to {size} pixels",
        local={"source": source.where.as_json()},
    )


def split_request(
    inventory: str, *, design: Design, seed: int, file: Path | None = None
) -> StageRequest:
    """Ask for the split of an inventory by a resolved design.

    Args:
        inventory: key of the inventory.
        design: resolved for its rows.
        seed: of everything that is drawn.
        file: where the published split lies that the design follows.
    """
    assert (file is None) == (design.file is None)
    return StageRequest(
        stage="split",
        function=f"{_HERE}:split",
        config=design.config(),
        inputs={"inventory": inventory},
        seed=seed,
        # Version 2: images without a value are one fold with those whose value is "missing".
        version="1" if design.leave_one_out is None else "2",
        label="splitting into train, validation and test",
        # What the file says is in the design; where it lies changes nothing.
        local={} if file is None else {"file": str(file)},
    )


# ── stages ────────────────────────────────────────────────────────────────────────────────────


def read(request: StageRequest, context: StageContext) -> Summary:
    """Write ``inventory.parquet`` with a row for every image, excluded ones included.

    Small images are kept beside it as they were decoded (:mod:`synthlift.data.kept`).
    """
    source = _reopen(request)
    if source.fingerprint != request.config["fingerprint"]:
        raise StageError(f"'{source.where.source}' changed while it was being read; run again")
    asked = Asked.from_json(request.config, split=request.local.get("split"))
    with Keeper(context.out, count=len(source.items)) as keeper:
        found = take_inventory(source, asked, progress=context.progress, keep=keeper.add)
    if found.white != WHITE_16_BIT:
        keeper.discard()
    context.digests.update(keeper.digests)
    write_rows(context.out / INVENTORY, found.rows)
    masks = read_masks(source, usable(found.rows))
    require_equal_sizes(masks.differing)
    return {
        **describe_exclusions(found.rows),
        **describe(found.rows),
        "white": found.white,
        "peak": max(found.peaks, default=0),
        "clipped": found.clipped,
        "notes": [*source.notes, *conversion_notes(found)],
        "masks": asdict(masks),
        "ignored": dict(source.ignored),
    }


def inventory(request: StageRequest, context: StageContext) -> Summary:
    """Write ``inventory.parquet`` with the usable rows only, sorted by id."""
    artefact = context.store.open(request.local["read"])
    if artefact.summary["usable"] == artefact.summary["read"]:
        context.digests.update(link_file(artefact, INVENTORY, context.out / INVENTORY))
        return {name: artefact.summary[name] for name in DESCRIBED}
    rows = usable(read_rows(artefact.path(INVENTORY)))
    found = describe(rows)
    assert found["digest"] == request.config["digest"]
    write_rows(context.out / INVENTORY, rows)
    return found


def pixels(request: StageRequest, context: StageContext) -> Summary:
    """Write ``pixels.npy``, uint8 [N, size, size, C], row i for the i-th usable inventory row.

    Raises:
        StageError: a file no longer shows what the inventory recorded.
    """
    size, channels = int(request.config["size"]), int(request.config["channels"])
    key = request.local["read"]
    read = context.store.open(key) if context.store.has(key) else None
    if read and (linked := link_kept(read, context.out / PIXELS, shape=(size, size, channels))):
        context.digests.update(linked)
        return {"shape": [read.summary["usable"], size, size, channels]}
    rows = usable(read_rows(context.store.open(request.one("inventory")).path(INVENTORY)))
    shape = (len(rows), size, size, channels)
    kept = kept_images(read) if read else {}
    source = None if all(row.id in kept for row in rows) else _reopen(request)

    def prepare(row: Row) -> UInt8:
        image = kept.get(row.id)
        if image is None:
            assert source is not None
            image = _load_unchanged(source, row, request)
        return resize(image, size=size, fit=request.config["fit"], channels=channels)

    # Plain writes, since a full disk kills a process that writes through a memory map.
    # Buffered, since a system call for each small image would stop the threads that decode.
    with (
        (context.out / PIXELS).open("wb", buffering=_WRITTEN_AT_ONCE) as stream,
        without_pillow_warnings(),
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for image in in_order(prepare, rows, context.progress):
            stream.write(np.ascontiguousarray(image).data)
    return {"shape": list(shape)}


def masks(request: StageRequest, context: StageContext) -> Summary:
    """Write ``masks.npy``, uint8 [N, size, size], row i for the i-th usable inventory row.

    Nearest neighbour, placed as the image is; all 0 where an image has no mask. The summary lists
    the ids of those images.

    Raises:
        StageError: a mask is no longer what was recorded.
    """
    source = _reopen(request)
    size, fit = int(request.config["size"]), request.config["fit"]
    rows = usable(read_rows(context.store.open(request.one("inventory")).path(INVENTORY)))
    hashes: dict[str, str] = {}

    def prepare(row: Row) -> UInt8:
        mask = load_mask(source, row, hashes)
        if mask is None:
            return np.zeros((size, size), np.uint8)
        return np.ascontiguousarray(resize_mask(mask, size=size, fit=fit))

    with (context.out / MASKS).open("wb") as stream, without_pillow_warnings():
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), size, size)}
        np.lib.format.write_array_header_1_0(stream, header)
        for mask in in_order(prepare, rows, context.progress):
            stream.write(mask.data)
    if mask_facts(hashes).digest != request.config["digest"]:
        raise StageError("a mask changed while the study ran; run the same command again")
    without = [row.id for row in rows if not hashes.get(row.id)]
    return {"shape": [len(rows), size, size], "without": without}


def split(request: StageRequest, context: StageContext) -> Summary:
    """Write ``split.parquet``: draw, id, part.

    Raises:
        StageError: the published split no longer says what the design was resolved with.
    """
    rows = usable(read_rows(context.store.open(request.one("inventory")).path(INVENTORY)))
    design = Design.from_config(dict(request.config))
    ids = [row.id for row in rows]
    table = make_split(
        design,
        ids=ids,
        labels=[row.label for row in rows],
        groups=[row.group for row in rows],
        seed=request.seed,
        parts=[row.part for row in rows],
        attributes=attribute_columns(rows),
        published=_published(request, design, ids),
    )
    columns = {"draw": table.draw, "id": table.id.tolist(), "part": table.part.tolist()}
    write_table(context.out / SPLIT, columns)
    return _describe_split(table, rows, design)


def _published(request: StageRequest, design: Design, ids: Sequence[str]) -> Published | None:
    if design.file is None:
        return None
    file = Path(request.local["file"])
    found = open_split(file, ids=ids, unusable=None)
    if split_digest(found) != design.file:
        raise StageError(f"'{file.name}' changed while the study was being prepared; run again")
    return found


def _describe_split(table: SplitTable, rows: list[Row], design: Design) -> Summary:
    counts = count_parts(
        table,
        label_of={row.id: row.label for row in rows},
        group_of={row.id: row.group for row in rows},
    )
    content = {row.id: row.sha256 for row in rows}
    tested = sorted(set(table.id[table.part == "test"].tolist()))
    return {
        "design": design.kind,
        "folds": design.folds,
        "repeats": design.repeats,
        "draws": design.draws,
        "images": counts["images"],
        "groups": counts["groups"],
        "train_per_class": [draw["train"] for draw in counts["images"]],
        "test_hash": content_hash([content[name] for name in tested]),
    }


def _reopen(request: StageRequest) -> Source:
    return open_source(Where.from_json(request.local["source"]), strict=False)


def _load_unchanged(source: Source, row: Row, request: StageRequest) -> UInt8:
    limit: Any = request.local["max_pixels"]
    try:
        image = source.load(row.path, max_pixels=limit, white=request.config["white"]).pixels
    except UnusableImageError as error:
        raise StageError(f"'{row.path}' changed while the study ran: {error.reason}") from error
    if pixel_hash(image) != row.sha256:
        raise StageError(
            f"'{row.path}' changed while the study ran: it shows another picture than when it was "
            "read; run the same command again"
        )
    return image
