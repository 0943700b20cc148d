"""From the source to locked splits: read, decide design, size and channels, resize, split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.errors import InputError
from synthlift.seeds import seed_for
from synthlift.store import Artefact
from synthlift.store.images import DataKeys, attribute_columns, class_names, usable_rows
from synthlift.study.identity import study_key
from synthlift.study.layout import Layout
from synthlift.study.session import Session

if TYPE_CHECKING:
    from synthlift.data.contract import Source
    from synthlift.data.designs import Design

SPARE_REPEATS = 20
"""Repeats that are laid out in design C, so that adding replicates changes no key."""

_CHOSEN_FOR_ANOTHER = (
    "the choices in the study file were taken for another study, or for other contents of what it "
    "names; they are taken again"
)


@dataclass(frozen=True)
class Opened:
    """The source as read: nothing is decided yet.

    Attributes:
        source: where the images are.
        read: every image, excluded ones included.
        inventory: the usable ones, keyed by content.
        classes: class names in index order.
        counts: usable images by class name.
        published: digest of the published split that the study follows, or None.
    """

    source: Source
    read: Artefact
    inventory: Artefact
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    published: str | None = None

    @property
    def usable(self) -> int:
        """Number of usable images."""
        return sum(self.counts.values())

    @property
    def white(self) -> int | None:
        """The 16-bit grey value that is white; None where no image says, for want of 16 bits."""
        summary = self.read.summary
        return int(summary["white"]) if summary["peak"] else None


@dataclass(frozen=True)
class Prepared:
    """The data of a study, ready for training.

    Attributes:
        opened: the source as read.
        data: keys of inventory, pixels and split.
        split: the split's artefact.
        design: resolved.
        image_size, channels: training size.
        layout: replicates and fits.
        counts: training images per class index, per draw.
        validation_groups, train_groups: groups per class, the smallest over draws.
    """

    opened: Opened
    data: DataKeys
    split: Artefact
    design: Design
    image_size: int
    channels: int
    layout: Layout
    counts: Mapping[int, Mapping[int, int]]
    validation_groups: tuple[int, ...]
    train_groups: tuple[int, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.image_size, self.image_size, self.channels)

    def common(self) -> tuple[DataKeys, int] | None:
        """The first training set with images of every class, and its draw."""
        complete = (draw for draw, counts in self.counts.items() if all(counts.values()))
        return next(((self.data, draw) for draw in complete), None)

    @property
    def test_hash(self) -> str:
        """Content hash of the locked test set (over all folds in design C)."""
        return str(self.split.summary["test_hash"])


def open_data(session: Session, *, few: bool = False, beside: bool = True) -> Opened:
    """Read the source and give the session its identity.

    Args:
        session: what is studied.
        few: take classes that are too small to be tested, too.
        beside: read what the study names beside its data set, too; see ``identity``.

    Raises:
        InputError: the data, or what is named beside them, cannot be used.
    """
    from synthlift.data.given import split_digest
    from synthlift.data.labels import check_names
    from synthlift.data.sources import open_source
    from synthlift.data.stages import inventory_request, read_request
    from synthlift.study.places import asked_of, where_of

    data = session.study.data
    source = open_source(where_of(data, base=session.base), few=few)
    labels = {item.label for item in source.items}
    check_names(data.names, labels)
    for component in (session.study.classifier, *session.study.generators):
        own = component.settings().get("names")
        if isinstance(own, Mapping):  # else its own settings say what is wrong
            check_names(own, labels, setting=f"'names' of '{component.title}'")
    asked = asked_of(data, base=session.base)
    (read,) = session.ask([read_request(source, asked)])
    (inventory,) = session.ask([inventory_request(read)])
    opened = Opened(
        source=source,
        read=read,
        inventory=inventory,
        classes=class_names(session.store, inventory.key),
        counts=dict(inventory.summary["classes"]),
    )
    published = _published(session, opened)
    if published is not None:
        opened = replace(opened, published=split_digest(published))
    session.key = study_key(session, opened, beside=beside)
    if session.preset and session.preset_key not in ("", session.key):
        session.log("warning", text=_CHOSEN_FOR_ANOTHER)
        session.preset.clear()
    return opened


def undeclared_groups(session: Session, opened: Opened) -> list[str]:
    """A warning where names repeat as those of one patient's images do, and nobody grouped them."""
    from synthlift.data.grouping import suspected_groups

    if session.study.data.group is not None:
        return []
    found = suspected_groups(usable_rows(session.store, opened.inventory.key)["id"].tolist())
    if found is None:
        return []
    remedy = f"to group them by name, add {found.option}, or name a column with --group"
    return [f"{found.warning}; {remedy}"]


def decide_design(session: Session, opened: Opened) -> Design:
    """Design A, B or C, as a recorded decision.

    Raises:
        InputError: the recorded one follows another published split than the study does now.
    """
    from synthlift.data.designs import Design, choose_design

    def choose() -> tuple[Any, str]:
        design = choose_design(session.study.data.split, **to_split(session, opened))
        return design.config(), design.reason

    design = Design.from_config(dict(session.decide("design", choose)))
    if design.file != opened.published:
        given = session.study.data.split.file
        raise InputError(
            "the recorded design follows a published split, and the study names none"
            if given is None
            else f"'{given}' is not the split that the recorded design follows",
            rule="a published split is followed exactly; a design is recorded with what it said",
            remedy="put the file back as it was, or choose again with --replan",
        )
    return design


def design_for_fitting(session: Session, opened: Opened) -> Design:
    """The design for a generator that is fitted outside a study; nothing is decided."""
    from synthlift.data.designs import fitting_design

    return fitting_design(session.study.data.split, **to_split(session, opened))


def to_split(session: Session, opened: Opened) -> dict[str, Any]:
    """What a design is chosen by, besides the study file."""
    rows = usable_rows(session.store, opened.inventory.key)
    return {
        "labels": rows["label"],
        "groups": rows["group"],
        "ids": rows["id"],
        "parts": rows["part"],
        "attributes": attribute_columns(session.store, opened.inventory.key),
        "published": _published(session, opened),
    }


def split_file(session: Session) -> Path | None:
    """The published split that the study follows, or None."""
    file = session.study.data.split.file
    return None if file is None else session.base / Path(file).expanduser()


def _published(session: Session, opened: Opened) -> Any:
    from synthlift.data.inventory import OK, read_rows
    from synthlift.data.published import open_split
    from synthlift.store.images import INVENTORY

    path = split_file(session)
    if path is None:
        return None
    rows = read_rows(opened.read.path(INVENTORY))
    return open_split(
        path,
        ids=usable_rows(session.store, opened.inventory.key)["id"],
        unusable=[row.id for row in rows if row.status != OK],
    )


def original_sizes(opened: Opened) -> tuple[list[int], list[int], list[bool]]:
    """Original widths, heights and whether each usable image is grey."""
    from synthlift.store.images import INVENTORY, read_table

    table = read_table(opened.inventory.path(INVENTORY), ["width", "height", "channels"])
    grey = [channels == 1 for channels in table.column("channels").to_pylist()]
    return table.column("width").to_pylist(), table.column("height").to_pylist(), grey


def decide_channels(session: Session, opened: Opened) -> int:
    """Grey or colour, as a recorded decision."""
    from synthlift.data.sizes import choose_channels

    grey = original_sizes(opened)[2]
    wanted = session.study.data.channels
    return int(session.decide("channels", lambda: choose_channels(grey, wanted=wanted)))


def prepare(
    session: Session,
    opened: Opened,
    *,
    design: Design,
    image_size: int,
    channels: int,
    layout: Layout,
) -> Prepared:
    """Resize and split; the test set is locked from here on."""
    from synthlift.data.stages import pixels_request, split_request
    from synthlift.evaluation.defined import require_classes

    if layout.design == "cross_validated":
        rounds = -(-len(layout.replicates) // (SPARE_REPEATS * design.folds))
        repeats = SPARE_REPEATS * max(1, rounds)
        design = replace(design, repeats=repeats, draws=repeats * design.folds)
    pixels, split = session.ask(
        [
            pixels_request(
                opened.inventory.key,
                read=opened.read,
                source=opened.source,
                size=image_size,
                fit=session.study.data.fit,
                channels=channels,
            ),
            split_request(
                opened.inventory.key,
                design=design,
                seed=seed_for(session.study.seed, "split"),
                file=split_file(session) if design.file else None,
            ),
        ]
    )
    draws = sorted({replicate.draw for replicate in layout.replicates})
    images, groups = split.summary["images"], split.summary["groups"]
    index = {name: k for k, name in enumerate(opened.classes)}
    if design.kind == "cross_validated":
        tests = [images[draw]["test"] for draw in draws[: design.folds]]
        require_classes(
            {name: sum(test.get(name, 0) > 0 for test in tests) for name in index},
            metric=session.study.primary.metric,
            of=len(tests),
            on="test",
        )
    return Prepared(
        opened=opened,
        data={"inventory": opened.inventory.key, "pixels": pixels.key, "split": split.key},
        split=split,
        design=design,
        image_size=image_size,
        channels=channels,
        layout=layout,
        counts={
            draw: {k: images[draw]["train"].get(name, 0) for name, k in index.items()}
            for draw in draws
        },
        validation_groups=_fewest(groups, draws, index, "validation"),
        train_groups=_fewest(groups, draws, index, "train"),
    )


def _fewest(
    groups: Any, draws: Sequence[int], classes: Iterable[str], part: str
) -> tuple[int, ...]:
    return tuple(min(groups[draw][part].get(name, 0) for draw in draws) for name in classes)
