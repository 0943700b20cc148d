"""Images beside the data set: unlabelled ones, and pools that a generator names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.errors import InputError, nearest_name
from synthlift.registry import descriptor
from synthlift.spec.data import Beside, Data, Pool
from synthlift.spec.licences import copy_licences
from synthlift.spec.study import Component
from synthlift.store import Artefact, StageRequest
from synthlift.store.images import usable_rows
from synthlift.study.components import settings_of
from synthlift.study.places import beside_of, pool_of, unlabelled_of

if TYPE_CHECKING:
    from synthlift.data.contract import Source
    from synthlift.study.preparation import Opened, Prepared
    from synthlift.study.session import Session

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Images:
    """Images of a source beside the data set, at the study's size.

    Attributes:
        inventory, pixels: keys of the artefacts.
        overlap: key of the comparison with the data set; "" where none was made.
        read: what the inventory was taken from.
    """

    inventory: str
    pixels: str
    read: Artefact
    overlap: str = ""

    def as_list(self) -> list[str]:
        """The keys as inputs of a stage."""
        return [self.inventory, self.pixels, self.overlap]


def read_images(session: Session, prepared: Prepared, source: Source) -> Images:
    """Read a source as the data set was read, and bring it to the study's size."""
    from synthlift.data.stages import inventory_request, pixels_request

    (read,) = session.ask([_read_request(session, prepared.opened, source)])
    (inventory,) = session.ask([inventory_request(read)])
    (pixels,) = session.ask(
        [
            pixels_request(
                inventory.key,
                read=read,
                source=source,
                size=prepared.image_size,
                fit=session.study.data.fit,
                channels=prepared.channels,
            )
        ]
    )
    return Images(inventory.key, pixels.key, read)


def _read_request(session: Session, opened: Opened, source: Source) -> StageRequest:
    from synthlift.data.inventory import Asked
    from synthlift.data.stages import read_request

    # One file is one picture wherever it lies: what is white is not told by each source anew.
    limit, shares = session.study.data.max_pixels, source.where.shares
    asked = Asked(max_pixels=limit, white=opened.white, shares=shares)
    return read_request(source, asked)


def digests_beside(session: Session, opened: Opened) -> dict[str, str]:
    """What the images beside the data set are, by what they are for; none is read before all open.

    Raises:
        InputError: a source cannot be read, or has a class that the study does not know.
    """
    sources = _sources(session, opened.classes)
    read = session.ask(_read_request(session, opened, source) for source in sources.values())
    return {name: one.summary["digest"] for name, one in zip(sources, read, strict=True)}


def counts_beside(session: Session, classes: Sequence[str]) -> list[int]:
    """Images of every source beside the data set.

    Raises:
        InputError: as :func:`digests_beside`.
    """
    return [len(source.items) for source in _sources(session, classes).values()]


def _sources(session: Session, classes: Sequence[str]) -> dict[str, Source]:
    data, base = session.study.data, session.base
    found = {
        f"external {beside.name}": open_test_set(beside, base=base, classes=classes)
        for beside in data.external
    }
    for number, name in enumerate(data.unlabelled):
        found[f"{UNLABELLED} {number}"] = _open_unlabelled(name, base=base)
    for component in session.study.generators:
        for name, pool in pools_of(component).items():
            found[f"generator {component.title}/{name}"] = _open_pool(
                session, classes, component, pool
            )
    return found


def sources_beside(data: Data, *, base: Path, classes: Sequence[str]) -> dict[str, Source]:
    """What the part ``data:`` names beside the data set, opened but not read, by its name in words.

    Raises:
        InputError: as :func:`digests_beside`.
    """
    found = {
        f"the external set '{beside.name}'": open_test_set(beside, base=base, classes=classes)
        for beside in data.external
    }
    for name in data.unlabelled:
        found[f"the unlabelled images '{name}'"] = _open_unlabelled(name, base=base)
    return found


def open_test_set(beside: Beside, *, base: Path, classes: Sequence[str]) -> Source:
    """An external test set, opened but not read.

    Raises:
        InputError: it cannot be, or has a class that the study does not know.
    """
    from synthlift.data.sources import open_source

    source = open_source(beside_of(beside, base=base), strict=False)
    require_known(source, classes, name=f"the external set '{beside.name}'")
    return source


def require_known(source: Source, classes: Sequence[str], *, name: str) -> None:
    """Refuse classes that the study does not have.

    Raises:
        InputError: a class is neither the study's nor mapped to one of its.
    """
    unknown = sorted({item.label for item in source.items} - set(classes))
    if unknown:
        shown = ", ".join(f"'{label}'" for label in unknown[:5])
        near = (get_close_matches(unknown[0], classes, n=1) or [classes[0]])[0]
        raise InputError(
            f"{name} has classes that the study does not know: {shown}"
            f"{nearest_name(unknown[0], classes)}",
            rule=f"the study's classes are: {', '.join(classes)}",
            remedy=f"map each one under 'classes:' there, such as {{{unknown[0]}: {near}}}, or "
            f'leave its images out: {{{unknown[0]}: ""}}',
        )


def open_beside(session: Session, prepared: Prepared) -> None:
    """Read what the study names beside its data set into ``session.beside``.

    Raises:
        InputError: a source cannot be read, or a pool has a class that the study does not know.
    """
    found: dict[str, tuple[Images, ...]] = {}
    unlabelled = session.study.data.unlabelled
    if unlabelled:
        found[UNLABELLED] = tuple(
            read_compared(session, prepared, _open_unlabelled(name, base=session.base))
            for name in unlabelled
        )
    for component in session.study.generators:
        for name, pool in pools_of(component).items():
            source = _open_pool(session, prepared.opened.classes, component, pool)
            found[f"{component.title}/{name}"] = (read_compared(session, prepared, source),)
    session.beside = found
    if any(_needs_masks(component) for component in session.study.generators):
        session.masks = _open_masks(session, prepared)


def inputs_beside(session: Session, component: Component) -> dict[str, str | list[str]]:
    """What a fit of this generator reads beside the data set, as inputs of its stage."""
    inputs: dict[str, str | list[str]] = {
        f"source {name}": session.beside[f"{component.title}/{name}"][0].as_list()
        for name in pools_of(component)
    }
    if _needs_masks(component):
        inputs["masks"] = session.masks
    return {**inputs, **unlabelled_beside(session)}


def unlabelled_beside(session: Session) -> dict[str, str | list[str]]:
    """Images without a class, as inputs of a stage."""
    several = session.beside.get(UNLABELLED)
    if several is None:
        return {}
    return {UNLABELLED: [key for one in several for key in one.as_list()]}


def _needs_masks(component: Component) -> bool:
    if "masks" in descriptor("generators", component.kind).needs:
        return True
    wanted: bool = settings_of("generators", component).wants_masks()
    return wanted


def _open_masks(session: Session, prepared: Prepared) -> str:
    """Bring the masks to the study's size; the key of the artefact."""
    from synthlift.data.stages import masks_request

    opened, data = prepared.opened, session.study.data
    if data.masks is None:
        needy = next(c.title for c in session.study.generators if _needs_masks(c))
        raise InputError(
            f"generator '{needy}' needs masks, and the data have none",
            rule="it makes images from masks, or from what they mark",
            remedy="name the folder or column of masks under data.masks",
        )
    (masks,) = session.ask(
        [
            masks_request(
                opened.inventory.key,
                read=opened.read,
                source=opened.source,
                size=prepared.image_size,
                fit=data.fit,
            )
        ]
    )
    return masks.key


def pools_of(component: Component) -> dict[str, Pool]:
    """The further images that a generator names."""
    told: Mapping[str, Mapping[str, object]] = settings_of("generators", component).pools()
    return {name: Pool.model_validate(pool) for name, pool in told.items()}


def copy_terms(component: Component, *, base: Path, target: Path) -> None:
    """Lay the terms that lie with the images of a generator's pools into its folder."""
    for pool in pools_of(component).values():
        copy_licences(pool_of(pool, base=base).files, target)


def _open_unlabelled(name: str, *, base: Path) -> Source:
    from synthlift.data.sources import open_source

    return open_source(unlabelled_of(name, base=base), strict=False)


def _open_pool(
    session: Session, classes: Sequence[str], component: Component, pool: Pool
) -> Source:
    from synthlift.data.sources import open_source

    where, named = pool_of(pool, base=session.base), f"the pool of generator '{component.title}'"
    try:
        source = open_source(where, strict=False)
    except InputError as error:
        if not pool.attributes:
            raise
        open_source(replace(where, attributes=()), strict=False)  # Else they are not the reason.
        raise _not_asked_for(component, pool, error) from None
    require_known(source, classes, name=named)
    if not source.items:
        raise InputError(
            f"{named} ('{pool.source}') has no image of the study's classes",
            rule="at least one image of one class is needed",
            remedy="map its classes to the study's under 'classes:', or give another folder",
        )
    return source


def _not_asked_for(component: Component, pool: Pool, error: InputError) -> InputError:
    """What to say of a pool that can be read, but not with its attributes."""
    columns = ", ".join(pool.attributes)
    table = "" if pool.metadata else "metadata: TABLE.csv, "
    return InputError(
        f"the images of the pool of generator '{component.title}' cannot be asked for by "
        f"{columns}: {error.given}",
        rule=f"the table of '{pool.source}' has a column for each attribute that they are asked "
        "for by, with a few values",
        remedy=f"leave {columns} out; or have the table say it, under generator "
        f"'{component.title}': {table}attributes: [{columns}]",
    )


def read_compared(session: Session, prepared: Prepared, source: Source) -> Images:
    """As :func:`read_images`, and find what shows a picture of the data set.

    Raises:
        InputError: no image can be used.
    """
    from synthlift.data.overlap import overlap_request

    images = read_images(session, prepared, source)
    if not len(usable_rows(session.store, images.inventory)["id"]):
        raise InputError(
            f"'{source.where.source}' has no usable image",
            rule="at least one image must be readable",
            remedy="see what is wrong with it: synthlift inspect",
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
    return replace(images, overlap=overlap.key)


def beyond_white(images: Images, *, name: str) -> list[str]:
    """What to say of images with 16-bit values that the data set's white cannot hold."""
    found = images.read.summary
    said = (
        f"{found['clipped']} images of {name} hold 16-bit values above {found['white']}, which is "
        "white in the data set; these became white."
    )
    return [said] if found["clipped"] else []


def notes_beside(session: Session) -> list[str]:
    """What was left out of the images beside the data set, in words."""
    notes = []
    for role, several in session.beside.items():
        named = "the unlabelled images" if role == UNLABELLED else f"'{role.rpartition('/')[0]}'"
        notes += [note for one in several for note in beyond_white(one, name=named)]
        found = [session.store.open(one.overlap).summary for one in several]
        shown = sum(len({theirs for theirs, _ in one["pairs"]}) for one in found)
        apart = sum(one["apart"] for one in found)
        if shown and role == UNLABELLED:
            notes.append(
                f"{shown} unlabelled images show a picture of the data set and were left out."
            )
        elif shown:
            notes.append(
                f"{shown} images of {named} show a picture of the data set; "
                "they are left out wherever that picture is validated or tested on."
            )
        if apart:
            images = named if role == UNLABELLED else f"the images of {named}"
            notes.append(kept_apart(apart, name=images))
    return notes


def kept_apart(count: int, *, name: str) -> str:
    """What to say of images that look like one of the data set and were kept."""
    return (
        f"{count} of {name} look like an image of the data set and were kept, since unrelated "
        "images resemble each other as much here."
    )
