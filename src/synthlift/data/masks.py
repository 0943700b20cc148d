"""Masks beside images: where something is, as a picture of the same size."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import (
    Decoded,
    UnusableImageError,
    decode_file,
    picture_size,
    without_pillow_warnings,
)
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import Row
from synthlift.data.overlay import Overlay
from synthlift.data.parallel import in_order
from synthlift.data.readers.listing import File, encodable, walk_below
from synthlift.errors import InputError
from synthlift.store import digest
from synthlift.types import UInt8

MAX_PIXELS = 400_000_000
_EXAMPLES = 5
_AGAIN = "save them again, or remove them"
_ENDING = "_mask"
_RULE = (
    "a mask has the size of its image, and is called as the image is, with any image's ending, "
    "or with _mask before the ending"
)


def read_mask(path: Path) -> UInt8:
    """Read a mask, uint8 [H, W]: 0 = background, the stored grey value elsewhere.

    What is transparent is background. Where only black is drawn on it, that is what is marked.

    Raises:
        UnusableImageError: no such file, no image, or a colour picture.
    """
    return as_mask(functools.partial(decode_file, path))


def as_mask(load: Callable[..., Decoded]) -> UInt8:
    """A mask, as :func:`read_mask`, from what decodes it with the keywords of ``decode_file``.

    Raises:
        UnusableImageError: cannot be decoded, or a colour picture.
    """
    # Values of 16-bit masks number regions: scaled to 8 bits, the small ones would become 0.
    pixels = load(max_pixels=MAX_PIXELS, white=255, mask=True).pixels
    if pixels.shape[2] != 1:
        raise UnusableImageError("mask", "a colour picture; a mask has one channel")
    return np.ascontiguousarray(pixels[:, :, 0])


def with_masks(source: Source, where: Where, *, check: bool = True) -> Source:
    """The same source with its masks, where ``where.masks`` names a folder of them.

    Where the reader has filled them in from a column, nothing is left to do.

    Raises:
        InputError: neither a folder nor such a column; besides as :func:`with_mask_folder`.
    """
    if where.masks is None or any(item.mask for item in source.items):
        return source
    if where.beside(where.masks).is_dir():
        return with_mask_folder(source, where, check=check)
    raise InputError(
        f"there is no folder '{where.masks}', and no image has a mask in a column of that name",
        rule="'masks' is a folder with a mask for each image, or a column with their paths",
        remedy=f"check the spelling; a folder was looked for at {where.beside(where.masks)}",
    )


# ── a folder of masks ─────────────────────────────────────────────────────────────────────────


def with_mask_folder(source: Source, where: Where, *, check: bool = True) -> Source:
    """The same source with a mask for each image that has one in the folder ``where.masks``.

    A mask lies at its image's relative path, with any image's ending or with ``_mask`` before it.
    The folder may be the images' own; masks are then told by ``_mask`` alone (of several, called
    ``_mask``, ``_mask_1`` …, the first is taken). Masks that a reader took for images are none any
    more.

    Args:
        source: without masks.
        where: ``masks`` is a folder.
        check: compare the sizes of masks and images, from their headers.

    Raises:
        InputError: the folder holds no mask of any image, several for one, or one that is no
            picture or has another size than its image.
    """
    assert where.masks is not None
    root, given = where.beside(where.masks).resolve(), where.masks
    listed: list[File] = []
    walk_below(root, ".", listed, Counter())
    masks = {path: root / path for path, *_ in listed}
    inside = _inside(source, root)
    own = len(inside) == len(source.items)
    taken = _called_masks(masks) if own else set(inside.values())
    if own:
        masks = {path: file for path, file in masks.items() if path in taken}
    items = [item for item in source.items if inside.get(item.id) not in taken]
    names = {item.id: inside.get(item.id, item.path) for item in items}
    found = _match(names, masks, by_name=not own, given=given)
    if not found:
        raise InputError(
            f"none of {len(items):,} images has a mask in '{given}' ({len(masks):,} pictures)",
            rule=_RULE,
            remedy="give the folder in which masks lie as the images lie in theirs",
        )
    if check:
        _check_sizes(source, items, {name: root / mask for name, mask in found.items()})
    notes = _notes(given, items, found, dropped=len(source.items) - len(items), masks=masks)
    fingerprint = digest([source.fingerprint, encodable(str(root)), sorted(listed)])
    items = [replace(item, mask=found.get(item.id, "")) for item in items]
    return Overlay(
        source,
        items=items,
        fingerprint=fingerprint,
        notes=notes,
        load_mask=lambda mask: read_mask(root / mask),
    )


def masks_in(folder: Path, *, names: Mapping[str, str]) -> dict[str, Path]:
    """The masks of images outside a data set.

    Args:
        folder: where they lie, as the images lie in theirs.
        names: by any key, the image's path relative to its own folder.

    Returns:
        By key, where there is one.

    Raises:
        InputError: the folder holds no mask of any image, or several for one.
    """
    listed: list[File] = []
    if folder.is_dir():
        walk_below(folder.resolve(), ".", listed, Counter())
    masks = {path: folder / path for path, *_ in listed}
    found = _match(names, masks, by_name=True, given=str(folder))
    if not found:
        raise InputError(
            f"none of {len(names):,} images has a mask in '{folder}' ({len(masks):,} pictures)",
            rule=_RULE,
            remedy="give the folder in which masks lie as the images lie in theirs",
        )
    return {key: masks[path] for key, path in found.items()}


def mask_as_shown(file: Path, *, name: str, image: tuple[int, int]) -> UInt8:
    """A mask, uint8 [H, W], of an image of this width and height.

    Raises:
        InputError: it cannot be read, or has another size than the image.
    """
    try:
        mask = read_mask(file)
    except UnusableImageError as error:
        raise _refusal([f"{file.name} ({error.reason})"], "masks cannot be read", _AGAIN) from None
    differing = differing_size(name, mask, image=image)
    require_equal_sizes([differing] if differing else [])
    return mask


def _inside(source: Source, root: Path) -> dict[str, str]:
    """Paths relative to the masks' folder of the items that lie in it, by id."""
    resolve = functools.cache(Path.resolve)
    found = {}
    for item in source.items:
        file = source.file(item.path)
        if file is not None and resolve(file.parent).is_relative_to(root):
            found[item.id] = (resolve(file.parent) / file.name).relative_to(root).as_posix()
    return found


def _called_masks(paths: Iterable[str]) -> set[str]:
    """Of pictures in one folder those called ``<stem>_mask`` or ``<stem>_mask_1`` beside a stem."""
    stems = {_stem(path) for path in paths}
    named = {path: re.fullmatch(rf"(.+){_ENDING}(_\d+)?", _stem(path)) for path in paths}
    return {path for path, found in named.items() if found and found[1] in stems}


def _match(
    names: Mapping[str, str], masks: Mapping[str, Path], *, by_name: bool, given: str
) -> dict[str, str]:
    """Mask by item id; ``names`` are the images' relative paths."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in sorted(masks):
        by_stem[_stem(path)].append(path)
    found, several = {}, []
    for name, path in names.items():
        fitting = by_stem.get(_stem(path) + _ENDING, [])
        if not fitting and by_name:
            fitting = [path] if path in masks else by_stem.get(_stem(path), [])
        if len(fitting) > 1:
            several.append(f"{path} ({', '.join(fitting)})")
        elif fitting:
            found[name] = fitting[0]
    if several:
        raise _refusal(several, f"images have several masks in '{given}'", "keep one of them each")
    return found


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _check_sizes(source: Source, items: Iterable[Item], masks: Mapping[str, Path]) -> None:
    damaged, other = [], []
    with without_pillow_warnings():
        for item in items:
            if item.id not in masks:
                continue
            try:
                size = picture_size(masks[item.id])
            except UnusableImageError as error:
                damaged.append(f"{masks[item.id].name} ({error.reason})")
                continue
            file = source.file(item.path)
            try:
                expected = size if file is None else picture_size(file)
            except UnusableImageError:  # It is left out when it is read, with its reason.
                continue
            if size != expected:
                other.append(_differs(item.id, size, expected))
    if damaged:
        raise _refusal(damaged, "masks cannot be read", _AGAIN)
    require_equal_sizes(other)


def require_equal_sizes(differing: Sequence[str]) -> None:
    """Refuse masks of another size than their image, given in words.

    Raises:
        InputError: with their number and the first five.
    """
    if differing:
        remedy = "export the masks at the size of the images, without cropping or turning either"
        raise _refusal(differing, "masks have another size than their image", remedy)


def _differs(name: str, size: tuple[int, int], expected: tuple[int, int]) -> str:
    return f"{name} ({size[0]} × {size[1]}, image {expected[0]} × {expected[1]})"


def _refusal(found: Sequence[str], what: str, remedy: str) -> InputError:
    more = f" and {len(found) - _EXAMPLES:,} more" if len(found) > _EXAMPLES else ""
    listed = ", ".join(found[:_EXAMPLES])
    return InputError(f"{len(found):,} {what}: {listed}{more}", rule=_RULE, remedy=remedy)


def _notes(
    given: str,
    items: Sequence[Item],
    found: Mapping[str, str],
    *,
    dropped: int,
    masks: Mapping[str, Path],
) -> list[str]:
    notes = [f"masks from '{given}': {len(found):,} images have one, {_rest(items, found)}"]
    if dropped:
        notes.append(f"{dropped:,} masks lay among the images and were not taken for such")
    unused = len(masks) - len(set(found.values()))
    if unused:
        notes.append(f"{unused:,} pictures in '{given}' belong to no image")
    return notes


def _rest(items: Sequence[Item], found: Mapping[str, str]) -> str:
    without = len(items) - len(found)
    return f"{without:,} have none" if without else "none is without"


# ── what the masks are ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MaskFacts:
    """What is known of the masks of the usable images.

    Attributes:
        digest: of all their values.
        images: number of images that have one.
        unreadable: ids of images whose mask cannot be decoded, sorted; they count as without.
        differing: those of another size than their image, in words, in the order of the images.
    """

    digest: str
    images: int
    unreadable: tuple[str, ...]
    differing: tuple[str, ...] = ()


def read_masks(source: Source, rows: Sequence[Row]) -> MaskFacts:
    """Decode all masks of some images once."""
    hashes: dict[str, str] = {}

    def compare(row: Row) -> str:
        mask = load_mask(source, row, hashes)
        return "" if mask is None else differing_size(row.id, mask, image=(row.width, row.height))

    with without_pillow_warnings():
        found = list(in_order(compare, [row for row in rows if row.mask], lambda *_: None))
    return mask_facts(hashes, differing=tuple(text for text in found if text))


def load_mask(source: Source, row: Row, hashes: dict[str, str]) -> UInt8 | None:
    """The mask of one image, None where there is none; its hash is noted, "" if unreadable."""
    if not row.mask:
        return None
    try:
        mask = source.load_mask(row.mask)
    except UnusableImageError:
        hashes[row.id] = ""
        return None
    hashes[row.id] = pixel_hash(mask[:, :, None])
    return mask


def mask_facts(hashes: Mapping[str, str], *, differing: tuple[str, ...] = ()) -> MaskFacts:
    """Sum up masks by the hash of their values; "" where one cannot be decoded."""
    return MaskFacts(
        digest=digest(sorted(hashes.items())),
        images=sum(map(bool, hashes.values())),
        unreadable=tuple(sorted(name for name, content in hashes.items() if not content)),
        differing=differing,
    )


def differing_size(name: str, mask: UInt8, *, image: tuple[int, int]) -> str:
    """In words that a mask's size is not its image's (width, height); "" where it is."""
    size = (mask.shape[1], mask.shape[0])
    return "" if size == image else _differs(name, size, image)
