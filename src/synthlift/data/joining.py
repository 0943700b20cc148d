"""A table beside images: joined to them by path, file name or stem."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from synthlift.data.columns import (
    ID_NAMES,
    LABEL_NAMES,
    PATH_NAMES,
    Facts,
    Roles,
    columns_called,
    facts_of,
    roles_of,
)
from synthlift.data.contract import Item, Source, Where
from synthlift.data.decode import EXTENSIONS
from synthlift.data.labels import number_of
from synthlift.data.masks import read_mask
from synthlift.data.overlay import Overlay
from synthlift.data.placing import Placed, place
from synthlift.data.tables import Table, read_table
from synthlift.data.wording import SHOWN, counted, listed
from synthlift.errors import InputError
from synthlift.store import digest
from synthlift.types import UInt8


@dataclass(frozen=True)
class Match:
    """Which image belongs to which row, by one column and one kind of key.

    Attributes:
        column: the column that was compared with the images' ids.
        key: what of both was compared, in words: "path", "file name", "stem".
        row_of: place of the row by id of the image.
        alone: ids of images without a row, sorted.
        unused: texts of rows without an image, sorted.
        ambiguous: texts of rows that could mean several images, or that contradict another row
            about the same image; sorted.
    """

    column: str
    key: str
    row_of: dict[str, int]
    alone: list[str]
    unused: list[str]
    ambiguous: list[str]


def joined(source: Source, where: Where) -> Source:
    """Tell the images of a source what the table ``where.metadata`` says of them.

    Every column and every kind of key – path, its last folders, file name, path or name without
    ending – is tried; the one that finds a row for most images is taken, and named in the notes.

    Raises:
        InputError: no table, a column that is not there, no image with a row, or images without a
            class where the table gives the classes.
    """
    assert where.metadata is not None
    table = read_table(where.beside(where.metadata), given=where.metadata)
    roles = roles_of(table, where, known=_known(source.items))
    facts = facts_of(table, roles)
    match = find_match([item.id for item in source.items], table, roles, facts)
    if where.labelled:
        roles = _settled(source.items, where, table, roles, facts, match)
        facts = facts_of(table, roles)
    masks = place(table, roles.mask, masks=True) if roles.mask is not None else None
    items = []
    for item in source.items:
        row = match.row_of.get(item.id)
        if row is not None:
            item = _told(item, facts[row], mask=masks.paths[row] if masks else "")
        items.append(item)
    return _overlay(source, items, table, roles, match, masks)


def find_match(ids: Sequence[str], table: Table, roles: Roles, facts: Sequence[Facts]) -> Match:
    """The column and kind of key that find one row for most images.

    Args:
        ids: of the images, such as ``cat/0.png``.
        table: the table.
        roles: its columns; classes, attributes and parts are no keys.
        facts: what the rows say; rows that say the same of the same image do not contradict.

    Raises:
        InputError: no image has a row.
    """
    best: Match | None = None
    for column in _candidates(table, roles):
        for words, key in _keys([*ids, *table.columns[column]]):
            found = _matched(ids, table.columns[column], facts, column, words, key)
            if best is None or len(found.row_of) > len(best.row_of):
                best = found
            if len(best.row_of) == len(ids):
                return best
    if best is None or not best.row_of:
        raise _nothing(ids, table, best)
    return best


def _known(items: Iterable[Item]) -> frozenset[str]:
    """What the images' own reader has already told."""
    known: set[str] = set()
    labelled = True
    for item in items:
        known.update(item.attributes)
        if item.group != item.id:
            known.add("group")
        labelled = labelled and bool(item.label)
    return frozenset(known | ({"label"} if labelled else set()))


def _candidates(table: Table, roles: Roles) -> list[str]:
    used = {roles.label, roles.part, roles.mask, *roles.attributes}
    named = [*columns_called(table, PATH_NAMES), *columns_called(table, ID_NAMES)]
    # Ages and counts would find images called 1.png, 2.png … by chance.
    others = [name for name in table.columns if not all(map(_is_number, table.columns[name]))]
    return [name for name in dict.fromkeys([*named, *others]) if name not in used]


def _is_number(text: str) -> bool:
    return not text or number_of(text) is not None


# ── keys ──────────────────────────────────────────────────────────────────────────────────────


def _keys(texts: Iterable[str]) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Kinds of keys, the most telling first; a key is "" where a text has none of its kind."""
    deepest = max((text.count("/") + text.count("\\") for text in texts), default=0) + 1
    yield "path", _path
    for n in range(deepest - 1, 1, -1):
        yield f"last {n} parts of the path", partial(_last, n=n)
    yield "file name", partial(_last, n=1)
    yield "path without its ending", lambda text: _without_ending(_path(text))
    yield "stem", lambda text: _without_ending(_last(text, n=1))


def _path(text: str) -> str:
    """With plain slashes and a lower-case ending: ``./cat\\0.PNG`` → ``cat/0.png``."""
    if not text:
        return ""
    path = PurePosixPath(posixpath.normpath(text.replace("\\", "/")))
    return path.with_suffix(path.suffix.lower()).as_posix() if path.suffix else path.as_posix()


def _last(text: str, *, n: int) -> str:
    parts = _path(text).split("/")
    return "/".join(parts[-n:]) if len(parts) >= n else ""


def _without_ending(path: str) -> str:
    # "1.2.840.113619" is a name without an ending, although it has dots.
    stem, dot, ending = path.rpartition(".")
    return stem if dot and f".{ending}" in EXTENSIONS else path


def _matched(
    ids: Sequence[str],
    texts: Sequence[str],
    facts: Sequence[Facts],
    column: str,
    words: str,
    key: Callable[[str], str],
) -> Match:
    images: dict[str, list[str]] = defaultdict(list)
    rows: dict[str, list[int]] = defaultdict(list)
    for name in ids:
        images[key(name)].append(name)
    for row, text in enumerate(texts):
        rows[key(text)].append(row)
    row_of: dict[str, int] = {}
    unused: list[str] = []
    ambiguous: list[str] = []
    for found, places in rows.items():
        meant = images.get(found, []) if found else []
        agree = all(facts[row] == facts[places[0]] for row in places[1:])
        if len(meant) == 1 and agree:
            row_of[meant[0]] = places[0]
        else:
            (ambiguous if meant else unused).extend(texts[row] for row in places)
    alone = sorted(name for name in ids if name not in row_of)
    return Match(column, words, row_of, alone, sorted(unused), sorted(ambiguous))


# ── what is told ──────────────────────────────────────────────────────────────────────────────


def _told(item: Item, fact: Facts, *, mask: str) -> Item:
    return replace(
        item,
        label=fact.label or item.label,
        group=fact.group or item.group,
        attributes={**item.attributes, **fact.attributes},
        part=fact.part or item.part,
        mask=mask or item.mask,
    )


def _settled(
    items: Sequence[Item],
    where: Where,
    table: Table,
    roles: Roles,
    facts: Sequence[Facts],
    match: Match,
) -> Roles:
    """The roles, with ``label`` None where the classes stay those of the source (its folders).

    Raises:
        InputError: classes from neither or from both, or not for every image.
    """
    own = {item.id: item.label for item in sorted(items, key=lambda item: item.id)}
    if roles.label is None:
        if missing := [name for name, label in own.items() if not label]:
            raise _unknown(where, table, missing)
        return roles
    given = {name: facts[row].label for name, row in match.row_of.items()}
    if where.label is None and all(own.values()) and len(set(own.values())) > 1:
        # Both could be meant. Where they agree it does not matter; else the user must say.
        other = [name for name in own if given.get(name) and given[name] != own[name]]
        if other:
            raise _two_classes(where, table, roles.label, other)
        kept = tuple(note for note in roles.notes if not note.startswith("classes from"))
        return replace(roles, label=None, notes=kept)
    if missing := [name for name in own if not given.get(name)]:
        raise _without_class(where, table, roles.label, missing)
    return roles


def _unknown(where: Where, table: Table, missing: Sequence[str]) -> InputError:
    return InputError(
        f"no class is known for {counted(len(missing), 'image')} of '{where.source}': "
        f"{listed(missing)}",
        rule="the classes are the sub-folders, or in the column of the table that `data.label` "
        f"names, else in one called {', '.join(LABEL_NAMES[:4])} or the like; '{table.name}' has "
        f"{', '.join(list(table.columns)[:20])}",
        remedy="name the column, such as `--label diagnosis` or label: diagnosis",
    )


def _two_classes(where: Where, table: Table, column: str, other: Sequence[str]) -> InputError:
    return InputError(
        f"the folders of '{where.source}' and column '{column}' of '{table.name}' both give "
        f"classes, and they differ for {counted(len(other), 'image')}: {listed(other)}",
        rule="an image has one class, from its folder or from the table",
        remedy=f"say `--label {column}` (label: {column}) to take the table's, or rename that "
        "column to keep the folders'",
    )


def _without_class(where: Where, table: Table, column: str, missing: Sequence[str]) -> InputError:
    return InputError(
        f"{counted(len(missing), 'image')} of '{where.source}' without a row in '{table.name}', "
        f"or without a class in its column '{column}': {listed(missing)}",
        rule="where a table gives the classes, it gives one for every image",
        remedy="add their rows, move these images elsewhere (data.unlabelled can name their "
        "folder), or make the table the source so that only its images are read",
    )


# ── the result ────────────────────────────────────────────────────────────────────────────────


def _overlay(
    source: Source,
    items: list[Item],
    table: Table,
    roles: Roles,
    match: Match,
    masks: Placed | None,
) -> Source:
    folder = table.folder

    def load_mask(mask: str) -> UInt8:
        return read_mask(folder / mask)

    return Overlay(
        source,
        items=items,
        fingerprint=digest(
            [
                source.fingerprint,
                table.sha256,
                masks.files if masks else [],
                [list(vars(item).values()) for item in sorted(items, key=lambda item: item.id)],
            ]
        ),
        notes=[*table.notes, *roles.notes, *_notes(table, roles, match)],
        load_mask=load_mask if masks else None,
    )


def _notes(table: Table, roles: Roles, match: Match) -> list[str]:
    total = len(match.row_of) + len(match.alone)
    found = f"{len(match.row_of):,} of {total:,} images"
    notes = [f"'{table.name}' joined by the {match.key} in column '{match.column}': {found}"]
    if match.alone:
        each = "; each is taken for a group of its own" if roles.group else ""
        notes.append(
            f"{counted(len(match.alone), 'image')} without a row in '{table.name}'{each}: "
            f"{listed(match.alone)}"
        )
    if roles.group is not None:
        groups = table.columns[roles.group]
        empty = sorted(name for name, row in match.row_of.items() if not groups[row])
        if empty:
            notes.append(
                f"{counted(len(empty), 'image')} without a value in '{roles.group}'; each is "
                f"taken for a group of its own: {listed(empty)}"
            )
    unclear = "not used, meaning several images or contradicting another row"
    for names, words in ((match.unused, "without an image"), (match.ambiguous, unclear)):
        if names:
            notes.append(f"{counted(len(names), 'row')} of '{table.name}' {words}: {listed(names)}")
    return notes


def _nothing(ids: Sequence[str], table: Table, best: Match | None) -> InputError:
    column = best.column if best else next(iter(table.columns))
    shown = [text for text in table.columns[column] if text]
    unclear = (
        f"; {len(best.ambiguous):,} rows mean several images or contradict each other"
        if best and best.ambiguous
        else ""
    )
    return InputError(
        f"no image has a row of its own in '{table.name}'{unclear}: images are called "
        f"{listed(list(ids)[:SHOWN])}; column '{column}' holds {listed(shown[:SHOWN])}",
        rule="a column of the table holds each image's path, file name or name without ending; "
        "where these are plain numbers it is called id, image_id or the like",
        remedy="add or rename such a column, or name the right table",
    )
