"""Judging images from elsewhere against a folder of real ones, without any generator."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.errors import InputError, nearest_name
from synthlift.seeds import seed_for
from synthlift.spec.data import Pool
from synthlift.spec.study import FilterComponent
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import as_inputs
from synthlift.study.beside import Images, read_images
from synthlift.study.components import resolve_component
from synthlift.study.flips import settings_of_draws
from synthlift.study.layout import make_layout
from synthlift.study.modelling import Modelling, scorer_request
from synthlift.study.places import pool_of, where_of
from synthlift.study.preparation import (
    Opened,
    Prepared,
    design_for_fitting,
    open_data,
    original_sizes,
    prepare,
)
from synthlift.study.pretrained import checkpoint_for
from synthlift.study.session import Session
from synthlift.study.stages.curation import VERDICTS

if TYPE_CHECKING:
    from synthlift.data.contract import Source
    from synthlift.data.inventory import Row

FILTERS: tuple[FilterComponent, ...] = tuple(
    FilterComponent(kind=kind)
    for kind in (
        "exact_duplicates",
        "near_copies",
        "pixel_copies",
        "low_contrast",
        "quality",
        "outliers",
        "confidence_band",
    )
)
"""Applied where none are named: what is rejected depends on the images, not on a wanted share."""


FEWEST = 3
"""Real images without which no distance between them can be compared."""


@dataclass(frozen=True)
class Judgements:
    """What was found out about a pool.

    Attributes:
        opened, prepared: the real images.
        source: the pool, opened.
        images: its images at the study's size, as keys.
        rows: its inventory, unusable images included.
        columns: id, label, rejected_by, reason, nearest_real and score_<filter> of every usable
            image.
        facts: copying figures, closest pairs, held-out control, see ``stages.curation``.
    """

    opened: Opened
    prepared: Prepared
    source: Source
    images: Images
    rows: tuple[Row, ...] = field(repr=False)
    columns: dict[str, list[Any]] = field(repr=False)
    facts: dict[str, Any] = field(repr=False)


def curate_pool(session: Session, pool: Pool, *, filters: Sequence[FilterComponent]) -> Judgements:
    """Judge every image of a pool against the session's data.

    Raises:
        InputError: the pool cannot be read, is the real data itself, has an unknown class or no
            usable image; or a filter is unknown.
    """
    from synthlift.data.inventory import read_rows
    from synthlift.data.overlap import overlap_request
    from synthlift.store.images import INVENTORY, usable_rows

    resolved = [
        {"name": component.title, **resolve_component("filters", component)}
        for component in filters
    ]
    texts = checkpoint_for(session.study, filters)
    _refuse_same_place(session, pool)
    classes = _classes_of(session)
    source = _open(pool, base=session.base, classes=classes)
    opened = open_data(session, beside=False)
    if set(opened.classes) != set(classes):
        # Classes without a usable image are gone now.
        _require_known(source, opened.classes)
    prepared = _prepare(session, opened)
    _require_enough(prepared)
    images = read_images(session, prepared, source)
    _refuse_same_content(session, opened, images, pool)
    if not len(usable_rows(session.store, images.inventory)["id"]):
        raise InputError(
            f"the pool '{pool.source}' has no usable image",
            rule="at least one image must be readable",
            remedy=f"see what is wrong with it: synthlift inspect {shlex.quote(pool.source)}",
        )
    (overlap,) = session.ask(
        [
            overlap_request(
                inventory=prepared.data["inventory"],
                pixels=prepared.data["pixels"],
                other=images.inventory,
                other_pixels=images.pixels,
            )
        ]
    )
    scorer = _scorer(session, prepared)
    (judged,) = session.ask(
        [
            StageRequest(
                stage="curate",
                function="synthlift.study.stages.curation:judge_pool",
                config={"draw": 0, "filters": resolved, **texts},
                inputs={
                    **as_inputs(prepared.data),
                    "scorer": scorer.key,
                    "pool": [images.inventory, images.pixels, overlap.key],
                },
                seed=seed_for(session.study.seed, "curate"),
                numerics=session.numerics,
                label="judging images",
                local={"plugins": session.plugin_paths()},
            )
        ]
    )
    return Judgements(
        opened=opened,
        prepared=prepared,
        source=source,
        images=images,
        rows=tuple(read_rows(images.read.path(INVENTORY))),
        columns=json.loads(judged.path(VERDICTS).read_text(encoding="utf-8")),
        facts=dict(judged.summary),
    )


def _classes_of(session: Session) -> tuple[str, ...]:
    """Class names of the real data as listed, before an image is decoded."""
    from synthlift.data.sources import open_source

    source = open_source(where_of(session.study.data, base=session.base))
    return tuple(sorted({item.label for item in source.items}))


def _open(pool: Pool, *, base: Path, classes: Sequence[str]) -> Source:
    from synthlift.data.sources import open_source

    source = open_source(pool_of(pool, base=base), strict=False)
    _require_known(source, classes)
    if not source.items:
        raise InputError(
            f"the pool '{pool.source}' has no image of the real data's classes",
            rule="at least one image of one class is needed",
            remedy="give another folder, or leave fewer classes out",
        )
    return source


def _require_known(source: Source, classes: Sequence[str]) -> None:
    unknown = sorted({item.label for item in source.items} - set(classes))
    if unknown:
        shown = ", ".join(f"'{label}'" for label in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        near = (get_close_matches(unknown[0], classes, n=1) or [classes[0]])[0]
        raise InputError(
            f"the pool has classes that the real data do not have: {shown}{more}"
            f"{nearest_name(unknown[0], classes)}",
            rule=f"the real classes are: {', '.join(classes)}",
            remedy=f"map each one, such as --class '{unknown[0]}={near}', or leave its images out: "
            f"--class '{unknown[0]}='",
        )


def _refuse_same_place(session: Session, pool: Pool) -> None:
    ours = where_of(session.study.data, base=session.base).path
    theirs = pool_of(pool, base=session.base).path
    if ours.exists() and theirs.exists() and ours.resolve() == theirs.resolve():
        raise _same(pool.source)


def _refuse_same_content(session: Session, opened: Opened, images: Images, pool: Pool) -> None:
    from synthlift.store.images import usable_rows

    ours = usable_rows(session.store, opened.inventory.key)["sha256"]
    theirs = usable_rows(session.store, images.inventory)["sha256"]
    if len(theirs) and set(theirs.tolist()) == set(ours.tolist()):
        raise _same(pool.source)


def _same(source: str) -> InputError:
    return InputError(
        f"the pool '{source}' is the real data itself",
        rule="images are judged against real ones that they were not taken from",
        remedy="name the generated images first and the real ones with --real",
    )


def _prepare(session: Session, opened: Opened) -> Prepared:
    from synthlift.data.sizes import choose_channels, choose_size

    widths, heights, grey = original_sizes(opened)
    data = session.study.data
    return prepare(
        session,
        opened,
        design=design_for_fitting(session, opened),
        image_size=data.image_size
        if isinstance(data.image_size, int)
        else choose_size(widths, heights)[0],
        channels=choose_channels(grey, wanted=data.channels)[0],
        layout=make_layout("fixed", replicates=1, fits=1),
    )


def _require_enough(prepared: Prepared) -> None:
    images = prepared.split.summary["images"][0]
    train, held_out = (sum(images[part].values()) for part in ("train", "validation"))
    if train < FEWEST or not held_out:
        raise InputError(
            f"of the real images {train} are left to compare with and {held_out} to hold out",
            rule=f"judging takes at least {FEWEST} real images and 1 held out",
            remedy="give more real images; test images that the data bring are left alone",
        )


def _scorer(session: Session, prepared: Prepared) -> Artefact:
    """A classifier of the real training images, for agreement and features."""
    shared = Modelling(
        data=prepared.data,
        classifier=resolve_component("classifiers", session.study.classifier),
        training=settings_of_draws(session, prepared, [0], steps=None),
        counts=prepared.counts,
    )
    (scorer,) = session.ask([scorer_request(session, shared, prepared.layout.units[0])])
    return scorer
